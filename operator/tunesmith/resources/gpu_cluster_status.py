"""What the operator reports about a GPUCluster."""

from typing import Annotated

from tunesmith.resources.metadata import Status
from tunesmith.resources.purchase import Choice, Cost, CreateIntent
from tunesmith.resources.schema import Count, Line, ListOf, StatusPart, Text, Time, Word, doc, items


class ClusterCreateIntent(CreateIntent):
    """The open purchase of a cluster, with all that adoption will compare."""

    gpu_type: Annotated[Line | None, doc("The GPU type that is asked for.")] = None


class OutOfStock(StatusPart):
    """A choice that the provider had no GPUs for when it was asked."""

    region: Annotated[Line, doc("The region.")]
    gpu_type: Annotated[Line, doc("The GPU type.")]
    since_time: Annotated[Time | None, doc("Since when: the first of the answers in a row.")] = None


class Reservation(StatusPart):
    """The time that was paid for ahead, as the provider tells it."""

    start_time: Annotated[Time | None, doc("When it begins.")] = None
    end_time: Annotated[Time | None, doc("When the provider ends the cluster.")] = None


class NodeCounts(StatusPart):
    """Nodes of the cluster."""

    desired: Annotated[Count | None, doc("How many the provider was asked for.")] = None
    ready: Annotated[Count | None, doc("How many are Ready in the cluster's own Kubernetes.")] = None
    preemptible: Annotated[Count | None, doc("How many of them the provider may take away.")] = None
    capacity_pool: Annotated[Count | None, doc("How many of them come from a capacity pool.")] = None


class GPUCounts(StatusPart):
    """GPUs of the cluster."""

    desired: Annotated[Count | None, doc("How many the provider was asked for.")] = None
    allocated: Annotated[Count | None, doc("How many are held by admitted jobs.")] = None
    ready: Annotated[Count | None, doc("How many are on Ready nodes.")] = None


class Release(StatusPart):
    """Why the cluster was given back while the resource stays."""

    reason: Annotated[Word | None, doc("'Idle', 'Expired', 'Schedule' or 'Budget'.")] = None
    time: Annotated[Time | None, doc("When it was given back.")] = None


class AttachedVolume(StatusPart):
    """A volume that the provider attached."""

    id: Annotated[Line, doc("The provider's id of the volume.")]
    name: Annotated[Line | None, doc("Its name at the provider, and of its PersistentVolume in the cluster.")] = None


class RepairRecord(StatusPart):
    """One repair of a node."""

    id: Annotated[Line, doc("The provider's id of the repair.")]
    node: Annotated[Line | None, doc("The node.")] = None
    mode: Annotated[Word | None, doc("What is done.")] = None
    outcome: Annotated[Word | None, doc("How far it is, in the provider's words.")] = None
    time: Annotated[Time | None, doc("When it was asked for.")] = None
    end_time: Annotated[Time | None, doc("When it was over.")] = None


class SuspectNode(StatusPart):
    """A node that looks broken, or that jobs have blamed."""

    name: Annotated[Line, doc("The node.")]
    reason: Annotated[Text | None, doc("What is wrong with it, in one word.")] = None
    time: Annotated[Time | None, doc("Since when; kept over restarts and while the reason changes.")] = None
    blamed_by: Annotated[tuple[Line, ...], doc("The jobs that blame it."), items(16, least=0), ListOf("set")] = ()
    cleared_time: Annotated[Time | None, doc("When a repair answered the blame; the node is trusted again since.")] = (
        None
    )


class LeavingNode(StatusPart):
    """A node that gets no further jobs, because it is to go or to be repaired."""

    name: Annotated[Line, doc("The node.")]
    reason: Annotated[Word | None, doc("'ScaleDown', 'Preempted' or 'Repair'.")] = None
    jobs: Annotated[
        Word | None, doc("What becomes of the jobs on it: they 'MayFinish', or 'MustLeave' after they have saved.")
    ] = None
    time: Annotated[Time | None, doc("Since when.")] = None
    repair_mode: Annotated[Word | None, doc("The repair that it is to get, in the provider's words.")] = None
    asked_time: Annotated[Time | None, doc("When the provider was asked to repair it, or to take it.")] = None
    repair_id: Annotated[Line | None, doc("The provider's id of the repair, once it is known.")] = None


class GPUClusterStatus(Status):
    """What is known about the cluster."""

    provider_name: Annotated[Line | None, doc("The cluster's name at the provider.")] = None
    cluster_id: Annotated[Line | None, doc("The provider's id of the cluster.")] = None
    project_id: Annotated[Line | None, doc("The provider's project that pays.")] = None
    credential_fingerprint: Annotated[Word | None, doc("Which credential bought it; a hash, never the key.")] = None
    credentials_secret_name: Annotated[
        Line | None, doc("The Secret of `spec.credentialsRef` that is kept from deletion for what was bought.")
    ] = None
    incarnation: Annotated[Count | None, doc("Counts up after each confirmed absence; part of the name.")] = None
    create_intent: Annotated[ClusterCreateIntent | None, doc("The purchase that is under way.")] = None
    provider_status: Annotated[Line | None, doc("The state in the provider's own words.")] = None
    choice: Annotated[Choice | None, doc("Which of the alternatives was bought.")] = None
    out_of_stock: Annotated[
        tuple[OutOfStock, ...],
        doc("What was asked for and was out of stock, the newest answer last; empty once a cluster is bought."),
        items(17, least=0),
    ] = ()
    next_try_time: Annotated[
        Time | None, doc("When the provider is asked again, while everything is out of stock.")
    ] = None
    vanished: Annotated[
        Count | None,
        doc("How many clusters in a row vanished, none of which had been Ready for an hour; absent: none."),
    ] = None
    recreate_time: Annotated[
        Time | None, doc("When the next one is bought, while clusters vanish again and again.")
    ] = None
    reservation: Annotated[Reservation | None, doc("The time that was paid for ahead; absent with 'OnDemand'.")] = None
    components_hash: Annotated[
        Word | None,
        doc(
            "Hash of `spec.components` as the provider was asked for last. What it does not report of them is asked "
            "for once."
        ),
    ] = None
    nodes: Annotated[NodeCounts | None, doc("Nodes, as asked for and as they are.")] = None
    gpus: Annotated[GPUCounts | None, doc("GPUs, as asked for and as they are.")] = None
    selector: Annotated[Line | None, doc("Label selector of the cluster's pods, for the `/scale` subresource.")] = None
    cost: Annotated[Cost | None, doc("What it costs and has cost.")] = None
    release: Annotated[Release | None, doc("Set while the cluster is given back and this resource stays.")] = None
    idle_since: Annotated[Time | None, doc("Since when nothing is known to use the cluster.")] = None
    first_ready_time: Annotated[Time | None, doc("When this incarnation was first Ready.")] = None
    volumes: Annotated[
        tuple[AttachedVolume, ...],
        doc("Volumes that the provider attached."),
        items(16, least=0),
        ListOf("map", keys=("id",)),
    ] = ()
    repairs: Annotated[
        tuple[RepairRecord, ...], doc("The newest repairs."), items(16, least=0), ListOf("map", keys=("id",))
    ] = ()
    suspect_nodes: Annotated[
        tuple[SuspectNode, ...],
        doc("Nodes that look broken or that jobs have blamed, since when."),
        items(64, least=0),
        ListOf("map", keys=("name",)),
    ] = ()
    leaving_nodes: Annotated[
        tuple[LeavingNode, ...],
        doc("Nodes that get no further jobs, because they are to go or to be repaired."),
        items(256, least=0),
        ListOf("map", keys=("name",)),
    ] = ()
    kubeconfig_secret_name: Annotated[Line | None, doc("The Secret that holds the kubeconfig.")] = None
    last_handled_reconcile_time: Annotated[
        Line | None, doc("The value of the annotation `tunesmith.dev/reconcile-requested-at` that was answered last.")
    ] = None
    last_handled_reacquire_time: Annotated[
        Line | None, doc("The value of the annotation `tunesmith.dev/reacquire-requested-at` that was answered last.")
    ] = None
