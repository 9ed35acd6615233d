"""How one resource names another: always by name, always in its own namespace."""

from typing import Annotated

from tunesmith.resources.schema import DataKey, DNSName, Part, doc


class NameReference(Part):
    """An object of the same namespace, by name."""

    name: Annotated[DNSName, doc("Name of the object, in this resource's own namespace.")]


class SecretKeyReference(Part):
    """One key of a Secret of the same namespace."""

    name: Annotated[DNSName, doc("Name of the Secret, in this resource's own namespace.")]
    key: Annotated[DataKey, doc("Key in the Secret's data.")]


class ConfigMapKeyReference(Part):
    """One key of a ConfigMap of the same namespace."""

    name: Annotated[DNSName, doc("Name of the ConfigMap, in this resource's own namespace.")]
    key: Annotated[DataKey, doc("Key in the ConfigMap's data.")]
