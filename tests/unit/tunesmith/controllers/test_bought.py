"""What is bought over real HTTP: reconciler, controllers and cloud client together, against the simulator."""

import asyncio
import random
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from pydantic import SecretStr
from tests.unit.tunesmith.controllers.conftest import MemoryKube

from tunesmith.cloud.audit import audit
from tunesmith.cloud.audit_reading import read_audit
from tunesmith.cloud.gate import Gates
from tunesmith.controllers.bought import Provider, bought
from tunesmith.controllers.controller import Key
from tunesmith.controllers.gpu_region import LOOK_SECONDS, REGIONS_KEY, SOON_SECONDS
from tunesmith.controllers.intake import Intake
from tunesmith.controllers.kube_actions import KubeActions
from tunesmith.controllers.ports import Clock, Ports, SystemClock
from tunesmith.controllers.queue import WorkQueue
from tunesmith.controllers.reconciler import Chance, Reconciler
from tunesmith.controllers.urgency import urgent_in
from tunesmith.kube.cache import Cache
from tunesmith.kube.errors import from_status
from tunesmith.kube.remote import RemoteView
from tunesmith.planning.circumstances import Installation, Known, Prices
from tunesmith.planning.cluster_observation import KubeconfigFacts
from tunesmith.serving.audit_log import AuditHandler
from tunesmith.serving.logs import Redactor
from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.server import Simulator

CLUSTER, VOLUME = Key("GPUCluster", "ml", "train"), Key("SharedVolume", "ml", "data")

INSTALLATION = Installation(
    id="prod01",
    settle_seconds=2,
    absence_interval_seconds=0.2,
    prices=Prices({"H100_SXM": Decimal("3.99")}, Decimal("163.84")),
)


class PlayedRemotes:
    """One bought cluster with one node, whose volume is a static PersistentVolume."""

    def __init__(self):
        self.inside = MemoryKube()

    def view(self, remote):
        node = {
            "kind": "Node",
            "metadata": {"name": "node-0"},
            "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
        }
        return RemoteView(Known(True, 0.0), Known((node,), 0.0), Known((), 0.0), Known((), 0.0))

    def judge(self, kubeconfig):
        return KubeconfigFacts()

    def look_now(self, remote):
        """Nobody has to: what is seen here is told by `view`."""

    async def kube(self, remote):
        return self.inside


@dataclass
class Operator:
    """The shell round the controllers, without a queue: passes are asked for by the test."""

    url: str
    key: str | None
    kube: MemoryKube = field(default_factory=MemoryKube)
    remotes: PlayedRemotes = field(default_factory=PlayedRemotes)
    events: list = field(default_factory=list)
    clock: Clock = field(default_factory=SystemClock)
    installation: Installation = INSTALLATION
    gates: Gates = field(default_factory=Gates)
    told: list = field(default_factory=list)

    def __post_init__(self):
        self.cache = Cache()
        clock, installation = self.clock, self.installation
        ports = Ports(self.cache, self.kube, self.remotes, installation, self.wake, clock, lambda secret: None, str)
        provider = Provider(self.url, None, lambda: SecretStr(self.key) if self.key else None, gates=self.gates)
        self.costly = bought(ports, provider, lambda raw, note: self.told.append((raw["kind"], note.reason)))
        self.queue = WorkQueue(clock.monotonic, random.random, urgent_in(self.cache))
        self.intake = Intake(self.cache, self.queue)
        self.reconciler = Reconciler(
            cache=self.cache,
            intake=self.intake,
            kube=self.kube,
            kube_actions=KubeActions(self.kube, remotes=self.remotes, wrote=self.intake.wrote),
            installation=installation,
            clock=clock,
            chance=Chance(random.random, lambda: f"n{random.getrandbits(64)}"),
            recorder=self,
            refusal=lambda raw, now: None,
        )
        for controller in self.controllers(ports):
            self.reconciler.register(controller)

    def controllers(self, ports):
        """Those that the reconciler knows."""
        return (self.costly.gpu_cluster, self.costly.shared_volume, self.costly.gpu_region)

    def wake(self, key):
        self.intake.wake(key)

    def record(self, raw, note):
        self.events.append(note.reason)

    def give(self, kind, name, spec, uid=None):
        raw = {
            "apiVersion": "tunesmith.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "ml", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec,
        }
        raw["metadata"]["uid"] = uid or f"uid-{name}"
        self.cache.observe(self.kube.put(raw))

    def delete(self, key):
        stored = self.cache.get(key.kind, key.namespace, key.name)
        meta = {**stored["metadata"], "deletionTimestamp": "2026-01-01T01:00:00Z"}
        self.cache.observe(self.kube.put({**stored, "metadata": meta}))

    async def until(self, reached, *keys, seconds=60):
        """Passes over the keys until the condition holds."""
        async with asyncio.timeout(seconds):
            while not reached():
                for key in keys:
                    await self.reconciler.reconcile(key)
                await asyncio.sleep(0.02)

    def lose(self, key):
        """The resource vanishes without a trace, as when somebody strips its finalizers."""
        self.kube.objects.pop((key.kind, key.namespace, key.name))
        self.cache.drop(self.cache.get(key.kind, key.namespace, key.name))

    def status(self, key):
        return (self.cache.get(key.kind, key.namespace, key.name) or {}).get("status") or {}

    def condition(self, key, kind="Ready"):
        return next((c for c in self.status(key).get("conditions", ()) if c["type"] == kind), {})


@pytest.fixture
async def provider():
    scenario = scenarios.named("default")
    async with Simulator(scenario.model_copy(update={"speed": 20000.0})) as simulator:
        yield simulator


SPEC = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1, "drift": {"intervalSeconds": 1}}


async def test_a_cluster_is_bought_made_ready_and_given_back(provider):
    operator = Operator(provider.url, provider.key)
    operator.give("GPUCluster", "train", SPEC)
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)
    writes = [verb for verb, kind in operator.kube.requests if kind == "GPUCluster" and verb not in {"get", "list"}]
    assert len(writes) <= 3
    await operator.until(lambda: operator.condition(CLUSTER).get("status") == "True", CLUSTER)
    assert operator.status(CLUSTER)["cost"]["hourlyUSD"] == "31.92"
    assert ("Secret", "ml", "train-kubeconfig") in operator.kube.objects
    assert ("Namespace", None, "tunesmith-jobs") in operator.remotes.inside.objects
    operator.delete(CLUSTER)
    await operator.until(lambda: operator.cache.get(*("GPUCluster", "ml", "train")) is None, CLUSTER)
    assert "Deleted" in operator.events


async def test_what_is_bought_and_given_back_is_in_the_audit_log_with_its_resource_and_price(provider, tmp_path):
    log = tmp_path / "audit.jsonl"
    handler = AuditHandler(Redactor(), log)
    audit.addHandler(handler)
    level, _ = audit.level, audit.setLevel("INFO")
    try:
        operator = Operator(provider.url, provider.key)
        operator.give("GPUCluster", "train", SPEC)
        await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)
        bought_id = operator.status(CLUSTER)["clusterID"]
        operator.delete(CLUSTER)
        await operator.until(lambda: operator.cache.get(*("GPUCluster", "ml", "train")) is None, CLUSTER)
    finally:
        audit.removeHandler(handler)
        audit.setLevel(level)
    writes = read_audit(log.open())
    created = next(write for write in writes if write.line.verb == "create")
    deleted = next(write for write in writes if write.line.verb == "delete")
    for write in (created, deleted):
        assert (str(write.line.resource), write.line.id) == ("GPUCluster/ml/train", bought_id)
        assert write.line.resource.uid
        assert (write.outcome, write.line.usd_per_hour) == ("ok", "31.92")
    assert created.line.intent.startswith("n")
    assert provider.key not in log.read_text()


async def test_a_key_that_is_rotated_is_used_without_a_restart(provider):
    operator = Operator(provider.url, "wrong")
    operator.give("GPUCluster", "train", SPEC)
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "CredentialsRefused", CLUSTER)
    operator.key = provider.key
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"), CLUSTER)


async def test_a_volume_is_made_with_its_first_cluster_and_goes_after_it(provider):
    operator = Operator(provider.url, provider.key)
    operator.give("SharedVolume", "data", {"region": "us-central-8", "sizeTiB": 1, "deletionPolicy": "Delete"})
    operator.give("GPUCluster", "train", {**SPEC, "volumeRef": {"name": "data"}})
    both = (CLUSTER, VOLUME)
    await operator.until(lambda: operator.status(VOLUME).get("volumeID"), *both)
    name = operator.status(VOLUME)["providerName"]
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {}}
    operator.remotes.inside.put(volume)
    await operator.until(lambda: operator.condition(CLUSTER).get("status") == "True", *both)
    claim = operator.remotes.inside.objects["PersistentVolumeClaim", "tunesmith-jobs", "data"]
    assert claim["spec"]["volumeName"] == name
    operator.delete(VOLUME)
    await operator.until(lambda: operator.condition(VOLUME).get("reason") == "InUse", *both)
    operator.delete(CLUSTER)
    await operator.until(lambda: operator.cache.get(*("SharedVolume", "ml", "data")) is None, *both)
    assert operator.cache.get("GPUCluster", "ml", "train") is None


@pytest.mark.parametrize(
    ("key", "spec", "reason"),
    [
        ("wrong", {}, "CredentialsRefused"),
        (None, {}, "CredentialsMissing"),
        ("simulated-key-penniless", {}, "NoCredit"),
        ("simulated-key-acme", {"region": "mars-1"}, "RegionUnknown"),
        ("simulated-key-acme", {"gpuType": "GB200_SXM"}, "GPUTypeUnavailable"),
        ("simulated-key-acme", {"region": "us-central-4", "gpuType": "H200_SXM"}, "OutOfStock"),
    ],
)
async def test_what_cannot_be_bought_says_why(provider, key, spec, reason):
    operator = Operator(provider.url, key)
    operator.give("GPUCluster", "train", {**SPEC, **spec})
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == reason, CLUSTER)
    assert operator.status(CLUSTER).get("createIntent") is None


async def test_a_region_that_cannot_be_shown_keeps_no_other_from_it(provider):
    def refuse():
        raise from_status("apply GPURegion", 422)

    operator = Operator(provider.url, provider.key)
    operator.kube.before["apply"] = refuse
    assert await operator.costly.region_keeper.work(REGIONS_KEY) == SOON_SECONDS
    assert len(operator.cache.list("GPURegion")) == len(scenarios.named("default").regions) - 1
    assert await operator.costly.region_keeper.work(REGIONS_KEY) == LOOK_SECONDS
    assert len(operator.cache.list("GPURegion")) == len(scenarios.named("default").regions)


async def test_regions_are_shown_as_resources(provider):
    operator = Operator(provider.url, provider.key)
    await operator.costly.region_keeper.work(REGIONS_KEY)
    key = Key("GPURegion", "", "us-central-8")
    await operator.reconciler.reconcile(key)
    assert "H100_SXM" in operator.status(key)["gpuTypes"]
