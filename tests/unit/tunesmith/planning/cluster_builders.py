"""GPUClusters and what surrounds them, with good defaults."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.circumstances import Circumstances, Installation, Known, Prices
from tunesmith.planning.cluster_observation import ClusterObservation, InsideFacts, StoredSecret
from tunesmith.planning.cluster_setup import NAMESPACE_LABELS
from tunesmith.planning.decision import Outcome
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.naming import provider_name
from tunesmith.planning.ownership import FINALIZER, NAME_ANNOTATION
from tunesmith.planning.provider import Credential, Driver, ProviderCluster, ProviderView, Region
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.planning.usage import RecordUsage
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.gpu_cluster import GPUCluster

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MONOTONIC = 1000.0
UID = "7c1f4a5e-0000-4000-8000-000000000001"
INSTALLATION = Installation(id="prod01", prices=Prices({"H100_SXM": Decimal("3.99")}))
NAME = provider_name(installation_id="prod01", kind="GPUCluster", namespace="ml", name="train", uid=UID)
REGION = Region(
    "us-central-8",
    ("H100_SXM", "H200_SXM"),
    (Driver("nvidia-570-22", "12.8", "570"), Driver("nvidia-595-22", "13.0", "595")),
)
KUBECONFIG = "apiVersion: v1\nkind: Config\n"


def circumstances(monotonic=MONOTONIC, now=None, installation=INSTALLATION, failures=None, nonce="fresh"):
    """One pass's frame; wall time goes with the monotonic clock."""
    return Circumstances(
        now=now or NOW + timedelta(seconds=round(monotonic - MONOTONIC)),
        monotonic=monotonic,
        jitter=0.5,
        fresh_nonce=nonce,
        installation=installation,
        failures=failures or {},
    )


def a_cluster_resource(*, finalizer=True, named=True, deleting=False, status=None, annotations=None, uid=UID, **spec):
    """A GPUCluster `ml/train` of one H100 node."""
    metadata = {
        "name": "train",
        "namespace": "ml",
        "uid": uid,
        "generation": 1,
        "creationTimestamp": "2026-01-01T11:00:00Z",
        "finalizers": [FINALIZER] if finalizer else [],
        "annotations": {**({NAME_ANNOTATION: str(NAME)} if named else {}), **(annotations or {})},
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T11:59:00Z"
    body = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1, **spec}
    return GPUCluster.model_validate(
        {
            "apiVersion": "tunesmith.dev/v1alpha1",
            "kind": "GPUCluster",
            "metadata": metadata,
            "spec": body,
            "status": status or {},
        }
    )


def a_provider_cluster(cluster_id="c-1", name=str(NAME), status="Ready", gpus=8, **more):
    """A cluster as the provider shows it."""
    facts = {"region": "us-central-8", "gpu_type": "H100_SXM", "project_id": "p-1", "kubeconfig": KUBECONFIG, **more}
    return ProviderCluster(id=cluster_id, name=name, status=status, gpus=gpus, **facts)


def a_view(*clusters, volumes=(), begun=MONOTONIC, regions=(REGION,), not_found=None):
    """What one credential sees."""
    return ProviderView(
        Known(tuple(clusters), begun), Known(tuple(volumes), begun), Known(regions, begun), not_found or {}
    )


def nodes(count, *, ready=True):
    """GPU nodes of a bought cluster."""
    return Known(tuple(NodeFact(f"node-{index}", ready=ready, gpus=8) for index in range(count)), MONOTONIC)


def seen(resource=None, view=None, *, monotonic=MONOTONIC, memory=None, failures=None, **more):
    """An observation of an object that this process has known for a minute."""
    return ClusterObservation(
        around=circumstances(monotonic, failures=failures),
        resource=resource or a_cluster_resource(),
        credential=more.pop("credential", Credential("key-1", None)),
        provider=view or a_view(begun=monotonic),
        memory=memory or PurchaseMemory(first_seen=MONOTONIC - 60, named=True),
        **more,
    )


def bought_status(**more):
    """The status of a cluster whose id is recorded."""
    return {
        "clusterID": "c-1",
        "providerName": str(NAME),
        "incarnation": 1,
        "credentialFingerprint": "key-1",
        "projectID": "p-1",
        "choice": {"region": "us-central-8", "gpuType": "H100_SXM"},
        "cost": {"hourlyUSD": "31.92", "computeUSD": "0.00", "asOfTime": "2026-01-01T12:00:00Z"},
        **more,
    }


def a_running_cluster(*, gpus=8, ready_nodes=1, status=None, view=None, **more):
    """The observation of a cluster that is bought, reachable and set up."""
    resource = more.pop("resource", None) or a_cluster_resource(
        status=status or bought_status(), **more.pop("spec", {})
    )
    observation = seen(resource, view or a_view(a_provider_cluster(gpus=gpus), begun=more.get("monotonic", MONOTONIC)))
    facts = {
        "kubeconfig_secret": Known(StoredSecret(frozenset({UID}), KUBECONFIG, "c-1"), MONOTONIC),
        "inside": Known(InsideFacts(namespace_labels=NAMESPACE_LABELS), MONOTONIC),
        "nodes": nodes(ready_nodes),
        "pods": Known((), MONOTONIC),
    }
    monotonic = more.pop("monotonic", MONOTONIC)
    return replace(observation, around=circumstances(monotonic), **{**facts, **more})


INTENT = {"name": str(NAME), "nonce": "n1", "startedTime": "2026-01-01T12:00:00Z", "region": "us-central-8"}
OWN_MEMORY = PurchaseMemory(first_seen=940.0).with_intent_written("n1", decided=MONOTONIC, written=MONOTONIC)


def reason(decision, kind="Ready"):
    found = find_condition(decision.status.conditions, kind)
    return None if found is None else found.reason


def only(decision, kind):
    (action,) = decision.actions
    assert isinstance(action, kind)
    return action


def lets_go(decision):
    """The resource may go: what it came to is recorded first."""
    record, *_, last = decision.actions
    assert isinstance(record, RecordUsage)
    assert isinstance(last, SetMetadata)
    return last


def decide_with_its_record(observation):
    """The decision, once the usage record that goes before it is written."""
    decision = decide(observation)
    if not any(isinstance(action, RecordUsage) for action in decision.actions):
        return decision
    outcomes = tuple(Outcome(action) for action in decision.actions)
    return decide(replace(observation, around=replace(observation.around, outcomes=outcomes)))
