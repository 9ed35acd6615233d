"""Which Secret keeps the credential of what was bought, and when one that was named before is let go. Knows no kind.

The Secret that `spec.credentialsRef` names carries our finalizer while something bought needs it. When the reference
changes, the Secret of before stays held until the new credential has shown what was bought: it may be the only one
that can give it back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from tunesmith.planning.actions import SetFinalizer
from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.decision import Decision, ErrorClass, Failure
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.ownership import IN_USE_FINALIZER
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.shared_volume import SharedVolumeStatus

GONE_AGAIN_SECONDS = 1.0
"""How soon to look whether those that go first are gone."""

BoughtStatus = TypeVar("BoughtStatus", GPUClusterStatus, SharedVolumeStatus)


@dataclass(frozen=True)
class SecretUse:
    """The credential Secret of one resource.

    `wanted`: by `spec.credentialsRef`; None: the installation's credential. `recorded`: what the status says is held.
    `old_is_free`: nothing is bought or ordered, or the present credential shows what was bought. `needed_by_others` are
    the Secrets of resources that stay, `named_by_leaving` of those that were decided to be let go and are not gone yet.
    """

    namespace: str
    wanted: str | None
    wanted_is_held: bool
    recorded: str | None
    old_is_free: bool
    needed_by_others: frozenset[str] = frozenset()
    named_by_leaving: frozenset[str] = frozenset()

    @property
    def goes_last(self) -> bool:
        """Others with the same Secret are just being let go, and nobody else needs it.

        Each of them would leave the Secret to the others, and it would be held for ever: whoever goes last releases it.
        """
        mine = {name for name in (self.wanted, self.recorded) if name is not None}
        return bool((mine & self.named_by_leaving) - self.needed_by_others)


def following_secret(decision: Decision[BoughtStatus], use: SecretUse, around: Circumstances) -> Decision[BoughtStatus]:
    """The decision, which also writes down the Secret that is held, and lets go of one that was named before."""
    if use.recorded == use.wanted or not decision.status.conditions:
        return decision  # a first status is written whole, by a decision that has something to say
    held = use.wanted if use.wanted_is_held else None
    if use.recorded is None:
        return _recording(decision, held) if held is not None else decision
    if not use.old_is_free or (use.wanted is not None and held is None):
        return decision
    release = released(use.namespace, use.recorded)
    done = any(outcome.action == release and outcome.failure is None for outcome in around.outcomes)
    if done or use.recorded in use.needed_by_others:
        return _recording(decision, held)
    return replace(decision, actions=(release, *decision.actions))


def left_behind(use: SecretUse) -> tuple[SetFinalizer, ...]:
    """What a resource that goes lets go of beside the Secret that it names now."""
    if use.recorded is None or use.recorded == use.wanted or use.recorded in use.needed_by_others:
        return ()
    return (released(use.namespace, use.recorded),)


def released(namespace: str, name: str) -> SetFinalizer:
    """Take our finalizer off a Secret."""
    return SetFinalizer("v1", "Secret", namespace, name, IN_USE_FINALIZER, present=False)


def refusal_of_key(around: Circumstances) -> Failure | None:
    """The provider's newest word about the key, when it refuses it."""
    failed = around.failure_of(LookAtProvider(0.0))
    if failed is None or failed.failure.error not in {ErrorClass.UNAUTHENTICATED, ErrorClass.FORBIDDEN}:
        return None
    return failed.failure


def _recording(decision: Decision[BoughtStatus], name: str | None) -> Decision[BoughtStatus]:
    return replace(decision, status=decision.status.model_copy(update={"credentials_secret_name": name}))
