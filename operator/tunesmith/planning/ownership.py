"""Whose a provider object is: the name annotation, its own, foreign or restored, and competing claims."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.circumstances import Installation
from tunesmith.planning.decision import Action
from tunesmith.planning.naming import ProviderName, installation_mark, parse_provider_name, provider_name
from tunesmith.resources.metadata import Metadata

FINALIZER = "tunesmith.dev/finalizer"
IN_USE_FINALIZER = "tunesmith.dev/in-use"
NAME_ANNOTATION = "tunesmith.dev/provider-name"
PAUSED_ANNOTATION = "tunesmith.dev/paused"
ABANDON_ANNOTATION = "tunesmith.dev/abandon"
PROTECTION_ANNOTATION = "tunesmith.dev/deletion-protection"


@dataclass(frozen=True)
class Claim:
    """Another resource that holds the same provider object. `bought`: the object's name says that it bought it."""

    namespace: str
    name: str
    uid: str
    created: datetime | None
    bought: bool = False

    @property
    def rank(self) -> tuple[bool, str, str]:
        """Who bought it comes first; of the others the oldest `(creationTimestamp, uid)`."""
        return (not self.bought, *_age(self.created, self.uid))


def owner_among(claims: Iterable[Claim], metadata: Metadata, *, bought: bool) -> Claim | None:
    """The claim that owns the object before this resource does; None: this resource owns it."""
    mine = (not bought, *_age(metadata.creation_timestamp, metadata.uid))
    return min((claim for claim in claims if claim.rank < mine), key=lambda claim: claim.rank, default=None)


def own_name(kind: str, metadata: Metadata, installation: Installation, incarnation: int) -> ProviderName:
    """The name of this object's purchase."""
    return provider_name(
        installation_id=installation.id,
        kind=kind,
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=metadata.uid,
        incarnation=incarnation,
    )


def way_out_of(metadata: Metadata) -> str:
    """How a user lets a resource go without proof that nothing bills; `{target}` stands for what may."""
    wrong = " (it names something else now)" if ABANDON_ANNOTATION in metadata.annotations else ""
    return (
        f"set the annotation '{ABANDON_ANNOTATION}' to '{{target}}'{wrong} to let the resource go, and see to the bill "
        "yourself."
    )


def annotated_name(metadata: Metadata, own: ProviderName) -> ProviderName | None:
    """The annotated name, when it is of our own identity; a name copied from another resource is not believed."""
    parsed = parse_provider_name(metadata.annotations.get(NAME_ANNOTATION, ""))
    return parsed if parsed is not None and parsed.is_called_like(own) else None


def was_restored(metadata: Metadata, own: ProviderName) -> bool:
    """The annotation was written for another object of our kind, namespace and name: a backup brought it here."""
    annotated = annotated_name(metadata, own)
    return annotated is not None and annotated.uid != own.uid


def may_be_taken_over(found: ProviderName, installation: Installation) -> bool:
    """`SameIdentity` reaches only what this installation, or one that it replaces by its own word, has bought."""
    known = {installation_mark(each) for each in (installation.id, *installation.previous_ids)}
    return found.installation in known


def is_paused(metadata: Metadata) -> bool:
    """The user asked for no writes anywhere."""
    return metadata.annotations.get(PAUSED_ANNOTATION) == "true"


def is_protected(metadata: Metadata) -> bool:
    """The user asked that nothing is given back, even when the resource is deleted."""
    return metadata.annotations.get(PROTECTION_ANNOTATION) == "enabled"


def with_finalizer(metadata: Metadata) -> tuple[str, ...]:
    """The resource's finalizers, ours among them."""
    return metadata.finalizers if FINALIZER in metadata.finalizers else (*metadata.finalizers, FINALIZER)


def without_finalizer(metadata: Metadata) -> tuple[str, ...]:
    """The resource's finalizers without ours."""
    return tuple(each for each in metadata.finalizers if each != FINALIZER)


def lets_go(actions: Iterable[Action]) -> bool:
    """The resource's finalizer is taken away: nothing more is asked about it."""
    metadata = (action for action in actions if isinstance(action, SetMetadata))
    return any(each.finalizers is not None and FINALIZER not in each.finalizers for each in metadata)


def _age(created: datetime | None, uid: str) -> tuple[str, str]:
    return (created.isoformat() if created else "", uid)
