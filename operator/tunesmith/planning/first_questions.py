"""The questions that come first for whatever is bought: may it be touched, can the provider be asked, is it marked?"""

from __future__ import annotations

from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.bought import BoughtObservation, BoughtStatus, NoCredential, quietly, stalled, working
from tunesmith.planning.credential_secret import following_secret
from tunesmith.planning.decision import Decision, ErrorClass
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.ownership import FINALIZER, NAME_ANNOTATION, is_paused, with_finalizer
from tunesmith.planning.provider import Credential
from tunesmith.resources.not_implemented import set_but_not_implemented
from tunesmith.resources.reasons import Reason


def paused(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """No writes anywhere until the annotation is removed."""
    return quietly(seen) if is_paused(seen.resource.metadata) else None


def not_implemented_fields(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """A field that nothing acts on yet is refused, never ignored in silence."""
    paths = set_but_not_implemented(seen.resource)
    if not paths:
        return None
    named = ", ".join(f"`{path}`" for path in paths)
    return stalled(seen, Reason.NOT_IMPLEMENTED, f"This version does not act on {named} yet. Remove them.")


def without_credential(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """Without an API key nothing can be asked. A bought cluster goes on being watched from inside."""
    if isinstance(seen.credential, Credential):
        return None
    if isinstance(seen.credential, NoCredential):
        return stalled(seen, seen.credential.reason, seen.credential.message)
    return working(seen, Reason.CREDENTIAL_UNREADABLE, f"The API key could not be read: {seen.credential.why}")


def never_seen(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """A first clean list comes before everything else."""
    if seen.provider.begun is not None:
        return None
    look = LookAtProvider(seen.memory.first_seen)
    failed = seen.around.failure_of(look)
    if failed is None:
        return quietly(seen, look)
    if failed.failure.error in {ErrorClass.UNAUTHENTICATED, ErrorClass.FORBIDDEN}:
        message = f"{failed.failure.message} Put a valid API key into the credential's Secret."
        return stalled(seen, Reason.CREDENTIALS_REFUSED, message, look)
    return working(seen, Reason.PROVIDER_UNREACHABLE, f"{failed.failure.message} It is asked again.", look)


def without_finalizer(seen: BoughtObservation[BoughtStatus]) -> Decision[BoughtStatus] | None:
    """The finalizer and the name are written before anything is bought, in one write."""
    metadata, name = seen.resource.metadata, str(seen.name)
    has_name = metadata.annotations.get(NAME_ANNOTATION) == name
    if FINALIZER in metadata.finalizers and (has_name or seen.bought_id is not None):
        return None
    return quietly(seen, SetMetadata(with_finalizer(metadata), ((NAME_ANNOTATION, name),)))


def credential_followed(
    seen: BoughtObservation[BoughtStatus], decision: Decision[BoughtStatus]
) -> Decision[BoughtStatus]:
    """The decision, which also follows a change of `spec.credentialsRef`; on the way out that is not its business."""
    metadata = seen.resource.metadata
    if is_paused(metadata) or metadata.is_being_deleted:
        return decision
    return following_secret(decision, seen.secret_use, seen.around)
