"""A story over HTTP in which operator and simulator share one clock that only the story moves.

The operator's own queue says when each pass is due, so what takes seconds in a story takes as many on a real day; and
the operator's account and the simulator's ledger speak of the same moments.
"""

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.unit.tunesmith.controllers.conftest import MemoryKube
from tests.unit.tunesmith.controllers.test_bought import INSTALLATION, Operator

from tunesmith.cloud.gate import Gates
from tunesmith.kube.remote import RemoteView
from tunesmith.planning.circumstances import Known
from tunesmith.planning.cluster_observation import KubeconfigFacts
from tunesmith_simulator import ledger as ledgers
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.machines import NodePhase
from tunesmith_simulator.server import Simulator

SPEED = 20.0
"""How much faster than a real provider the simulator is."""
A_MOMENT = 1e-6
"""Past the time that is moved to, whatever the rounding: what is due then is due."""
FIRST_MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


class StoryClock:
    """The time of provider and operator alike: it stands still but for what the story moves it on."""

    def __init__(self):
        # The transport holds deadlines against the machine's own clock: none is over before the story says so.
        self._begun = time.monotonic() + 86400
        self.seconds = 0.0

    def monotonic(self):
        return self._begun + self.seconds

    def exactly(self):
        return FIRST_MOMENT + timedelta(seconds=self.seconds)

    def now(self):
        return self.exactly().replace(microsecond=0)

    def move_to(self, monotonic):
        self.seconds = max(self.seconds, monotonic - self._begun + A_MOMENT)

    async def sleep(self, seconds):
        self.seconds += seconds


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
        nodes = tuple(map(self._node, self._running()))
        return RemoteView(Known(True, 0.0), Known(nodes, 0.0), self._known("Pod"), self._known("Job"))

    def judge(self, kubeconfig):
        return KubeconfigFacts()

    async def kube(self, remote):
        return self.inside

    async def kube_for(self, where):
        return self.inside

    def cordoned(self):
        return {name for name in self.names() if self._said(name).get("spec", {}).get("unschedulable")}

    def _running(self):
        clusters = self._provider.simulation.world().clusters.values()
        nodes = [node for cluster in clusters for node in cluster.gpu_nodes]
        return sorted(node.host_name for node in nodes if node.phase in {NodePhase.RUNNING, NodePhase.FAILED})

    def _known(self, kind):
        return Known(tuple(raw for (name, _, _), raw in self.inside.objects.items() if name == kind), 0.0)

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


class Story(Operator):
    """The operator with its own queue: a pass is made when one is due, and time leaps to the next."""

    def give(self, kind, name, spec, uid=None):
        super().give(kind, name, spec, uid)
        self.intake.look_at(self.cache.get(kind, "ml", name))

    def change(self, key, *, annotations=None, **spec):
        """What somebody's `kubectl apply` does."""
        stored = self.cache.get(key.kind, key.namespace, key.name)
        said = {**stored["metadata"].get("annotations", {}), **(annotations or {})}
        meta = {**stored["metadata"], "generation": stored["metadata"]["generation"] + 1, "annotations": said}
        self.intake.seen(self.kube.put({**stored, "metadata": meta, "spec": {**stored["spec"], **spec}}))

    def delete(self, key):
        super().delete(key)
        self.intake.look_at(self.cache.get(key.kind, key.namespace, key.name))

    async def until(self, reached, *, within_seconds=7200.0):
        """Whatever passes are due, in their time; fails when the condition does not hold in time."""
        over = self.clock.monotonic() + within_seconds
        while not reached():
            key = self.queue.take_ready()
            if key is not None:
                await self._pass(key)
                continue
            due = self.queue.next_due()
            assert due is not None, "nothing is due any more, and it has not come to pass"
            assert due <= over, f"it has not come to pass within {within_seconds:g} s"
            self.clock.move_to(due)

    async def go_on(self, seconds):
        """Whatever passes are due in so many seconds."""
        end = self.clock.monotonic() + seconds
        await self.until(lambda: not self.queue.depth and (self.queue.next_due() or end) >= end, within_seconds=seconds)
        self.clock.move_to(end)

    def orders(self):
        """How the provider answered each order of a cluster, in their order."""
        asked = (each for each in self.provider.record.all() if each.method == "POST")
        return [each.status for each in asked if each.path.endswith("/clusters")]

    def charged(self, cluster_id, as_of):
        """The dollars that the simulator charged for a cluster until then."""
        exact = ledgers.ledger(self.provider.simulation.world(), as_of).of(cluster_id).usd
        return Decimal(exact.numerator) / Decimal(exact.denominator)

    def gone(self, key):
        return self.cache.get(key.kind, key.namespace, key.name) is None

    def is_ready(self, key):
        return self.condition(key).get("status") == "True"

    async def _pass(self, key):
        try:
            done = await self.reconciler.reconcile(key)
        finally:
            self.queue.done(key)
        if done.again_after_seconds is not None:
            self.queue.add_after(key, done.again_after_seconds)


@asynccontextmanager
async def a_story(spec, *, kind=Story, **installation):
    """An operator, and a simulator on the same clock, with one GPUCluster that has just been written."""
    clock, played = StoryClock(), scenarios.named("default")
    async with Simulator(played.model_copy(update={"speed": SPEED}), clock=clock.exactly) as provider:
        operator = kind(
            provider.url,
            provider.key,
            remotes=SimulatedNodes(provider),
            clock=clock,
            installation=replace(INSTALLATION, **installation),
            gates=Gates(monotonic=clock.monotonic, sleep=clock.sleep),
        )
        operator.provider = provider
        operator.give("GPUCluster", "train", spec)
        yield operator
