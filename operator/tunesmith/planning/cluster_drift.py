"""How the provider's cluster differs from what `spec` wants: one table of everything that can be compared.

What `spec` may change is restored by the questions that own it (size, billing counts, add-ons, components); a
difference in it is drift only when the cluster was as wanted before under the same spec, because otherwise it is our
own change on its way. What `spec` may not change is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tunesmith.planning.cluster_choice import all_choices
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_order import BILLING_WORDS, GROUPS_PREFIX, USERS_PREFIX
from tunesmith.planning.looking import unseen_seconds
from tunesmith.planning.preemption import is_another_size
from tunesmith.planning.provider import GPUS_PER_NODE, Login, Phase, ProviderCluster, named_things
from tunesmith.planning.reservation import moved_end, paid_end
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.gpu_cluster import GPUClusterSpec
from tunesmith.resources.gpu_cluster_parts import OIDC, Billing, BillingType, ClusterType
from tunesmith.resources.gpu_cluster_parts import Installation as Installed
from tunesmith.resources.purchase import ManagementPolicy
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

CLUSTER_TYPE_WORDS = {ClusterType.KUBERNETES: "KUBERNETES", ClusterType.SLURM: "SLURM"}
SIZE = "spec.nodes"
MOST_NAMED = 8
TIMES_AGREE_WITHIN = timedelta(minutes=10)
"""A provider may begin a little later than at the second that was asked for, and say so."""


@dataclass(frozen=True)
class Difference:
    """One field, as it is wanted and as the provider has it, in words. `restored`: the operator puts it right."""

    field: str
    wanted: str
    found: str
    restored: bool = False

    def __str__(self) -> str:
        return f"`{self.field}` wants '{self.wanted}', the provider has '{self.found}'"


def drift(seen: ClusterObservation, cluster: ProviderCluster) -> Verdict:
    """Condition Drifted: whether somebody changed the cluster, or the provider has more than one."""
    unseen = unseen_seconds(seen.provider.begun, seen.spec.drift.interval_seconds, seen.around)
    if unseen is not None:
        text = f"The provider could not be looked at for more than {unseen} s, so nobody knows."
        return Verdict(None, Reason.PROVIDER_UNREACHABLE, text)
    others = seen.bought_beside
    if others:
        text = f"The provider has more clusters of this resource: {named_things(others)}. Delete them there: they bill."
        return Verdict(True, Reason.DUPLICATE_FOUND, text)
    found = differences(seen, cluster)
    if not found:
        return Verdict(False, Reason.AS_WANTED, "The provider's cluster is as `spec` says.")
    drifted = tuple(each for each in found if not each.restored or was_as_wanted(seen))
    if not drifted:
        return Verdict(False, Reason.CHANGING, f"The provider's cluster is being changed: {_listed(found)}.")
    if all(each.field == SIZE for each in drifted):
        then = f"The size of `spec` {_is_restored(seen)}."
        if not seen.may_change:
            then = "It is left so: the cluster is only watched."
        text = f"Somebody changed the size at the provider: {_listed(drifted)}. {then}"
        return Verdict(True, Reason.SIZE_CHANGED_OUTSIDE, text)
    advice = _advice(seen, drifted)
    return Verdict(True, Reason.DRIFTED, f"The provider's cluster is not as wanted: {_listed(drifted)}.{advice}")


def was_as_wanted(seen: ClusterObservation) -> bool:
    """Under this very spec the cluster was as wanted before, or its drift was told already."""
    before = find_condition(seen.status.conditions, "Drifted")
    if before is None or before.observed_generation != seen.resource.metadata.generation:
        return False
    known = {Reason.AS_WANTED, Reason.DRIFTED, Reason.SIZE_CHANGED_OUTSIDE}
    return before.reason in {*known, Reason.PROVIDER_UNREACHABLE}


def differences(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[Difference, ...]:
    """Every field that differs, in the order of the table. What the provider does not say differs in nothing."""
    mends = seen.spec.management_policy is ManagementPolicy.MANAGE
    rows = [*(Difference(*row) for row in _fixed(seen, cluster))]
    rows += [Difference(*row, restored=mends) for row in _changeable(seen, cluster)]
    return tuple(rows)


Row = tuple[str, str, str]


def _fixed(seen: ClusterObservation, cluster: ProviderCluster) -> Iterator[Row]:
    """What can only be put right by another cluster."""
    spec, driver = seen.spec, seen.spec.driver
    adopted = spec.adopt is not None
    choice = seen.choice if not adopted and seen.choice in all_choices(spec) else all_choices(spec)[0]
    yield from _row("spec.region", choice.region, cluster.region)
    yield from _row("spec.gpuType", choice.gpu_type, cluster.gpu_type)
    yield from _row("spec.projectID", spec.project_id, cluster.project_id)
    yield from _row("status.providerName", None if adopted else seen.status.provider_name, cluster.name)
    yield from _volume(seen, cluster)
    yield from _row("spec.clusterType", CLUSTER_TYPE_WORDS[spec.cluster_type], cluster.cluster_type)
    if not adopted or spec.billing.type is not BillingType.ON_DEMAND:  # the default says nothing of what was adopted
        yield from _row("spec.billing.type", BILLING_WORDS[spec.billing.type], cluster.billing_type)
    if spec.billing.capacity_pool is not None:
        yield from _row("spec.billing.capacityPool.id", spec.billing.capacity_pool.id, cluster.capacity_pool_id)
    yield from _paid_time(spec.billing, cluster)
    if moved_end(spec.billing, paid_end(seen, cluster)) is None:  # sooner than a reservation's end: no money comes back
        yield from _end(seen, cluster)
    if driver is not None:
        yield from _row("spec.driver.versionID", driver.version_id, cluster.driver_version_id)
        yield from _row("spec.driver.cudaVersion", driver.cuda_version, cluster.cuda_version, same=_same_version)
        yield from _row("spec.driver.driverVersion", driver.driver_version, cluster.driver_version, same=_same_version)
    if spec.slurm is not None:
        shared, found = spec.slurm.shared_memory_gib, cluster.slurm_shared_memory_gib
        yield from _row("spec.slurm.sharedMemoryGiB", str(shared), str(found) if found else None)
    if spec.oidc is not None:
        yield from _login(spec.oidc, cluster.login, adopted=adopted)


def _volume(seen: ClusterObservation, cluster: ProviderCluster) -> Iterator[Row]:
    """Whether it has the volume that was named. One that is being built may show none yet."""
    volume, reference = seen.volume, seen.spec.volume_ref
    if volume is None or volume.volume_id is None or reference is None:
        return
    if any(each.id == volume.volume_id for each in cluster.volumes):
        return
    if cluster.volumes or cluster.phase is not Phase.IN_PROGRESS or seen.status.cluster_id is None:
        has = ", ".join(each.name or each.id for each in cluster.volumes) or "no volume"
        yield "spec.volumeRef.name", reference.name, has


def _paid_time(billing: Billing, cluster: ProviderCluster) -> Iterator[Row]:
    """When it begins, and how long it is unless it was made longer since."""
    begins, found = billing.start_time, cluster.reservation_start
    if begins is not None and found is not None and abs(begins - found) > TIMES_AGREE_WITHIN:
        yield from _row("spec.billing.startTime", _instant(begins), _instant(found))
    days, hours = billing.duration_days, cluster.duration_hours
    if days is not None and hours and billing.end_time is None and abs(hours - days * 24) >= 24:
        yield "spec.billing.durationDays", str(days), f"{hours} hours"


def _login(wanted: OIDC, found: Login, *, adopted: bool) -> Iterator[Row]:
    """A prefix that was left out is our own when we bought it, and not said when we did not."""
    users, groups = ("", "") if adopted else (USERS_PREFIX, GROUPS_PREFIX)
    yield from _row("spec.oidc.issuerURL", wanted.issuer_url, found.issuer_url)
    yield from _row("spec.oidc.clientID", wanted.client_id, found.client_id)
    yield from _row("spec.oidc.usernameClaim", wanted.username_claim, found.username_claim)
    yield from _row("spec.oidc.usernamePrefix", wanted.username_prefix or users, found.username_prefix)
    yield from _row("spec.oidc.groupsClaim", wanted.groups_claim, found.groups_claim)
    yield from _row("spec.oidc.groupsPrefix", wanted.groups_prefix or groups, found.groups_prefix)
    ours, theirs = "".join((wanted.ca_certificate or "").split()), "".join(found.ca_certificate.split())
    if ours and theirs and ours != theirs:
        yield "spec.oidc.caCertificate", "the certificate of the spec", "another certificate"


def _changeable(seen: ClusterObservation, cluster: ProviderCluster) -> Iterator[Row]:
    """What a change of the provider's cluster puts right."""
    spec, billing = seen.spec, seen.spec.billing
    ours = spec.nodes is not None and spec.max_nodes is None  # an autoscaled cluster's size is the provider's
    if ours and is_another_size(cluster, seen.wanted_gpus):
        yield from _nodes(SIZE, seen.wanted_nodes, cluster.gpus)
    if spec.adopt is None or billing.preemptible_nodes is not None:
        yield from _nodes(
            "spec.billing.preemptibleNodes", billing.preemptible_nodes or 0, cluster.desired_preemptible_gpus
        )
    if billing.reserved_nodes is not None:
        yield from _nodes("spec.billing.reservedNodes", billing.reserved_nodes, cluster.reserved_gpus)
    if billing.capacity_pool is not None:
        yield from _nodes("spec.billing.capacityPool.nodes", billing.capacity_pool.nodes, cluster.capacity_pool_gpus)
    if moved_end(billing, paid_end(seen, cluster)) is not None:
        yield from _end(seen, cluster)
    yield from _components(spec, cluster)
    yield from _add_ons(spec, cluster)


def _end(seen: ClusterObservation, cluster: ProviderCluster) -> Iterator[Row]:
    yield from _row("spec.billing.endTime", _instant(seen.spec.billing.end_time), _instant(paid_end(seen, cluster)))


def _components(spec: GPUClusterSpec, cluster: ProviderCluster) -> Iterator[Row]:
    wanted, found = spec.components, cluster.components
    if wanted is None:
        return
    yield from _row("spec.components.loadBalancer", wanted.load_balancer, found.load_balancer, same=_same_word)
    for name, want, have in (
        ("ingress", wanted.ingress, found.ingress),
        ("observability", wanted.observability, found.observability),
        ("dashboard", wanted.dashboard, found.dashboard),
    ):
        yield from _row(f"spec.components.{name}", want, None if have is None else _switch(have))
    yield from _row("spec.components.gpuOperatorVersion", wanted.gpu_operator_version, found.gpu_operator_version)
    yield from _row(
        "spec.components.networkOperatorVersion", wanted.network_operator_version, found.network_operator_version
    )


def _add_ons(spec: GPUClusterSpec, cluster: ProviderCluster) -> Iterator[Row]:
    installed = {each.name: each.enabled for each in cluster.add_ons}
    for wanted in spec.add_ons:
        have = _switch(installed[wanted.name]) if wanted.name in installed else "not there"
        if wanted.enabled != installed.get(wanted.name, False):
            yield f"spec.addOns[{wanted.name}].enabled", _switch(wanted.enabled), have


def _row(
    field: str, wanted: str | None, found: str | None, *, same: Callable[[str, str], bool] = str.__eq__
) -> Iterator[Row]:
    """Nothing when one side says nothing: unknown is no difference."""
    if wanted and found and not same(wanted, found):
        yield field, wanted, found


def _nodes(field: str, wanted: int, gpus: int) -> Iterator[Row]:
    if wanted * GPUS_PER_NODE != gpus:
        nodes, rest = divmod(gpus, GPUS_PER_NODE)
        yield field, str(wanted), f"{nodes} nodes and {rest} GPUs" if rest else str(nodes)


def _same_version(wanted: str, found: str) -> bool:
    """'570' is met by '570.86.15', and '12.8' by '12.8.1' or '12.8-ubuntu-24.04', but not by '12.81'."""
    return found == wanted or found.startswith((f"{wanted}.", f"{wanted}-"))


def _same_word(wanted: str, found: str) -> bool:
    return wanted.casefold() == found.casefold()


def _switch(enabled: bool) -> str:
    return str(Installed.ENABLED if enabled else Installed.DISABLED)


def _instant(time: datetime | None) -> str | None:
    return None if time is None else format_time(time.replace(microsecond=0))


def _listed(found: tuple[Difference, ...]) -> str:
    named = "; ".join(str(each) for each in found[:MOST_NAMED])
    return named if len(found) <= MOST_NAMED else f"{named}; and {len(found) - MOST_NAMED} more"


def _is_restored(seen: ClusterObservation) -> str:
    """What is bought again for that, the budget may hold back."""
    return "is restored" if seen.spec.budget is None else "is restored as far as `spec.budget` allows"


def _advice(seen: ClusterObservation, drifted: tuple[Difference, ...]) -> str:
    if all(each.restored for each in drifted):
        return f" What `spec` says {_is_restored(seen)}."
    if not seen.may_change:
        return " Nothing is changed, because the cluster is only watched."
    fixed = ", ".join(f"`{each.field}`" for each in drifted if not each.restored)
    return f" {fixed} cannot be changed on a cluster that is bought: put it right at the provider, or buy another."
