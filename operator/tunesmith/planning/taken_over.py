"""What a resource is told, and may do, about something that it did not buy: shared by clusters and volumes.

What deletion will do is said loudly, in a condition and in an Event whenever it changes: who adopts a cluster must not
learn from its end that deleting the resource deletes it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tunesmith.planning.circumstances import Installation
from tunesmith.planning.decision import EventNote, EventType
from tunesmith.planning.naming import ProviderName
from tunesmith.planning.ownership import may_be_taken_over
from tunesmith.resources.conditions import Condition, find_condition
from tunesmith.resources.gpu_cluster import GPUClusterSpec
from tunesmith.resources.purchase import DeletionPolicy, ManagementPolicy
from tunesmith.resources.reasons import Reason
from tunesmith.resources.shared_volume import SharedVolumeSpec

AnySpec = GPUClusterSpec | SharedVolumeSpec


def what_deletion_does(spec: AnySpec, thing: str) -> str:
    """One sentence about an adopted `thing` ('cluster', 'volume'); empty for what was bought."""
    if spec.adopt is None:
        return ""
    if spec.management_policy is ManagementPolicy.OBSERVE:
        return WATCHED.format(thing=thing)
    if spec.deletion_policy is DeletionPolicy.RETAIN:
        return KEPT.format(thing=thing)
    return DELETED.format(thing=thing, THING=thing.upper())


WATCHED = (
    "The {thing} is only watched (`spec.managementPolicy`): nothing is changed, and deleting this resource leaves it "
    "as it is."
)
KEPT = "The {thing} is adopted: deleting this resource leaves it at the provider (`spec.deletionPolicy`)."
DELETED = "The {thing} is adopted: DELETING THIS RESOURCE DELETES THE {THING} (`spec.deletionPolicy`)."


def without_what_deletion_does(message: str, thing: str) -> str:
    """The message without any of these sentences at its end: the policy may have changed since it was told."""
    for sentence in (WATCHED, KEPT, DELETED):
        message = message.removesuffix(f" {sentence.format(thing=thing, THING=thing.upper())}")
    return message


def adoption_news(
    spec: AnySpec, thing: str, held: str, before: Iterable[Condition], after: Iterable[Condition]
) -> tuple[EventNote, ...]:
    """The Event that goes with taking over, and with every change of what deletion does. `held` names the object."""
    sentence = what_deletion_does(spec, thing)
    if not sentence or sentence in _provisioned(before) or sentence not in _provisioned(after):
        return ()
    watched = spec.management_policy is ManagementPolicy.OBSERVE
    harmless = watched or spec.deletion_policy is DeletionPolicy.RETAIN
    reason = Reason.WATCHED if watched else Reason.ADOPTED
    return (EventNote(EventType.NORMAL if harmless else EventType.WARNING, reason, f"{held} {sentence}"),)


def not_to_be_adopted(
    mark: ProviderName | None, own: ProviderName, spec: AnySpec, installation: Installation
) -> str | None:
    """Why an object whose name carries the mark of some Tunesmith is not taken over; None: it may be.

    The installation's credential shows the objects of all its namespaces, so what was bought for another resource is
    taken over with a credential of one's own only.
    """
    if mark is None or mark.is_same_object(own):
        return None
    watched = spec.management_policy is ManagementPolicy.OBSERVE
    if not may_be_taken_over(mark, installation) and not (watched and spec.credentials_ref is not None):
        return (
            "was bought by another installation of Tunesmith, which may still look after it. If that one is no more, "
            "name it in the chart's `previousInstallationIDs`."
        )
    if mark.identity == own.identity or spec.credentials_ref is not None:
        return None
    return (
        "was bought for another resource. Make that resource again under its old name, with `spec.adoptionPolicy` "
        "'SameIdentity'; or adopt it with a credential of your own in `spec.credentialsRef`."
    )


def _provisioned(conditions: Iterable[Condition]) -> str:
    found = find_condition(conditions, "Provisioned")
    return "" if found is None else found.message
