"""The actions that every kind shares, one request each."""

from __future__ import annotations

import pytest

from tunesmith.controllers.controller import ActionFailed
from tunesmith.controllers.kube_actions import KubeActions
from tunesmith.planning.actions import ReleasePod, SetFinalizer
from tunesmith.planning.decision import ErrorClass

from .conftest import MemoryKube, a_resource

IN_USE = "tunesmith.dev/in-use"


def a_secret(*finalizers: str) -> dict[str, object]:
    metadata = {"namespace": "team", "name": "key", "finalizers": list(finalizers)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


def hold(present: bool) -> SetFinalizer:
    return SetFinalizer("v1", "Secret", "team", "key", IN_USE, present)


@pytest.fixture
def kube() -> MemoryKube:
    return MemoryKube()


@pytest.fixture
def actions(kube: MemoryKube) -> KubeActions:
    return KubeActions(kube, remotes=None, wrote=lambda raw: None)


def finalizers(kube: MemoryKube) -> list[str]:
    return kube.objects["Secret", "team", "key"]["metadata"]["finalizers"]


async def test_a_finalizer_is_put_beside_those_of_others_and_taken_alone(
    kube: MemoryKube, actions: KubeActions
) -> None:
    kube.put(a_secret("other/one"))
    await actions.carry_out(hold(True), a_resource())
    assert finalizers(kube) == ["other/one", IN_USE]
    await actions.carry_out(hold(False), a_resource())
    assert finalizers(kube) == ["other/one"]


async def test_a_finalizer_that_is_there_is_not_written_again(kube: MemoryKube, actions: KubeActions) -> None:
    kube.put(a_secret(IN_USE))
    await actions.carry_out(hold(True), a_resource())
    assert kube.writes() == []


async def test_another_writer_in_between_loses_nothing(kube: MemoryKube, actions: KubeActions) -> None:
    kube.put(a_secret())
    kube.before["merge_patch"] = lambda: kube.put(a_secret("other/one"))
    await actions.carry_out(hold(True), a_resource())
    assert finalizers(kube) == ["other/one", IN_USE]


async def test_what_is_gone_needs_no_finalizer_taken_but_cannot_be_held(actions: KubeActions) -> None:
    assert await actions.carry_out(hold(False), a_resource()) is None
    with pytest.raises(ActionFailed) as failed:
        await actions.carry_out(hold(True), a_resource())
    assert failed.value.failure.error is ErrorClass.NOT_FOUND


async def test_a_gated_pod_is_given_its_node_and_let_go_once(kube: MemoryKube, actions: KubeActions) -> None:
    spec = {"schedulingGates": [{"name": "tunesmith.dev/admission"}], "nodeSelector": {"zone": "a"}}
    kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "team", "name": "p"}, "spec": spec})
    for _ in range(2):
        await actions.carry_out(ReleasePod(None, "team", "p", "gpu-1"), a_resource())
    assert kube.objects["Pod", "team", "p"]["spec"] == {
        "nodeSelector": {"zone": "a", "kubernetes.io/hostname": "gpu-1"}
    }
    assert kube.writes() == ["json_patch"]
