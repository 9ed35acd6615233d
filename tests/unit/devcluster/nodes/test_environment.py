"""Variables of containers: Kubernetes' own rules of expansion and lookup."""

import pytest

from tunesmith_devcluster.nodes.environment import ConfigurationError, PodAddress, environment_of, expand, field_of
from tunesmith_devcluster.nodes.pod_object import PodObject, quantity

HERE = PodAddress("127.64.1.2", "127.0.0.1", "gpu-a")
POD = PodObject(
    {"metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a/b": "c"}}, "spec": {"containers": []}}
)


class Keys:
    """One ConfigMap and one Secret, both named `here`."""

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return {"colour": b"blue"} if name == "here" else None

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return {"key": b"k"} if name == "here" else None


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A) $(B)", "1 $(B)"), ("$$(A)", "$(A)"), ("$A ${A}", "$A ${A}"), ("$$$(A)", "$1"), ("$(A", "$(A")],
)
def test_references_are_expanded_as_kubernetes_does(text, expanded):
    assert expand(text, {"A": "1"}) == expanded


@pytest.mark.parametrize(
    ("text", "value"), [("500m", "0.5"), ("1Gi", str(2**30)), ("8", "8"), ("2k", "2000"), ("1.5Mi", str(3 * 2**19))]
)
def test_quantities_are_read(text, value):
    assert str(quantity(text).normalize()) == str(quantity(value).normalize())


def test_labels_are_fields_and_unknown_fields_are_refused():
    assert field_of(POD, "metadata.labels['a/b']", HERE) == "c"
    with pytest.raises(ConfigurationError, match=r"status\.phase"):
        field_of(POD, "status.phase", HERE)


async def test_later_variables_win_and_see_earlier_ones():
    container = {
        "name": "main",
        "envFrom": [{"configMapRef": {"name": "here"}}, {"secretRef": {"name": "gone", "optional": True}}],
        "env": [{"name": "colour", "value": "dark $(colour)"}],
    }
    assert await environment_of(POD, container, {"colour": "none"}, HERE, Keys()) == {"colour": "dark blue"}


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"secretKeyRef": {"name": "gone", "key": "x"}}, 'secret "gone" not found'),
        ({"secretKeyRef": {"name": "here", "key": "x"}}, "couldn't find key x in secret n/here"),
        ({"configMapKeyRef": {"name": "gone", "key": "x"}}, 'configmap "gone" not found'),
    ],
)
async def test_what_is_missing_is_named(reference, words):
    container = {"name": "main", "env": [{"name": "A", "valueFrom": reference}]}
    with pytest.raises(ConfigurationError, match=words):
        await environment_of(POD, container, {}, HERE, Keys())
