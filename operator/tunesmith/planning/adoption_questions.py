"""The questions on the way to taking something over that clusters and volumes share; each says what is in the way."""

from __future__ import annotations

from tunesmith.planning.bought import BoughtObservation, BoughtStatus, quietly, stalled, working
from tunesmith.planning.claims import owner_elsewhere, why_owned
from tunesmith.planning.decision import Decision
from tunesmith.planning.taken_over import not_to_be_adopted
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.reasons import Reason


def not_asked_for_by_id(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """Lists may lag, so an id that they lack is asked for by itself before it is called missing."""
    wished_id = seen.wished_id
    if wished_id is None or seen.shown(wished_id) or wished_id in seen.provider.not_found:
        return None
    look = seen.look(seen.memory.first_seen, wished_id)
    failed = seen.around.failure_of(look)
    if failed is None:
        return quietly(seen, look)
    message = f"{failed.failure.message} {seen.word.capitalize()} '{wished_id}' is asked for again."
    return working(seen, Reason.PROVIDER_UNREACHABLE, message, look)


def not_the_only_one(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """provider: names are not unique."""
    found, word = seen.adoptable, seen.word
    if len(found) < 2:
        return None
    ids = ", ".join(f"'{each.id}'" for each in found)
    message = f"The provider has {len(found)} {word}s {wished(seen)}: {ids}. Make the resource again with the "
    return in_the_way(seen, Reason.ADOPTION_AMBIGUOUS, f"{message}`spec.adopt.{word}ID` of the one that is meant.")


def owned_by_another(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """Of competing claims one owns; the others wait, without an id, a kubeconfig or a cost of it."""
    owner, target = owner_elsewhere(seen), seen.adoptable[0]
    if owner is None:
        return None
    what = f"{seen.word.capitalize()} '{target.id}'"
    return in_the_way(seen, Reason.ALREADY_OWNED, why_owned(owner, seen.resource.kind, what))


def marked_for_another(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """A name that some Tunesmith gave says for whom it was bought."""
    target = seen.adoptable[0]
    why = not_to_be_adopted(target.parsed_name, seen.name, seen.spec, seen.around.installation)
    if why is None:
        return None
    what = f"{seen.word.capitalize()} '{target.name}' ({target.id})"
    return in_the_way(seen, Reason.ADOPTION_REFUSED, f"{what} {why}")


def in_the_way(seen: BoughtObservation[BoughtStatus], reason: Reason, message: str) -> Decision[BoughtStatus]:
    """It is not taken over, and why."""
    return stalled(seen, reason, message, verdicts={"Provisioned": Verdict(False, reason, message)})


def wished(seen: BoughtObservation[BoughtStatus]) -> str:
    """What `spec.adopt` names, in words."""
    if seen.wished_id is not None:
        return f"with the id '{seen.wished_id}'"
    return f"of the name '{seen.wished_name or ''}'"
