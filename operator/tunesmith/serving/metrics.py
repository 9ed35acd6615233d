"""The operator's metrics: their names, and how they are counted. Only money is told by object, and bounded."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tunesmith.serving.cost_metrics import cost_families

Raw = Mapping[str, Any]
SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120)
WRITES = {"POST", "PATCH", "PUT", "DELETE"}


@dataclass(frozen=True)
class Readings:
    """What is read at the moment of a scrape."""

    queue_depth: Callable[[], int]
    passes_in_flight: Callable[[], int]
    lease_held: Callable[[], bool]
    resources: Callable[[str], Iterable[Raw]]  # by kind
    breakers: Callable[[], Mapping[str, int]] = dict  # credentials by the state of their circuit breaker
    orphans: Callable[[], Mapping[str, int]] = dict  # what bills at the provider without a resource, by kind


class Metrics:
    """Counts passes and requests; reads the rest when asked."""

    def __init__(self, readings: Readings) -> None:
        self.registry = CollectorRegistry()
        self._passes = Histogram(
            "tunesmith_reconcile_seconds",
            "Duration of passes by kind and outcome.",
            ("kind", "outcome"),
            registry=self.registry,
            buckets=SECONDS,
        )
        self._kube = Histogram(
            "tunesmith_kube_request_seconds",
            "Duration of requests to Kubernetes API servers by verb, kind and outcome.",
            ("verb", "kind", "outcome"),
            registry=self.registry,
            buckets=SECONDS,
        )
        self._writes = Counter(
            "tunesmith_kube_writes", "Writes to the local API server by kind.", ("kind",), registry=self.registry
        )
        self._cloud = Histogram(
            "tunesmith_cloud_request_seconds",
            "Duration of requests to the provider by method, collection and outcome.",
            ("method", "collection", "outcome"),
            registry=self.registry,
            buckets=SECONDS,
        )
        self._held = Counter(
            "tunesmith_cloud_retry_after_seconds",
            "Seconds for which the provider asked to be left alone (Retry-After), summed over credentials.",
            registry=self.registry,
        )
        self.registry.register(_Scraped(readings))

    def passed(self, kind: str, outcome: str, seconds: float) -> None:
        """One pass."""
        self._passes.labels(kind, outcome).observe(seconds)

    def kube_request(self, verb: str, kind: str, outcome: str, seconds: float) -> None:
        """One request to the local API server."""
        self._kube.labels(verb, kind, outcome).observe(seconds)
        if verb in WRITES:
            self._writes.labels(kind).inc()

    def cloud_request(self, method: str, collection: str, outcome: str, seconds: float) -> None:
        """One request to the provider."""
        self._cloud.labels(method, collection, outcome).observe(seconds)

    def cloud_held(self, seconds: float) -> None:
        """The provider asked to be left alone for so long."""
        self._held.inc(seconds)


class _Scraped(Collector):
    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """Read everything once."""
        readings = self._readings
        yield _gauge("tunesmith_queue_depth", "Keys that are due and wait for a worker.", readings.queue_depth())
        yield _gauge("tunesmith_passes_in_flight", "Passes that are going on.", readings.passes_in_flight())
        yield _gauge("tunesmith_lease_held", "1 while this process is the active one.", int(readings.lease_held()))
        yield self._clusters_by_phase()
        yield self._open_intents()
        yield from cost_families({kind: self._readings.resources(kind) for kind in ("GPUCluster", "SharedVolume")})
        yield self._breakers()
        yield self._orphans()

    def _orphans(self) -> GaugeMetricFamily:
        text = "Things that bill at the provider under a name of ours and that no resource answers for, by kind."
        family = GaugeMetricFamily("tunesmith_orphans", text, labels=["kind"])
        counted = self._readings.orphans()
        for kind in ("GPUCluster", "SharedVolume"):
            family.add_metric([kind], counted.get(kind, 0))
        return family

    def _breakers(self) -> GaugeMetricFamily:
        text = "Credentials by the state of their circuit breaker: requests go, fail at once, or are tried again."
        family = GaugeMetricFamily("tunesmith_cloud_breakers", text, labels=["state"])
        counted = self._readings.breakers()
        for state in ("Closed", "Open", "HalfOpen"):
            family.add_metric([state], counted.get(state, 0))
        return family

    def _clusters_by_phase(self) -> GaugeMetricFamily:
        text = "GPUClusters with a provider's id, by the provider's status: what is being paid for."
        family = GaugeMetricFamily("tunesmith_paid_clusters", text, labels=["phase"])
        statuses = [cluster.get("status") or {} for cluster in self._readings.resources("GPUCluster")]
        phases = Tally(str(status.get("providerStatus", "Unknown")) for status in statuses if status.get("clusterID"))
        for phase, count in phases.items():
            family.add_metric([phase], count)
        return family

    def _open_intents(self) -> GaugeMetricFamily:
        text = "Purchases that were intended and are not yet known to have happened or failed, by kind."
        family = GaugeMetricFamily("tunesmith_open_intents", text, labels=["kind"])
        for kind in ("GPUCluster", "SharedVolume"):
            found = self._readings.resources(kind)
            family.add_metric([kind], sum(1 for raw in found if (raw.get("status") or {}).get("createIntent")))
        return family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
