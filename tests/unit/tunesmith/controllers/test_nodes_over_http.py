"""The nodes of a bought cluster over real HTTP: 512 GPUs bought, shrunk to 256, one node repaired, all given back."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.tunesmith.controllers.conftest import MemoryKube
from tests.unit.tunesmith.controllers.test_bought import CLUSTER, INSTALLATION, Operator

from tunesmith.kube.remote import RemoteView
from tunesmith.planning.circumstances import Known, RepairTimes
from tunesmith.planning.cluster_observation import KubeconfigFacts
from tunesmith_simulator import repairs
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.remediations import RemediationMode, Trigger
from tunesmith_simulator.server import Simulator

FAST = 40.0


class FastClock:
    """A clock that runs ahead, so that nobody waits for the pauses that a day would have."""

    def __init__(self):
        self.begun = time.monotonic()

    def monotonic(self):
        return self.begun + (time.monotonic() - self.begun) * FAST

    def now(self):
        ahead = timedelta(seconds=(time.monotonic() - self.begun) * (FAST - 1))
        return (datetime.now(UTC) + ahead).replace(microsecond=0)


class SimulatedNodes:
    """The inside of the bought cluster: the provider's nodes, as they were cordoned, and those that are broken."""

    def __init__(self, provider):
        self.inside = MemoryKube()
        self.broken = set()
        self._provider = provider

    def names(self):
        clusters = self._provider.simulation.world().clusters.values()
        return sorted(node.host_name for cluster in clusters for node in cluster.gpu_nodes)

    def view(self, remote):
        return RemoteView(Known(True, 0.0), Known(tuple(map(self._node, self.names())), 0.0), NOTHING, NOTHING)

    def judge(self, kubeconfig):
        return KubeconfigFacts()

    async def kube(self, remote):
        return self.inside

    def cordoned(self):
        return {name for name in self.names() if self._said(name).get("spec", {}).get("unschedulable")}

    def _said(self, name):
        return self.inside.objects.get(("Node", None, name), {})

    def _node(self, name):
        said, ready = self._said(name), "False" if name in self.broken else "True"
        return {
            "kind": "Node",
            "metadata": {"name": name, "annotations": said.get("metadata", {}).get("annotations", {})},
            "spec": said.get("spec", {}),
            "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": ready}]},
        }


NOTHING = Known((), 0.0)
SPEC = {
    "region": "us-central-8",
    "gpuType": "H100_SXM",
    "nodes": 64,
    "drift": {"intervalSeconds": 30},
    "repair": {"mode": "Reboot"},
}


@pytest.fixture
async def provider():
    scenario = scenarios.named("default")
    async with Simulator(scenario.model_copy(update={"speed": 20000.0})) as simulator:
        yield simulator


@pytest.fixture
async def operator(provider):
    return await an_operator_with(provider, SPEC)


async def an_operator_with(provider, spec):
    """An operator whose cluster is Ready."""
    times = RepairTimes(after_seconds=60, cooldown_seconds=600)
    installation = replace(INSTALLATION, absence_interval_seconds=2, repair=times)
    played = Operator(
        provider.url, provider.key, remotes=SimulatedNodes(provider), clock=FastClock(), installation=installation
    )
    played.give("GPUCluster", "train", spec)
    await played.until(lambda: played.condition(CLUSTER).get("status") == "True", CLUSTER)
    return played


def resize(operator, nodes):
    """What `kubectl scale` does."""
    stored = operator.cache.get(CLUSTER.kind, CLUSTER.namespace, CLUSTER.name)
    meta = {**stored["metadata"], "generation": stored["metadata"]["generation"] + 1}
    changed = {**stored, "metadata": meta, "spec": {**stored["spec"], "nodes": nodes}}
    operator.cache.observe(operator.kube.put(changed))


def is_ready(operator, nodes):
    return operator.condition(CLUSTER).get("status") == "True" and operator.status(CLUSTER)["nodes"]["ready"] == nodes


async def test_512_gpus_are_bought_shrunk_to_256_repaired_and_given_back(operator):
    assert len(operator.remotes.names()) == 64
    resize(operator, 32)
    await operator.until(lambda: is_ready(operator, 32), CLUSTER)
    assert (len(operator.remotes.names()), operator.status(CLUSTER)["nodes"]["desired"]) == (32, 32)
    await operator.until(lambda: not operator.remotes.cordoned(), CLUSTER)
    assert operator.status(CLUSTER)["cost"]["hourlyUSD"] == "1021.44"

    sick = operator.remotes.names()[0]
    operator.remotes.broken = {sick}
    await operator.until(lambda: operator.status(CLUSTER).get("repairs"), CLUSTER)
    assert operator.condition(CLUSTER, "NodesHealthy")["reason"] == "NodesUnderRepair"
    assert operator.remotes.cordoned() == {sick}
    await operator.until(lambda: operator.status(CLUSTER)["repairs"][0]["outcome"] == "SUCCEEDED", CLUSTER)
    operator.remotes.broken = set()
    await operator.until(lambda: is_ready(operator, 32) and not operator.remotes.cordoned(), CLUSTER)
    (record,) = operator.status(CLUSTER)["repairs"]
    assert (record["node"], record["mode"]) == (sick, "REBOOT_VM")
    assert operator.events.count("NodeRepairAsked") == operator.events.count("NodeRepaired") == 1

    operator.delete(CLUSTER)
    await operator.until(lambda: operator.cache.get("GPUCluster", "ml", "train") is None, CLUSTER)
    assert "Deleted" in operator.events


async def test_growth_beyond_the_stock_keeps_what_is_there(operator):
    resize(operator, 4096)
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "OutOfStock", CLUSTER)
    assert len(operator.remotes.names()) == 64
    resize(operator, 65)
    await operator.until(lambda: is_ready(operator, 65), CLUSTER)


async def test_a_repair_that_the_provider_proposes_is_approved_when_the_user_allows_it(provider):
    repair = {"mode": "Off", "providerProposals": "Approve"}
    operator = await an_operator_with(provider, {**SPEC, "nodes": 2, "repair": repair})
    sick, world = operator.remotes.names()[0], provider.simulation.world()
    (cluster_id,) = world.clusters
    now = provider.simulation.clock()
    mode = RemediationMode.REBOOT_VM
    provider.simulation.become(
        repairs.propose_remediation(world, cluster_id, sick, mode=mode, reason="XID 48", now=now)
    )
    await operator.until(lambda: operator.status(CLUSTER).get("repairs"), CLUSTER)
    await operator.until(lambda: operator.status(CLUSTER)["repairs"][0]["outcome"] == "SUCCEEDED", CLUSTER)
    (done,) = provider.simulation.world().remediations.values()
    assert done.review is not None
    assert (done.host_name, done.trigger) == (sick, Trigger.AUTOMATED)
    await operator.until(lambda: is_ready(operator, 2) and not operator.remotes.cordoned(), CLUSTER)
