"""Of several resources that claim one object of the provider, which one owns it. Nobody else acts."""

from __future__ import annotations

from tunesmith.planning.bought import BoughtObservation, BoughtStatus
from tunesmith.planning.naming import ProviderName, parse_provider_name
from tunesmith.planning.ownership import Claim, owner_among


def owner_elsewhere(seen: BoughtObservation[BoughtStatus]) -> Claim | None:
    """The other resource that owns what this one holds or would take over; None: nobody else does."""
    held = seen.held
    bought = held is not None and _is_own(held.name, seen.name)
    return owner_among(seen.other_claims, seen.resource.metadata, bought=bought)


def why_owned(owner: Claim, kind: str, what: str) -> str:
    """The message of `AlreadyOwned`."""
    why = "which bought it" if owner.bought else "which is older"
    return (
        f"{what} belongs to {kind} '{owner.namespace}/{owner.name}', {why}. This resource touches nothing and can be "
        "deleted; the object becomes its own when that one goes and leaves it."
    )


def _is_own(name: str, own: ProviderName) -> bool:
    parsed = parse_provider_name(name)
    return parsed is not None and parsed.is_same_object(own)
