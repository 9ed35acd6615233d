"""Taking over a volume that exists, as `spec.adopt` says, and only watching one: as for clusters (`adoption.py`).

Nothing is ever made for such a resource. What is in the way is said, and looked at again at every interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from tunesmith.planning.adoption_questions import (
    in_the_way,
    marked_for_another,
    not_asked_for_by_id,
    not_the_only_one,
    owned_by_another,
    wished,
)
from tunesmith.planning.bought import tell
from tunesmith.planning.claims import owner_elsewhere, why_owned
from tunesmith.planning.cluster_drift import Difference
from tunesmith.planning.decision import first_answer
from tunesmith.planning.provider import ProviderVolume
from tunesmith.planning.taken_over import adoption_news, what_deletion_does, without_what_deletion_does
from tunesmith.planning.verdict import Standing, Verdict
from tunesmith.planning.volume_observation import VolumeDecision, VolumeObservation
from tunesmith.planning.volume_purchase import record
from tunesmith.resources.conditions import Condition
from tunesmith.resources.reasons import Reason


def adopts(seen: VolumeObservation) -> VolumeDecision | None:
    """The whole way to a volume that is taken over, in the order of its questions."""
    if seen.spec.adopt is None or seen.status.volume_id is not None:
        return None
    return first_answer(
        seen,
        not_asked_for_by_id,
        nothing_to_adopt,
        not_the_only_one,
        owned_by_another,
        marked_for_another,
        differs_from_spec,
        otherwise=taken_over,
    )


def nothing_to_adopt(seen: VolumeObservation) -> VolumeDecision | None:
    """It is not there, or not for these eyes; nothing is made in its place."""
    if seen.adoptable:
        return None
    message = (
        f"The API key shows no living volume {wished(seen)}. It is taken over when it shows; nothing is made in its "
        "place. Compare `spec.adopt` with what the provider has, and give the credential and `spec.projectID` that it "
        "belongs to. `spec.adopt` cannot be changed: if it is wrong, make the resource again."
    )
    return in_the_way(seen, Reason.NOTHING_TO_ADOPT, message)


def differs_from_spec(seen: VolumeObservation) -> VolumeDecision | None:
    """What the spec gives must be true of the volume: a wrong size would be bought at once."""
    volume = _target(seen)
    found = tuple(_differences(seen, volume))
    if not found:
        return None
    message = f"Volume '{volume.name}' ({volume.id}) is not as the spec says: {'; '.join(map(str, found))}. It is not "
    message += "touched. Correct the fields or leave them out; what cannot be changed needs the resource made again."
    return in_the_way(seen, Reason.ADOPTION_MISMATCH, message)


def taken_over(seen: VolumeObservation) -> VolumeDecision:
    """Write down that the volume is this resource's; the Event comes with the condition (`with_adoption_words`)."""
    volume = _target(seen)
    holder = seen.provider.holder_of(volume.id)
    region = holder.region if holder is not None else seen.spec.region  # provider: a volume's list names no region
    status = record(seen, volume).status.model_copy(update={"region": region})
    message = f"Volume '{volume.name}' ({volume.id}) is this resource's; the provider has it as '{volume.status}'."
    reason = Reason.BOUGHT if volume.is_usable else Reason.PROVISIONING
    verdicts = {"Provisioned": Verdict(volume.is_usable, reason, message)}
    return tell(seen, Standing.WORKING, Reason.PROVISIONING, message, status=status, verdicts=verdicts)


def claimed_by_another(seen: VolumeObservation) -> VolumeDecision | None:
    """Of competing claims to one volume one owns; the others touch nothing."""
    owner = owner_elsewhere(seen)
    if owner is None or seen.status.volume_id is None:
        return None
    message = why_owned(owner, "SharedVolume", f"Volume '{seen.status.volume_id}'")
    unknown = Verdict(None, Reason.ALREADY_OWNED, message)
    cost = seen.status.cost
    if cost is not None and cost.hourly_usd:
        cost = cost.model_copy(update={"hourly_usd": Decimal("0.00")})  # what was spent stays; the owner pays from now
    status = seen.status.model_copy(update={"bound_to": None, "provider_status": None, "cost": cost})
    if seen.spec.adopt is not None:
        status = status.model_copy(update={"volume_id": None, "provider_name": None, "size_tib": None})
    verdicts = {"Provisioned": unknown, "InUse": unknown, "Resizing": unknown}
    return tell(seen, Standing.STALLED, Reason.ALREADY_OWNED, message, status=status, verdicts=verdicts)


def with_adoption_words(seen: VolumeObservation, decision: VolumeDecision) -> VolumeDecision:
    """The decision, with what deleting this resource does in condition Provisioned, and in an Event when it is news."""
    status = decision.status
    if seen.spec.adopt is None or status.volume_id is None:
        return decision
    sentence = what_deletion_does(seen.spec, "volume")
    conditions = tuple(_said(each, sentence) for each in status.conditions)
    held = f"Volume '{status.provider_name}' ({status.volume_id}):"
    notes = adoption_news(seen.spec, "volume", held, seen.status.conditions, conditions)
    status = status.model_copy(update={"conditions": conditions})
    return replace(decision, status=status, events=(*decision.events, *notes))


def _said(condition: Condition, sentence: str) -> Condition:
    if condition.type != "Provisioned":
        return condition
    plain = without_what_deletion_does(condition.message, "volume")
    return condition.model_copy(update={"message": f"{plain} {sentence}"})


def _target(seen: VolumeObservation) -> ProviderVolume:
    """The one volume that is meant; asked only after `not_the_only_one`."""
    return seen.adoptable[0]


def _differences(seen: VolumeObservation, volume: ProviderVolume) -> Iterator[Difference]:
    """provider: a volume's list names neither region nor project; the cluster that holds it names the region."""
    wish, holder = seen.spec, seen.provider.holder_of(volume.id)
    if wish.size_tib is not None and volume.size_tib and wish.size_tib != volume.size_tib:
        yield Difference("spec.sizeTiB", str(wish.size_tib), str(volume.size_tib))
    regions = (wish.region,) if wish.region else wish.regions
    if regions and holder is not None and holder.region not in regions:
        field = "spec.region" if wish.region else "spec.regions"
        yield Difference(field, ", ".join(str(each) for each in regions), holder.region)
