"""The environment of a container: variables from values, fields, ConfigMaps and Secrets, with `$(NAME)` expanded."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tunesmith_devcluster.nodes.api import Json
from tunesmith_devcluster.nodes.pod_object import PodObject, limit_of, quantity

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
_KEYED_FIELD = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")


class ConfigurationError(Exception):
    """A container cannot be configured as the pod asks; said to users as CreateContainerConfigError."""


class Keyed(Protocol):
    """Where ConfigMaps and Secrets come from; None means there is none of that name."""

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """The keys of a ConfigMap."""
        ...

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """The keys of a Secret, decoded."""
        ...


@dataclass(frozen=True)
class PodAddress:
    """What a pod learns about its place while it runs."""

    pod_ip: str
    host_ip: str
    node_name: str


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; `$$` stands for `$`, an unknown name stays as it is (the rule of Kubernetes)."""

    def value(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        return variables.get(match.group(1), match.group(0))

    return _REFERENCE.sub(value, text)


def field_of(pod: PodObject, path: str, address: PodAddress) -> str:
    """A field of the downward API; ConfigurationError for one that does not exist."""
    keyed = _KEYED_FIELD.match(path)
    if keyed:
        return str((pod.metadata.get(keyed.group(1)) or {}).get(keyed.group(2), ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries: Json = pod.metadata.get(path.removeprefix("metadata.")) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(entries.items()))
    fields = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": address.node_name,
        "spec.serviceAccountName": str(pod.spec.get("serviceAccountName", "default")),
        "status.hostIP": address.host_ip,
        "status.hostIPs": address.host_ip,
        "status.podIP": address.pod_ip,
        "status.podIPs": address.pod_ip,
    }
    if path not in fields:
        raise ConfigurationError(f"the downward API has no field {path!r}")
    return fields[path]


def resource_of(pod: PodObject, container: Json, reference: Json) -> str:
    """A `resourceFieldRef`: the container's limit or request, in units of its divisor, rounded up."""
    name = reference.get("containerName")
    of = container if name in (None, container["name"]) else next(c for c in pod.containers if c["name"] == name)
    kind, _, resource = str(reference["resource"]).partition(".")
    value = limit_of(of, resource)
    if kind == "requests":
        asked = ((of.get("resources") or {}).get("requests") or {}).get(resource)
        value = quantity(asked) if asked is not None else value
    divisor = quantity(reference.get("divisor") or "1") or quantity("1")
    return str(-int(-(value or 0) // divisor))


async def environment_of(
    pod: PodObject, container: Json, base: Mapping[str, str], address: PodAddress, source: Keyed
) -> dict[str, str]:
    """All variables of one container, `base` (image and node) first; ConfigurationError names what is missing."""
    variables = dict(base)
    for entry in container.get("envFrom") or []:
        keys = await _whole(pod, entry, source)
        prefix = entry.get("prefix") or ""
        variables.update({f"{prefix}{key}": value.decode(errors="replace") for key, value in keys.items()})
    for entry in container.get("env") or []:
        reference = entry.get("valueFrom")
        if reference is None:
            variables[entry["name"]] = expand(entry.get("value") or "", variables)
            continue
        value = await _referred(pod, container, reference, address, source)
        if value is not None:
            variables[entry["name"]] = value
    return variables


async def _whole(pod: PodObject, entry: Json, source: Keyed) -> dict[str, bytes]:
    if "configMapRef" in entry:
        kind, reference = "configmap", entry["configMapRef"]
        keys = await source.config_map(pod.namespace, reference["name"])
    else:
        kind, reference = "secret", entry["secretRef"]
        keys = await source.secret(pod.namespace, reference["name"])
    if keys is None and not reference.get("optional"):
        raise ConfigurationError(f'{kind} "{reference["name"]}" not found')
    return keys or {}


async def _referred(pod: PodObject, container: Json, reference: Json, address: PodAddress, source: Keyed) -> str | None:
    if "fieldRef" in reference:
        return field_of(pod, reference["fieldRef"]["fieldPath"], address)
    if "resourceFieldRef" in reference:
        return resource_of(pod, container, reference["resourceFieldRef"])
    if "configMapKeyRef" in reference:
        kind, key = "configmap", reference["configMapKeyRef"]
        keys = await source.config_map(pod.namespace, key["name"])
    else:
        kind, key = "secret", reference["secretKeyRef"]
        keys = await source.secret(pod.namespace, key["name"])
    if keys is not None and key["key"] in keys:
        return keys[key["key"]].decode(errors="replace")
    if key.get("optional"):
        return None
    if keys is None:
        raise ConfigurationError(f'{kind} "{key["name"]}" not found')
    raise ConfigurationError(f"couldn't find key {key['key']} in {kind} {pod.namespace}/{key['name']}")


class ApiKeys:
    """ConfigMaps and Secrets read from the API server with the node's own rights."""

    def __init__(self, get: "Getter") -> None:
        self._get = get

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """The keys of a ConfigMap, binary ones too."""
        found = await self._get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        if found is None:
            return None
        plain = {key: value.encode() for key, value in (found.get("data") or {}).items()}
        return plain | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """The keys of a Secret, decoded."""
        found = await self._get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        if found is None:
            return None
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}


class Getter(Protocol):
    """GETs a path; None when the object does not exist."""

    async def __call__(self, path: str) -> Json | None:
        """Ask the API server."""
        ...
