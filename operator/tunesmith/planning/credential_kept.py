"""The key that something was bought with: kept while it is needed, and what is said when another key took its place."""

from __future__ import annotations

from tunesmith.planning.actions import SetFinalizer
from tunesmith.planning.bought import BoughtObservation, BoughtStatus, quietly, stalled
from tunesmith.planning.credential_secret import left_behind
from tunesmith.planning.decision import Decision
from tunesmith.planning.ownership import ABANDON_ANNOTATION, IN_USE_FINALIZER
from tunesmith.planning.provider import Credential
from tunesmith.resources.reasons import Reason


def credential_must_stay(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """While a bought object needs it, its credential Secret may not vanish: deleting a namespace would leave a bill."""
    if seen.spec.credentials_ref is None or seen.credential_secret_held:
        return None
    return quietly(seen, _hold(seen, present=True))


def let_go_of_credential(seen: BoughtObservation[BoughtStatus]) -> tuple[SetFinalizer, ...]:
    """Our finalizer off the credential's Secrets that nobody else needs."""
    if seen.spec.credentials_ref is None or not seen.credential_secret_held or seen.credential_shared:
        return left_behind(seen.secret_use)
    return (*left_behind(seen.secret_use), _hold(seen, present=False))


def credential_can_tell(seen: BoughtObservation[BoughtStatus]) -> bool:
    """Only the credential that bought it, or one that shows another object of the same project, can prove absence.

    provider: a volume's own list names no project, so it is the clusters that tell.
    """
    if not isinstance(seen.credential, Credential):
        return False
    recorded, project = seen.status.credential_fingerprint, seen.status.project_id
    if recorded is None or recorded == seen.credential.fingerprint:
        return True
    others = (each for each in seen.provider.seen_clusters() if each.id != seen.bought_id)
    return bool(project) and any(other.project_id == project for other in others)


def another_key_since_the_intent(seen: BoughtObservation[BoughtStatus]) -> bool:
    """The open intent names another account than that which an order would go to now: the record would be wrong."""
    intent, credential = seen.status.create_intent, seen.credential
    if intent is None or intent.credential_fingerprint is None or not isinstance(credential, Credential):
        return False
    return (intent.credential_fingerprint, intent.project_id) != (credential.fingerprint, credential.project_id)


def key_of_now(seen: BoughtObservation[BoughtStatus]) -> dict[str, object]:
    """What a status says of the key, once the present one shows what was bought: from then on it proves its absence."""
    return {"credential_fingerprint": seen.credential.fingerprint} if isinstance(seen.credential, Credential) else {}


def held_by_another_account(seen: BoughtObservation[BoughtStatus], thing_id: str) -> Decision[BoughtStatus]:
    """The key of now shows nothing of what was bought, and cannot: that says nothing about whether it is there."""
    return stalled(
        seen,
        Reason.CREDENTIAL_MISMATCH,
        f"The API key is not the one that bought {seen.word} '{thing_id}', and shows nothing of its project. Nothing "
        "is touched. Give the credential of the account that pays for it.",
    )


def ordered_by_another_account(seen: BoughtObservation[BoughtStatus], name: str) -> Decision[BoughtStatus]:
    """What came of an order that another account may have got cannot be seen: nothing else is bought meanwhile."""
    return stalled(
        seen,
        Reason.CREDENTIAL_MISMATCH,
        f"'{name}' was ordered with another API key, and what came of that cannot be seen with the key of now. Nothing "
        "else is bought. Give the key of before until this is settled; or delete this resource and set its annotation "
        f"'{ABANDON_ANNOTATION}' to '{name}', and see to the bill yourself.",
    )


def _hold(seen: BoughtObservation[BoughtStatus], *, present: bool) -> SetFinalizer:
    reference = seen.spec.credentials_ref
    name = reference.name if reference is not None else ""
    return SetFinalizer("v1", "Secret", seen.resource.metadata.namespace or "", name, IN_USE_FINALIZER, present)
