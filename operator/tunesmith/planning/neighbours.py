"""What one resource needs to know of its neighbours, read from their own typed form. Pure translation, no rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tunesmith.planning.adoption_target import Held
from tunesmith.planning.circumstances import Installation
from tunesmith.planning.cluster_choice import all_choices
from tunesmith.planning.cluster_observation import REFUSALS, InsideFacts, JobUse, NamedVolume
from tunesmith.planning.job_cluster import is_gone
from tunesmith.planning.kube_facts import PodFact
from tunesmith.planning.naming import ProviderName, parse_provider_name, provider_name
from tunesmith.planning.ownership import PAUSED_ANNOTATION, Claim, is_paused, own_name
from tunesmith.planning.provider import GPUS_PER_NODE
from tunesmith.planning.verdict import reason_of
from tunesmith.planning.volume_observation import NamingCluster
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.parsing import parse
from tunesmith.resources.purchase import ManagementPolicy
from tunesmith.resources.reasons import Reason
from tunesmith.resources.shared_volume import SharedVolume
from tunesmith.resources.timestamps import parse_time

Raw = Mapping[str, Any]


def named_volume(volume: SharedVolume) -> NamedVolume:
    """A SharedVolume as the cluster that names it sees it."""
    intent = volume.status.create_intent
    return NamedVolume(
        name=volume.metadata.name,
        regions=_regions(volume),
        size_tib=volume.spec.size_tib or 1,
        volume_id=volume.status.volume_id,
        order_name=intent.name if intent is not None else None,
        elected_uid=intent.cluster_uid if intent is not None else None,
        bound_to=volume.status.bound_to,
        trouble=_trouble(volume),
        deleting=volume.metadata.is_being_deleted,
    )


def naming_clusters(raws: Iterable[Raw], volume_name: str) -> tuple[NamingCluster, ...]:
    """The GPUClusters among these that name the volume."""
    return tuple(
        NamingCluster(
            name=cluster.metadata.name,
            uid=cluster.metadata.uid,
            regions=_regions_of_purchase(cluster),
            created=cluster.metadata.creation_timestamp,
            deleting=cluster.metadata.is_being_deleted,
            buying=cluster.status.create_intent is not None,
            cluster_id=None if is_gone(cluster) else cluster.status.cluster_id,
            held_up=is_gone(cluster) or _is_held_up(cluster),
            credentials_ref=cluster.spec.credentials_ref,
            project_id=cluster.spec.project_id,
        )
        for raw in raws
        if (raw.get("spec", {}).get("volumeRef") or {}).get("name") == volume_name
        and isinstance(cluster := parse(raw), GPUCluster)
    )


def held_id(raw: Raw) -> str | None:
    """The provider's id of what a resource has recorded as its own; None when it has nothing."""
    field = _ID_FIELD.get(str(raw["kind"]))
    return None if field is None else (raw.get("status") or {}).get(field) or None


def may_be_bought_by_another(held: Held, resource: GPUCluster | SharedVolume, installation: Installation) -> bool:
    """Its name says that an installation of ours bought it, and not for this resource."""
    mark = parse_provider_name(held.name)
    return mark is not None and not mark.is_same_object(own_name(resource.kind, resource.metadata, installation, 1))


def other_claims(
    raws: Iterable[Raw], resource: GPUCluster | SharedVolume, held: Held, installation: Installation
) -> tuple[Claim, ...]:
    """Of these resources of its kind, the others that hold the same object, or that bought it by its name."""
    marked = may_be_bought_by_another(held, resource, installation)
    mark, kind = parse_provider_name(held.name) if marked else None, resource.kind
    found = []
    for raw in raws:
        meta = raw["metadata"]
        if meta.get("uid") == resource.metadata.uid:
            continue
        bought = mark is not None and _is_marked(mark, kind, meta, installation)
        if bought or held_id(raw) == held.id:
            claim = Claim(meta.get("namespace", ""), meta["name"], meta.get("uid", ""), _created(meta), bought)
            found.append(claim)
    return tuple(found)


_ID_FIELD = {"GPUCluster": "clusterID", "SharedVolume": "volumeID"}


def _is_marked(mark: ProviderName, kind: str, meta: Raw, installation: Installation) -> bool:
    own = provider_name(
        installation_id=installation.id,
        kind=kind,
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta.get("uid", ""),
    )
    return mark.is_same_object(own)


def job_uses(raws: Iterable[Raw], cluster_name: str) -> tuple[JobUse, ...]:
    """The FineTuneJobs among these that were admitted to the cluster and have not ended."""
    return tuple(
        JobUse(
            name=raw["metadata"]["name"],
            nodes=frozenset(pod["node"] for pod in status["admission"].get("pods") or () if pod.get("node")),
            gpus=sum(pod.get("gpus") or 0 for pod in status["admission"].get("pods") or ()),
            deleting_since=_time(raw["metadata"].get("deletionTimestamp")),
            saved=_time((status.get("checkpoint") or {}).get("time")) or _time(status["admission"].get("time")),
        )
        for raw in raws
        if (status := raw.get("status") or {}).get("clusterName") == cluster_name
        and status.get("admission")
        and not _has_ended(status)
    )


def blames(raws: Iterable[Raw], cluster_name: str) -> Mapping[str, frozenset[str]]:
    """Which of these FineTuneJobs of the cluster blame which of its nodes."""
    blaming: dict[str, set[str]] = {}
    for raw in raws:
        status = raw.get("status") or {}
        if status.get("clusterName") == cluster_name:
            for node in status.get("blamedNodes") or ():
                blaming.setdefault(node, set()).add(raw["metadata"]["name"])
    return {node: frozenset(jobs) for node, jobs in blaming.items()}


def wanting_jobs(raws: Iterable[Raw], cluster_name: str) -> frozenset[str]:
    """Names of the jobs on this cluster that have not ended, in any stage, and that can go on by themselves.

    A job that somebody must mend first, or that its user holds back, keeps nothing: a cluster would bill for it for
    ever.
    """
    return frozenset(raw["metadata"]["name"] for raw in raws if _is_on(raw, cluster_name) and _may_go_on(raw))


def waiting_jobs(raws: Iterable[Raw], cluster_name: str, nodes: int) -> frozenset[str]:
    """Those of them that say they wait for the released cluster, and that its `nodes` would be enough for."""
    return frozenset(
        raw["metadata"]["name"]
        for raw in raws
        if _is_on(raw, cluster_name)
        and _may_go_on(raw)
        and _condition(raw, "ClusterReady").get("reason") == Reason.CLUSTER_RELEASED
        and _fits(raw, nodes)
    )


def storing_jobs(raws: Iterable[Raw], volume_name: str) -> tuple[str, ...]:
    """Names of the FineTuneJobs among these that store on the volume, have not ended and are not being deleted."""
    return tuple(
        sorted(
            raw["metadata"]["name"]
            for raw in raws
            if (((raw.get("spec") or {}).get("storage") or {}).get("sharedVolume") or {}).get("name") == volume_name
            and not raw["metadata"].get("deletionTimestamp")
            and not _has_ended(raw.get("status") or {})
        )
    )


def using_pods(pods: Iterable[PodFact]) -> frozenset[str]:
    """The pods that use GPUs or ask for them, as `namespace/name`."""
    return frozenset(f"{pod.namespace}/{pod.name}" for pod in pods if pod.gpus > 0 and not pod.finished)


def needed_secrets(raws: Iterable[Raw]) -> frozenset[str]:
    """The credential Secrets that these resources name, or still hold."""
    others = tuple(raws)
    named = {((raw.get("spec") or {}).get("credentialsRef") or {}).get("name") for raw in others}
    held = {(raw.get("status") or {}).get("credentialsSecretName") for raw in others}
    return frozenset(name for name in named | held if name)


def inside_facts(
    namespace: Raw | None, claims: Iterable[Raw], volumes: Iterable[Raw], classes: Iterable[Raw]
) -> InsideFacts:
    """What stands in a bought cluster, from its objects."""
    return InsideFacts(
        namespace_labels=None if namespace is None else dict(namespace["metadata"].get("labels") or {}),
        claims={each["metadata"]["name"]: (each.get("status") or {}).get("phase", "") for each in claims},
        persistent_volumes={
            each["metadata"]["name"]: (each.get("spec") or {}).get("storageClassName") or "" for each in volumes
        },
        storage_classes=frozenset(each["metadata"]["name"] for each in classes),
    )


def _trouble(volume: SharedVolume) -> str | None:
    """Why it cannot be attached. To attach a volume is to change it, so one that is only watched is not."""
    if volume.spec.management_policy is ManagementPolicy.OBSERVE:
        return "it is only watched (`spec.managementPolicy` of the SharedVolume)."
    stalled = find_condition(volume.status.conditions, "Stalled")
    return stalled.message if stalled is not None and stalled.is_true else None


def _regions(volume: SharedVolume) -> tuple[str, ...]:
    """Where a cluster must be to have it: where it lies once it is made, before that where it may be made."""
    if volume.status.volume_id is not None and volume.status.region:
        return (volume.status.region,)
    return tuple(region for region in (volume.spec.region, *volume.spec.regions) if region)


def _regions_of_purchase(cluster: GPUCluster) -> tuple[str, ...]:
    """Where the cluster is, or is being bought, or may be bought."""
    status = cluster.status
    for named in (status.choice if status.cluster_id is not None else None, status.create_intent):
        if named is not None and named.region:
            return (named.region,)
    return tuple(dict.fromkeys(choice.region for choice in all_choices(cluster.spec)))


def _is_held_up(cluster: GPUCluster) -> bool:
    status = cluster.status
    if status.cluster_id is not None or status.create_intent is not None:
        return False
    if cluster.spec.adopt is not None:
        return True  # it is never bought, so it can make no volume
    stalled = find_condition(status.conditions, "Stalled")
    if status.release is not None or reason_of(status.conditions, "Ready") == Reason.OUTSIDE_SCHEDULE:
        return True
    refused = reason_of(status.conditions, "Provisioned") in REFUSALS
    return refused or is_paused(cluster.metadata) or (stalled is not None and stalled.is_true)


def _is_on(raw: Raw, cluster_name: str) -> bool:
    placement = (raw.get("spec") or {}).get("placement") or {}
    named = (placement.get("cluster") or {}).get("name")
    return cluster_name in {named, (raw.get("status") or {}).get("clusterName")}


def _may_go_on(raw: Raw) -> bool:
    spec, meta = raw.get("spec") or {}, raw["metadata"]
    if (
        _has_ended(raw.get("status") or {})
        or meta.get("deletionTimestamp")
        or spec.get("dryRun")
        or spec.get("suspend")
    ):
        return False
    paused = (meta.get("annotations") or {}).get(PAUSED_ANNOTATION) == "true"
    return not paused and _condition(raw, "Stalled").get("status") != "True"


def _fits(raw: Raw, nodes: int) -> bool:
    plan = (raw.get("status") or {}).get("plan") or {}
    per_pod = plan.get("gpusPerPod") or 0
    pods_on_a_node = GPUS_PER_NODE // per_pod if 0 < per_pod <= GPUS_PER_NODE else 0
    return bool((plan.get("pods") or 0) <= pods_on_a_node * nodes and pods_on_a_node)


def _condition(raw: Raw, kind: str) -> Raw:
    conditions: Iterable[Raw] = (raw.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})


def _has_ended(status: Raw) -> bool:
    kinds = {c.get("type"): c.get("status") for c in status.get("conditions") or ()}
    return "True" in (kinds.get("Succeeded"), kinds.get("Failed"))


def _created(meta: Raw) -> datetime | None:
    return _time(meta.get("creationTimestamp"))


def _time(text: Any) -> datetime | None:
    return parse_time(text) if isinstance(text, str) else None
