"""How full a volume is: which nodes of its cluster are asked, how often, and what is believed of their answers."""

import asyncio

import pytest
from tests.unit.tunesmith.controllers.conftest import ManualClock, MemoryKube
from tests.unit.tunesmith.planning.test_volume_growth import CLAIM, a_pod, a_summary
from tests.unit.tunesmith.planning.volume_builders import BOUGHT, a_volume

from tunesmith.controllers import volume_usage
from tunesmith.controllers.controller import Key
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.volume_usage import MEASURE_SECONDS, VolumeUsages
from tunesmith.kube.cache import Cache
from tunesmith.kube.errors import from_status
from tunesmith.kube.remote import RemoteView
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Installation, Known, NotYet, Unknown
from tunesmith.planning.volume_usage import TIB, VolumeUsage

KEY = Key("SharedVolume", "ml", "data")
VOLUME = a_volume(status={**BOUGHT, "boundTo": "train"})


class Nodes:
    """The nodes of GPUCluster `ml/train`, each with a pod that mounts the volume, and what their kubelets say.

    An answer is a summary, an error that is raised, or None: there is none, ever.
    """

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []
        self.pods = Known(tuple(a_pod(name) for name in answers), 0.0)

    def view(self, remote):
        assert remote == RemoteCluster("ml", "train")
        return RemoteView(Known(True, 0.0), Known((), 0.0), self.pods, Known((), 0.0))

    async def kube(self, remote):
        return self

    async def node_summary(self, node):
        self.asked.append(node)
        answer = self.answers[node]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


def usages(nodes, clock=None):
    cache = Cache()
    meta = {"name": "train", "namespace": "ml", "uid": "u-1", "resourceVersion": "1"}
    cache.observe({"apiVersion": "tunesmith.dev/v1alpha1", "kind": "GPUCluster", "metadata": meta})
    installation = Installation(id="prod01", jobs_namespace=CLAIM["namespace"])
    ports = Ports(cache, MemoryKube(), nodes, installation, lambda key: None, clock or ManualClock(), str, str)
    return VolumeUsages(ports)


def told(used, size=2):
    """A summary of which the volume's figures are a part."""
    return a_summary(name="storage", pvcRef=CLAIM, usedBytes=used, capacityBytes=size * TIB)


async def test_a_node_that_mounts_the_volume_is_asked_once_a_minute_at_most():
    clock, nodes = ManualClock(), Nodes(a=told(7))
    asking = usages(nodes, clock)
    assert await asking.of(KEY, VOLUME) == Known(VolumeUsage(7, 2 * TIB), clock.monotonic())
    nodes.answers["a"] = told(8)
    clock.seconds += MEASURE_SECONDS - 1
    assert (await asking.of(KEY, VOLUME)).value.used_bytes == 7
    assert nodes.asked == ["a"]
    clock.seconds += 1
    assert (await asking.of(KEY, VOLUME)).value.used_bytes == 8


async def test_where_nobody_answers_three_nodes_are_asked_and_again_only_after_a_minute():
    silence = from_status("read the statistics", 503)
    nodes = Nodes(a=silence, b={}, c=told(7, size=900), d=told(7))
    asking = usages(nodes)
    for _ in range(2):
        assert isinstance(await asking.of(KEY, VOLUME), Unknown)
    assert nodes.asked == ["a", "b", "c"]


@pytest.mark.parametrize(
    "first", [from_status("read the statistics", 503), {}, told(7, size=900)], ids=["refused", "unmounted", "foreign"]
)
async def test_what_one_node_cannot_tell_the_next_is_asked_for(first):
    nodes = Nodes(a=first, b=told(8))
    assert (await usages(nodes).of(KEY, VOLUME)).value.used_bytes == 8
    assert nodes.asked == ["a", "b"]


async def test_a_node_that_never_answers_does_not_hold_up_the_next(monkeypatch):
    monkeypatch.setattr(volume_usage, "ANSWER_SECONDS", 0.01)
    assert (await usages(Nodes(a=None, b=told(8))).of(KEY, VOLUME)).value.used_bytes == 8


async def test_what_nobody_has_is_not_measured_and_the_old_figure_is_forgotten():
    nodes = Nodes(a=told(7))
    asking = usages(nodes)
    await asking.of(KEY, VOLUME)
    assert isinstance(await asking.of(KEY, a_volume(status=BOUGHT)), Unknown)
    elsewhere = a_volume(status={**BOUGHT, "boundTo": "no-resource-of-ours"})
    assert isinstance(await asking.of(KEY, elsewhere), Unknown)
    await asking.of(KEY, VOLUME)
    assert nodes.asked == ["a", "a"]


async def test_pods_that_are_not_known_are_no_news_of_the_volume():
    nodes = Nodes(a=told(7))
    nodes.pods = NotYet("not listed yet")
    assert await usages(nodes).of(KEY, VOLUME) == nodes.pods
    assert nodes.asked == []
