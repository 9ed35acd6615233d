"""Getting a SharedVolume made: by the one cluster that it elects, or by itself at once."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.bought import quietly, tell
from tunesmith.planning.circumstances import Known
from tunesmith.planning.cluster_refusal import REASONS, WAITS_BY_ITSELF, WAY_OUT
from tunesmith.planning.credential_kept import another_key_since_the_intent, ordered_by_another_account
from tunesmith.planning.decision import ErrorClass, EventNote, EventType, Failure
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.orders import BuyVolume, VolumeOrder
from tunesmith.planning.provider import Credential, Phase, ProviderVolume
from tunesmith.planning.purchase import (
    CloseIntent,
    HoldIntent,
    LookFirst,
    Made,
    OpenIntent,
    Pause,
    Post,
    Unsent,
    next_step,
    orders_unanswered,
    settled_at,
)
from tunesmith.planning.verdict import Standing, Verdict, reason_of
from tunesmith.planning.volume_account import bought_now
from tunesmith.planning.volume_observation import NamingCluster, VolumeDecision, VolumeObservation
from tunesmith.resources.reasons import Reason
from tunesmith.resources.shared_volume import SharedVolumeStatus, VolumeCreateIntent


def found_by_name(seen: VolumeObservation) -> VolumeDecision | None:
    """A volume of our own name is ours, whoever's request made it."""
    if seen.status.volume_id is not None:
        return None
    own = [volume for volume in seen.provider.own_volumes(seen.name) if volume.status != "deleting"]
    if not own:
        return None
    return record(seen, own[0])  # of further ones the condition tells, as long as they are there


def region_is_wrong(seen: VolumeObservation) -> VolumeDecision | None:
    """The region is held against the provider's own list before money is spent."""
    regions = seen.provider.regions
    if seen.status.volume_id is not None or not isinstance(regions, Known):
        return None
    names = sorted(region.name for region in regions.value)
    if any(region in names for region in seen.regions):
        return None
    field = "spec.regions" if seen.spec.regions else "spec.region"
    wanted = " or ".join(f"'{region}'" for region in seen.regions)
    message = f"The provider has no region {wanted}. It has: {', '.join(names) or 'none'}. "
    message += f"`{field}` is immutable: make the resource again with one of these."
    return tell(seen, Standing.STALLED, Reason.REGION_UNKNOWN, message)


def made_with_a_cluster(seen: VolumeObservation) -> VolumeDecision | None:
    """One cluster is elected to make the volume with itself; the others wait for it."""
    if seen.status.volume_id is not None or not seen.waits_for_first_cluster:
        return None
    if seen.has_lost_its_status:
        return presume_an_order(seen)
    intent = seen.status.create_intent
    if intent is None:
        return _elect(seen)
    elected = next((cluster for cluster in seen.clusters if cluster.uid == intent.cluster_uid), None)
    if elected is None or not _still_makes_it(seen, elected):
        return _elect_again(seen)
    if elected.held_up and any(_may_make_it(seen, other) for other in seen.clusters):
        return _recall(seen, f"GPUCluster '{elected.name}' cannot be bought now; another is asked to make the volume.")
    message = f"GPUCluster '{elected.name}' makes the volume with itself."
    verdicts = {"Provisioned": Verdict(False, Reason.ELECTED, message)}
    return tell(seen, Standing.WORKING, Reason.ELECTED, message, verdicts=verdicts)


def buy(seen: VolumeObservation) -> VolumeDecision | None:
    """Made alone, at once: intent, look, buy, as for a cluster."""
    if seen.status.volume_id is not None:
        return None
    if not order_can_be_told(seen):
        return ordered_by_another_account(seen, str(seen.name))
    match next_step(seen.intent, seen.memory, seen.provider.begun, seen.around):
        case LookFirst(not_before):
            return quietly(seen, LookAtProvider(not_before))
        case OpenIntent():
            return presume_an_order(seen) if seen.has_lost_its_status else _open_intent(seen)
        case Post() if another_key_since_the_intent(seen):
            return _open_intent(seen)
        case Post(deadline):
            return _post(seen, deadline)
        case Made(made_id):
            return record_id(seen, made_id)
        case CloseIntent(refusal):
            return refused(seen, refusal)
        case Unsent(seconds, why):
            message = f"{why.message} Nothing was bought. It is tried again."
            verdicts = {"Provisioned": Verdict(False, Reason.ORDER_NOT_SENT, message)}
            reason = Reason.ORDER_NOT_SENT
            return tell(seen, Standing.WORKING, reason, message, verdicts=verdicts, again=seconds)
        case Pause(seconds, refusal):
            return _ambiguous(seen, seconds) if refusal is None else refused(seen, refusal, again=seconds)


def presume_an_order(seen: VolumeObservation) -> VolumeDecision:
    """Write down an intent that nobody holds and no cluster carries out: what may be on its way is waited for."""
    return _ambiguous(replace(seen, resource=seen.resource.model_copy(update={"status": _with_intent(seen)})), 0.0)


def order_can_be_told(seen: VolumeObservation) -> bool:
    """Whether lists of the present credential say what came of the open intent: a volume's list names no project."""
    intent, written, mark = seen.intent, seen.status.create_intent, seen.memory.mark
    if intent is None or written is None:
        return True
    mine = mark if mark is not None and mark.nonce == intent.nonce else None
    if mine is not None and (mine.created_id is not None or mine.never_posted):
        return True
    now = seen.credential.fingerprint if isinstance(seen.credential, Credential) else None
    return written.credential_fingerprint in {None, now}


def record(
    seen: VolumeObservation, volume: ProviderVolume, *, duplicates: tuple[ProviderVolume, ...] = ()
) -> VolumeDecision:
    """Write down that this volume is ours."""
    decision = record_id(seen, volume.id, volume=volume)
    if not duplicates:
        return decision
    named = ", ".join(f"'{other.name}' ({other.id})" for other in duplicates)
    message = f"The provider has more than one volume of this resource; besides '{volume.id}': {named}. They bill."
    note = EventNote(EventType.WARNING, Reason.DUPLICATE_FOUND, message)
    return VolumeDecision(decision.status, decision.actions, (*decision.events, note))


def record_id(seen: VolumeObservation, volume_id: str, *, volume: ProviderVolume | None = None) -> VolumeDecision:
    """Write down the id of what is ours; the provider's lists may not show it yet."""
    name = volume.name if volume is not None else str(seen.name)
    size = volume.size_tib if volume is not None and volume.size_tib else seen.spec.size_tib
    update: dict[str, object] = {
        "volume_id": volume_id,
        "bound_to": seen.status.create_intent.cluster_name if seen.status.create_intent is not None else None,
        "provider_name": name,
        "create_intent": None,
        "incarnation": seen.name.incarnation,
        "region": region_of(seen, volume_id),
        "size_tib": size,
        "provider_status": volume.status if volume is not None else None,
        "cost": bought_now(seen),
    }
    ordered = seen.status.create_intent
    if volume is None and ordered is not None and ordered.credential_fingerprint is not None:
        # Only its answer was seen: it is the account's that it was ordered with, whichever key there is by now.
        update |= {"credential_fingerprint": ordered.credential_fingerprint, "project_id": ordered.project_id}
    elif isinstance(seen.credential, Credential):
        credential = seen.credential
        update |= {"credential_fingerprint": credential.fingerprint, "project_id": credential.project_id}
    usable = volume is not None and volume.is_usable
    message = f"Volume '{name}' ({volume_id}) is bought; the provider is making it."
    if volume is not None:
        message = f"Volume '{name}' ({volume_id}) is bought; the provider has it as '{volume.status}'."
    return tell(
        seen,
        Standing.WORKING,
        Reason.PROVISIONING,
        message,
        status=seen.status.model_copy(update=update),
        verdicts={"Provisioned": Verdict(usable, Reason.BOUGHT if usable else Reason.PROVISIONING, message)},
        events=(EventNote(EventType.NORMAL, Reason.BOUGHT, f"Volume '{name}' ({volume_id}) is this resource's."),),
    )


def region_of(seen: VolumeObservation, volume_id: str) -> str | None:
    """Where the volume lies; None: not known yet. The provider tells it only of the cluster that holds the volume.

    Without a holder it is where the order went: the intent's own region, or that of the elected cluster's order.
    """
    holder = seen.provider.holder_of(volume_id)
    if holder is not None and holder.region:
        return holder.region
    if len(seen.regions) == 1:
        return seen.regions[0]
    intent = seen.status.create_intent
    if intent is None:
        return None
    if intent.region:
        return intent.region
    elected = next((cluster for cluster in seen.clusters if cluster.uid == intent.cluster_uid), None)
    return elected.regions[0] if elected is not None and len(elected.regions) == 1 else None


def refused(seen: VolumeObservation, refusal: Failure, *, again: float = 0.0) -> VolumeDecision:
    """The provider said no for certain: nothing was bought, and the intent is closed."""
    by_itself = refusal.error in WAITS_BY_ITSELF
    reason = {**REASONS, ErrorClass.OUT_OF_STOCK: Reason.OUT_OF_STOCK}.get(refusal.error, Reason.PROVIDER_REFUSED)
    what_to_do = "" if by_itself else f" {WAY_OUT.get(refusal.error, 'Compare `spec` with what the provider offers.')}"
    message = f"{refusal.message} Nothing was bought.{what_to_do} It is tried again."
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Provisioned") != reason:
        events = (EventNote(EventType.WARNING, reason, message),)
    return tell(
        seen,
        Standing.WORKING if by_itself else Standing.STALLED,
        reason,
        message,
        status=seen.status.model_copy(update={"create_intent": None}),
        verdicts={"Provisioned": Verdict(False, reason, message)},
        events=events,
        again=again,
    )


def _elect(seen: VolumeObservation) -> VolumeDecision:
    """Of the clusters that name the volume and are not bought yet, the oldest.

    Nobody, while one of them has an open intent: it may have been elected before, and its order may still be on its
    way. `seen.clusters` was read after the last election was taken back, so no such intent is missed.
    """
    buying = next((c for c in seen.clusters if c.buying), None)
    if buying is not None:
        message = f"GPUCluster '{buying.name}' may have ordered the volume; what came of that is waited for."
        verdicts = {"Provisioned": Verdict(False, Reason.LOOKING_BEFORE_BUYING, message)}
        return tell(seen, Standing.WORKING, Reason.LOOKING_BEFORE_BUYING, message, verdicts=verdicts)
    candidates = [c for c in seen.clusters if _may_make_it(seen, c)]
    if not candidates:
        where = "its region" if len(seen.regions) == 1 else "one of its regions"
        message = f"The volume is made with the first GPUCluster of {where} that names it in `spec.volumeRef`."
        others = ", ".join(f"'{c.name}'" for c in seen.clusters if not (c.deleting or _is_of_this_account(seen, c)))
        if others:
            message += f" It is not made with {others}, of another API key or project: give both the same "
            message += "`spec.credentialsRef` and `spec.projectID`."
        verdicts = {"Provisioned": Verdict(False, Reason.WAITING_FOR_CLUSTER, message)}
        return tell(seen, Standing.WORKING, Reason.WAITING_FOR_CLUSTER, message, verdicts=verdicts)
    elected = min(candidates, key=lambda c: (c.created.isoformat() if c.created else "", c.uid))
    message = f"GPUCluster '{elected.name}' makes the volume with itself."
    status = _with_intent(seen, cluster_name=elected.name, cluster_uid=elected.uid)
    verdicts = {"Provisioned": Verdict(False, Reason.ELECTED, message)}
    return tell(seen, Standing.WORKING, Reason.ELECTED, message, status=status, verdicts=verdicts)


def _may_make_it(seen: VolumeObservation, cluster: NamingCluster) -> bool:
    in_reach = any(region in seen.regions for region in cluster.regions)
    return cluster.may_be_elected and in_reach and _is_of_this_account(seen, cluster)


def _is_of_this_account(seen: VolumeObservation, cluster: NamingCluster) -> bool:
    """What the cluster orders is seen with the volume's own key: else it would bill, and never be recorded."""
    return cluster.credential is None or cluster.credential == seen.credential


def _recall(seen: VolumeObservation, message: str) -> VolumeDecision:
    """Take the election back. The next one is decided on what stands at the API server after this write.

    An elected cluster reads the election anew between writing its intent and ordering. So either it finds itself
    recalled and gives its intent up, or the next election finds that intent and waits: no two clusters ever order.
    """
    status = seen.status.model_copy(update={"create_intent": None})
    verdicts = {"Provisioned": Verdict(False, Reason.WAITING_FOR_CLUSTER, message)}
    return tell(seen, Standing.WORKING, Reason.WAITING_FOR_CLUSTER, message, status=status, verdicts=verdicts)


def _still_makes_it(seen: VolumeObservation, elected: NamingCluster) -> bool:
    if elected.cluster_id is not None:
        # Bought: the volume comes with it. A Ready cluster that holds none was ordered without.
        cluster = seen.provider.cluster(elected.cluster_id)
        return cluster is None or cluster.phase is not Phase.READY
    return elected.buying or not elected.deleting


def _elect_again(seen: VolumeObservation) -> VolumeDecision:
    """The elected cluster is gone. What it may have ordered must have had its time to show."""
    intent = seen.intent
    if intent is None:
        raise ValueError("only an election that was made can be made again")
    settled = settled_at(intent, seen.memory, seen.around)
    if seen.around.monotonic < settled:
        return _ambiguous(seen, settled - seen.around.monotonic)
    begun = seen.provider.begun
    if begun is None or begun < settled:
        return quietly(seen, LookAtProvider(settled))
    return _recall(seen, "The GPUCluster that was to make the volume is gone; another is asked to make it.")


def _open_intent(seen: VolumeObservation) -> VolumeDecision:
    hold = HoldIntent(seen.around.fresh_nonce, seen.around.monotonic)
    status = _with_intent(seen)
    if seen.memory.last_refusal is not None:  # the reason that people read stays until something better is known
        kept = refused(seen, seen.memory.last_refusal).status
        return VolumeDecision(kept.model_copy(update={"create_intent": status.create_intent}), (hold,))
    if orders_unanswered(seen.memory) is not None:
        return VolumeDecision(status, (hold,))
    message = f"Buying {seen.spec.size_tib} TiB in '{_own_region(seen)}' as '{seen.name}'."
    verdicts = {"Provisioned": Verdict(False, Reason.BUYING, message)}
    return tell(seen, Standing.WORKING, Reason.BUYING, message, hold, status=status, verdicts=verdicts)


def _with_intent(
    seen: VolumeObservation, *, cluster_name: str | None = None, cluster_uid: str | None = None
) -> SharedVolumeStatus:
    credential = seen.credential if isinstance(seen.credential, Credential) else None
    intent = VolumeCreateIntent(
        name=str(seen.name),
        nonce=seen.around.fresh_nonce,
        started_time=seen.around.now,
        region=_own_region(seen) if cluster_uid is None else _only(seen.regions),
        project_id=credential.project_id if credential is not None else None,
        credential_fingerprint=credential.fingerprint if credential is not None else None,
        size_tib=seen.spec.size_tib,
        cluster_name=cluster_name,
        cluster_uid=cluster_uid,
    )
    return seen.status.model_copy(
        update={"create_intent": intent, "provider_name": intent.name, "incarnation": seen.name.incarnation}
    )


def _post(seen: VolumeObservation, deadline: float) -> VolumeDecision:
    if seen.intent is None:
        raise ValueError("nothing is posted without an intent")
    project = seen.credential.project_id if isinstance(seen.credential, Credential) else None
    written = seen.status.create_intent
    region = (written.region if written is not None else None) or _own_region(seen)
    order = VolumeOrder(seen.intent.name, region, seen.spec.size_tib or 1, project)
    return quietly(seen, BuyVolume(order=order, nonce=seen.intent.nonce, deadline=deadline))


def _own_region(seen: VolumeObservation) -> str:
    """Where a volume is made that no cluster makes: the first of its regions that the provider has.

    After each refusal the next one is tried, and round again.
    """
    regions = seen.provider.regions
    there = {region.name for region in regions.value} if isinstance(regions, Known) else set(seen.regions)
    choices = [region for region in seen.regions if region in there] or list(seen.regions)
    return choices[seen.memory.refusals % len(choices)] if choices else ""


def _only(regions: tuple[str, ...]) -> str | None:
    return regions[0] if len(regions) == 1 else None


def _ambiguous(seen: VolumeObservation, seconds: float) -> VolumeDecision:
    often = orders_unanswered(seen.memory)
    if often is None:
        message = (
            "Whether the provider took an order of this volume is not known yet. Nothing else is bought until then."
        )
        return tell(seen, Standing.WORKING, Reason.LOOKING_BEFORE_BUYING, message, again=seconds)
    reason = Reason.ORDERS_UNANSWERED
    events: tuple[EventNote, ...] = ()
    if reason_of(seen.status.conditions, "Provisioned") != reason:
        events = (EventNote(EventType.WARNING, reason, often),)
    verdicts = {"Provisioned": Verdict(False, reason, often)}
    return tell(seen, Standing.WORKING, reason, often, verdicts=verdicts, events=events, again=seconds)
