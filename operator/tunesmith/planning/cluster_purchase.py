"""Buying one GPUCluster: what must be true first, the intent, the order, and writing down what was bought."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.bought import quietly, stalled, working
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_account import bought_now
from tunesmith.planning.cluster_choice import ClusterChoice, Unfit
from tunesmith.planning.cluster_observation import REFUSALS, ClusterObservation, NamedVolume
from tunesmith.planning.cluster_order import cluster_order, components_hash
from tunesmith.planning.cluster_refusal import refused, resting, still_as_refused, unclear, unsent, why_this_choice
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.credential_kept import another_key_since_the_intent, ordered_by_another_account
from tunesmith.planning.decision import Decision, ErrorClass, EventNote, EventType
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.name_book import RecordName
from tunesmith.planning.orders import BuyCluster
from tunesmith.planning.provider import Credential, Phase, ProviderCluster
from tunesmith.planning.purchase import (
    CloseIntent,
    HoldIntent,
    Intent,
    LookFirst,
    Made,
    OpenIntent,
    Pause,
    Post,
    PurchaseMemory,
    Unsent,
    may_have_been_posted,
    next_step,
)
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.conditions import is_true
from tunesmith.resources.gpu_cluster_status import ClusterCreateIntent, GPUClusterStatus
from tunesmith.resources.purchase import Choice
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

ClusterDecision = Decision[GPUClusterStatus]


def found_by_name(seen: ClusterObservation) -> ClusterDecision | None:
    """A cluster of our own name is ours, whatever became of the request that made it."""
    if seen.status.cluster_id is not None:
        return None
    own = [cluster for cluster in seen.provider.own_clusters(seen.name) if cluster.phase is not Phase.DELETING]
    if seen.intent is not None:
        own.sort(key=lambda cluster: cluster.name != seen.intent.name if seen.intent else False)
    if not own:
        return None
    return record(seen, own[0], duplicates=tuple(own[1:]))


def choice_is_wrong(seen: ClusterObservation) -> ClusterDecision | None:
    """Region, GPU type, driver and the volume's region are compared with what there is before money is spent."""
    if seen.status.cluster_id is not None:
        return None
    if isinstance(seen.provider.regions, Unknown):
        return _offer_unseen(seen, seen.provider.regions)
    left_out = seen.unfit_choices
    answer = _no_choice_is_left(seen, left_out) if not seen.fit_choices else quietly(seen)
    if seen.intent is None:
        return None if seen.fit_choices else answer
    if all(each.choice != seen.choice for each in left_out):
        return None
    return _give_up_the_order(seen, seen.intent, answer)


def _offer_unseen(seen: ClusterObservation, regions: Unknown) -> ClusterDecision:
    """A region, a GPU type or a driver that cannot be looked up cannot be ordered as it was asked for."""
    message = f"The provider's list of regions could not be read: {regions.why} Nothing is bought before it is."
    answer = working(seen, Reason.PROVIDER_UNREACHABLE, message)
    return answer if seen.intent is None else _give_up_the_order(seen, seen.intent, answer)


def _no_choice_is_left(seen: ClusterObservation, left_out: tuple[Unfit, ...]) -> ClusterDecision:
    message = " ".join(each.message for each in left_out)
    if len(left_out) > 1:
        message = f"None of the {len(left_out)} choices can be bought. {message}"
    if left_out[0].reason in {Reason.REGION_UNKNOWN, Reason.GPU_TYPE_UNAVAILABLE}:
        message += " `spec.region` and `spec.gpuType` are immutable: make the resource again, or add `alternatives`."
    return stalled(seen, left_out[0].reason, message)


def start_is_past(seen: ClusterObservation) -> ClusterDecision | None:
    """Time that has begun cannot be bought any more; the provider sells it ahead."""
    start = seen.spec.billing.start_time
    if seen.status.cluster_id is not None or start is None or start > seen.around.now:
        return None
    message = (
        f"`spec.billing.startTime` is {format_time(start)}, which has passed, and nothing is bought. It cannot be "
    )
    message += "changed: make the resource again with a later time."
    answer = stalled(seen, Reason.START_IN_THE_PAST, message)
    return answer if seen.intent is None else _give_up_the_order(seen, seen.intent, answer)


def waits_for_volume(seen: ClusterObservation) -> ClusterDecision | None:
    """The volume decides who makes it, because it can be attached only while a cluster is made."""
    if seen.status.cluster_id is not None or seen.spec.volume_ref is None:
        return None
    answer = _volume_says_wait(seen, seen.spec.volume_ref.name)
    if answer is None or seen.intent is None:
        return answer
    return _give_up_the_order(seen, seen.intent, answer)


def _volume_says_wait(seen: ClusterObservation, name: str) -> ClusterDecision | None:
    volume = seen.volume
    if volume is None:
        message = f"SharedVolume '{name}' does not exist in this namespace. Create it; the cluster is bought then."
        return _waiting(seen, message)
    if volume.trouble is not None or volume.deleting:
        why = volume.trouble or "it is being deleted"
        return _waiting(seen, f"SharedVolume '{name}' cannot be attached: {why}")
    elsewhere = _of_another_account(seen, volume)
    if elsewhere is not None:
        return elsewhere
    if volume.volume_id is not None:
        return _waits_for_holder(seen, name, volume.volume_id, volume.bound_to)
    return _waits_for_election(seen, volume)


def _of_another_account(seen: ClusterObservation, volume: NamedVolume) -> ClusterDecision | None:
    """Made with this cluster, the volume would be bought where its own resource never sees it, and bill unrecorded."""
    other = volume.credential
    if other is None or other == seen.credential:
        return None
    if volume.volume_id is not None and seen.provider.volume(volume.volume_id) is not None:
        return None  # another key, but one that shows the volume
    if not isinstance(other, Credential):
        return _waiting(seen, f"SharedVolume '{volume.name}' has no API key that can be read now.")
    message = f"SharedVolume '{volume.name}' has another API key or project than this cluster: what is bought with the "
    message += "one may not be seen with the other. Nothing is bought. Give both the same `spec.credentialsRef` and "
    message += "`spec.projectID`; a project cannot be changed, so make the one that is wrong again."
    reason = Reason.VOLUME_OF_ANOTHER_ACCOUNT
    return stalled(seen, reason, message, verdicts={"Provisioned": Verdict(False, reason, message)})


def _waits_for_election(seen: ClusterObservation, volume: NamedVolume) -> ClusterDecision | None:
    if volume.elected_uid is None:
        if seen.intent is None and not _says_that_it_cannot_buy(seen):
            return quietly(seen)  # the volume's own pass elects a cluster and wakes it
        return _waiting(seen, f"SharedVolume '{volume.name}' has not said yet which cluster makes it.")
    if volume.elected_uid != seen.resource.metadata.uid:
        return _waiting(seen, f"SharedVolume '{volume.name}' is being made with another cluster.")
    if any(v.name == volume.order_name and v.status != "deleting" for v in seen.provider.seen_volumes()):
        # An earlier order has made the volume but no cluster: its resource records it, then its id is ordered.
        return _waiting(seen, f"SharedVolume '{volume.name}' was made by an earlier order and is being recorded.")
    return None


def _says_that_it_cannot_buy(seen: ClusterObservation) -> bool:
    """What the volume reads in our status keeps it from electing us; that must be unsaid first."""
    conditions = seen.status.conditions
    if reason_of(conditions, "Provisioned") in REFUSALS or is_true(conditions, "Stalled"):
        return True
    return reason_of(conditions, "Ready") == Reason.OUTSIDE_SCHEDULE


def _waiting(seen: ClusterObservation, message: str, reason: Reason = Reason.WAITING_FOR_VOLUME) -> ClusterDecision:
    return working(seen, reason, message, verdicts={"Provisioned": Verdict(False, reason, message)})


def _give_up_the_order(seen: ClusterObservation, intent: Intent, answer: ClusterDecision) -> ClusterDecision:
    """The volume does not want the order any more: close the intent, once it is certain that nothing came of it."""
    closed = replace(answer, status=answer.status.model_copy(update={"create_intent": None}))
    if not may_have_been_posted(intent, seen.memory):
        return closed
    match next_step(intent, seen.memory, seen.provider.begun, seen.around):
        case Made(made_id):
            return record_id(seen, made_id)
        case Pause(seconds):
            return _ambiguous(seen, seconds)
        case LookFirst(not_before):
            return quietly(seen, LookAtProvider(not_before))
    return closed


def presume_an_order(seen: ClusterObservation) -> ClusterDecision:
    """Write down an intent that nobody holds, so that what may be on its way is waited for."""
    return _open_intent(seen)


def ordered_with_another_key(seen: ClusterObservation) -> ClusterDecision | None:
    """What came of an order that another account may have got cannot be seen: nothing else is bought meanwhile."""
    if seen.status.cluster_id is not None or seen.intent is None or order_can_be_told(seen):
        return None
    return ordered_by_another_account(seen, seen.intent.name)


def order_can_be_told(seen: ClusterObservation) -> bool:
    """Whether lists of the present credential say what came of the open intent: its own, or one of its project."""
    intent, written, mark = seen.intent, seen.status.create_intent, seen.memory.mark
    if intent is None or written is None or not may_have_been_posted(intent, seen.memory):
        return True
    if mark is not None and mark.nonce == intent.nonce and mark.created_id is not None:
        return True  # the order was answered
    if not isinstance(seen.credential, Credential):
        return False
    if written.credential_fingerprint in {None, seen.credential.fingerprint}:
        return True
    project = written.project_id
    return bool(project) and any(other.project_id == project for other in seen.provider.seen_clusters())


def buy(seen: ClusterObservation) -> ClusterDecision | None:
    """Intent, look, buy: never twice."""
    if seen.status.cluster_id is not None:
        return None
    rest = resting(seen)
    if rest is not None:
        return rest
    match next_step(seen.intent, _rested(seen.memory), seen.provider.begun, seen.around):
        case LookFirst(not_before):
            return quietly(seen, LookAtProvider(not_before))
        case OpenIntent():
            return _open_intent(seen)
        case Post() if another_key_since_the_intent(seen):
            return _open_intent(seen)
        case Post(deadline):
            return _post(seen, deadline)
        case Made(made_id):
            return record_id(seen, made_id)
        case CloseIntent(refusal):
            return refused(seen, refusal)
        case Unsent(seconds, why):
            return unsent(seen, why, again=seconds)
        case Pause(seconds, refusal):
            return _ambiguous(seen, seconds) if refusal is None else refused(seen, refusal, again=seconds)


def _rested(memory: PurchaseMemory) -> PurchaseMemory:
    """Out of stock, the pause is the one that stands in the status (see `resting`), not the protocol's own."""
    last = memory.last_refusal
    if last is None or last.error is not ErrorClass.OUT_OF_STOCK:
        return memory
    return replace(memory, last_refused=None, last_refusal=None)


def record(
    seen: ClusterObservation, cluster: ProviderCluster, *, duplicates: tuple[ProviderCluster, ...] = ()
) -> ClusterDecision:
    """Write down that this cluster is ours."""
    named = ", ".join(f"'{other.name}' ({other.id})" for other in duplicates)
    why = why_this_choice(seen, ClusterChoice(cluster.region, cluster.gpu_type))
    text = f"Cluster '{cluster.name}' ({cluster.id}) belongs to this resource.{why}"
    events = [EventNote(EventType.NORMAL, Reason.BOUGHT, text)]
    recorded = seen.resource.model_copy(update={"status": _with_bought(seen, cluster.id, cluster.name, cluster)})
    seen = replace(seen, resource=recorded)
    verdicts = standing(seen, cluster)
    if duplicates:
        message = f"The provider has more than one cluster of this resource; besides the oldest, kept: {named}. "
        message += "Look at them and delete them at the provider: they bill."
        events.append(EventNote(EventType.WARNING, Reason.DUPLICATE_FOUND, message))
        verdicts["Drifted"] = Verdict(True, Reason.DUPLICATE_FOUND, message)
    return working(
        seen,
        Reason.PROVISIONING,
        verdicts["Provisioned"].message,  # what the next pass says as well: no write for the same news
        status=as_seen(seen, cluster),
        verdicts=verdicts,
        events=tuple(events),
    )


def record_id(seen: ClusterObservation, made_id: str) -> ClusterDecision:
    """Write down the id that our own create was answered with; the provider's lists may not show it yet."""
    cluster = seen.provider.cluster(made_id)
    if cluster is not None:
        return record(seen, cluster)
    name = seen.intent.name if seen.intent is not None else str(seen.name)
    text = f"Cluster '{name}' ({made_id}) belongs to this resource.{why_this_choice(seen, seen.choice)}"
    return working(
        seen,
        Reason.PROVISIONING,
        f"Cluster '{name}' ({made_id}) is bought; the provider is building it.",
        status=_with_bought(seen, made_id, name, None),
        events=(EventNote(EventType.NORMAL, Reason.BOUGHT, text),),
    )


def _open_intent(seen: ClusterObservation) -> ClusterDecision:
    around, credential, choice = seen.around, seen.credential, seen.choice
    if not isinstance(credential, Credential):
        raise ValueError("a purchase is decided only with a credential")
    intent = ClusterCreateIntent(
        name=str(seen.name),
        nonce=around.fresh_nonce,
        started_time=around.now,
        region=choice.region,
        gpu_type=choice.gpu_type,
        project_id=credential.project_id,
        credential_fingerprint=credential.fingerprint,
    )
    written = {
        "create_intent": intent,
        "provider_name": intent.name,
        "incarnation": seen.name.incarnation,
        "components_hash": components_hash(seen.spec),
    }
    if seen.has_lost_its_status:
        # Nobody holds this nonce, so it is ambiguous from the start: nothing is posted before `settle` is over.
        status = seen.status.model_copy(update=written)
        return _ambiguous(replace(seen, resource=seen.resource.model_copy(update={"status": status})), 0.0)
    hold = HoldIntent(around.fresh_nonce, around.monotonic)
    kept = still_as_refused(seen)
    if kept is not None:
        return Decision(status=kept.status.model_copy(update=written), actions=(hold,))
    nodes = "1 node" if seen.wanted_nodes == 1 else f"{seen.wanted_nodes} nodes"
    message = f"Buying {nodes} of {choice} as '{intent.name}'."
    return working(
        seen,
        Reason.BUYING,
        message,
        hold,
        status=seen.status.model_copy(update=written),
        verdicts={"Provisioned": Verdict(False, Reason.BUYING, message)},
    )


def _post(seen: ClusterObservation, deadline: float) -> ClusterDecision:
    if seen.intent is None:
        raise ValueError("nothing is posted without an intent")
    order = cluster_order(seen, seen.intent.name)
    # Only a name that is in the book can ever be deleted as an orphan; where none is, no write is spent on it.
    recorded = (RecordName(order.name, seen.is_to_stay),) if seen.around.installation.orphans_are_deleted else ()
    return quietly(seen, *recorded, BuyCluster(order=order, nonce=seen.intent.nonce, deadline=deadline))


def _with_bought(
    seen: ClusterObservation, cluster_id: str, name: str, cluster: ProviderCluster | None
) -> GPUClusterStatus:
    parsed = cluster.parsed_name if cluster is not None else seen.name
    choice = seen.choice if cluster is None else ClusterChoice(cluster.region, cluster.gpu_type)
    credential, ordered = seen.credential, seen.status.create_intent
    update: dict[str, object] = {
        "cluster_id": cluster_id,
        "provider_name": name,
        "incarnation": parsed.incarnation if parsed is not None else seen.name.incarnation,
        "create_intent": None,
        "choice": Choice(region=choice.region, gpu_type=choice.gpu_type),
        "out_of_stock": (),
        "next_try_time": None,
        "recreate_time": None,
        "provider_status": cluster.status if cluster is not None else None,
        "cost": bought_now(seen, cluster),
    }
    if cluster is None and ordered is not None and ordered.credential_fingerprint is not None:
        # Only its answer was seen: it is the account's that it was ordered with, whichever key there is by now.
        update |= {"credential_fingerprint": ordered.credential_fingerprint, "project_id": ordered.project_id}
    elif isinstance(credential, Credential):
        project = cluster.project_id if cluster is not None and cluster.project_id else credential.project_id
        update |= {"credential_fingerprint": credential.fingerprint, "project_id": project}
    return seen.status.model_copy(update=update)


def _ambiguous(seen: ClusterObservation, seconds: float) -> ClusterDecision:
    intent = seen.intent
    since = format_time(intent.started) if intent is not None else "before"
    message = (
        f"Whether the provider took the order of {since} is not known yet. Nothing else is bought until it would show "
        f"in the provider's list; then the order is found there, or made again."
    )
    return unclear(seen, message, again=seconds)


def _waits_for_holder(
    seen: ClusterObservation, name: str, volume_id: str, bound_to: str | None
) -> ClusterDecision | None:
    """provider: one living cluster per volume, attached when the cluster is made."""
    holder = seen.provider.holder_of(volume_id)
    if holder is not None and holder.name != str(seen.name):
        message = f"SharedVolume '{name}' is held by cluster '{holder.name}' ({holder.id}) until that one is gone."
        return _waiting(seen, message, Reason.VOLUME_IN_USE)
    if holder is None and bound_to not in {None, seen.resource.metadata.name}:
        message = f"SharedVolume '{name}' is held by GPUCluster '{bound_to}' until that one is gone."
        return _waiting(seen, message, Reason.VOLUME_IN_USE)
    volume = seen.provider.volume(volume_id)
    if volume is not None and not volume.is_usable:
        return _waiting(seen, f"The provider has SharedVolume '{name}' as '{volume.status}'.")
    return None
