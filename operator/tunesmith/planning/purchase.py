"""How money is spent at most once: the intent protocol that clusters and volumes share. It knows neither kind.

The provider takes no idempotency key and answers slowly. So a purchase is written down first (the intent, with a
nonce), then looked for in a list begun after that write, then POSTed once, only by the process whose own write put the
nonce there and only within a window. A definite refusal closes the intent. Anything else is ambiguous: nobody POSTs
until `settle` has passed and fresh lists are clean; then comes a new nonce.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.decision import Action, ErrorClass, Failure
from tunesmith.planning.provider import ProviderView

DEFINITE_REFUSALS = frozenset(
    {
        ErrorClass.OUT_OF_STOCK,
        ErrorClass.BAD_REQUEST,
        ErrorClass.UNAUTHENTICATED,
        ErrorClass.FORBIDDEN,
        ErrorClass.NO_CREDIT,
        ErrorClass.NOT_FOUND,
        ErrorClass.INVALID,
        ErrorClass.RATE_LIMITED,
        ErrorClass.NOT_SENT,
    }
)
"""After these nothing was bought. CONFLICT, UNAVAILABLE and AMBIGUOUS leave it open."""

FIRST_REFUSAL_PAUSE_SECONDS = 15.0
LONGEST_REFUSAL_PAUSE_SECONDS = 900.0
FIRST_UNSENT_PAUSE_SECONDS = 1.0
LONGEST_UNSENT_PAUSE_SECONDS = 300.0
UNCLEAR_ORDERS_TO_TELL = 3
"""So many orders in a row without a clear answer are no accident any more: somebody should hear of it."""


@dataclass(frozen=True)
class Intent:
    """The part of a `status.createIntent` that the protocol needs. `started` is UTC wall time."""

    name: str
    nonce: str
    started: datetime


@dataclass(frozen=True)
class IntentMark:
    """What this process itself knows of one nonce. Times are monotonic seconds.

    `decided` and `written` are set when this process's own write put the nonce into the status: `decided` before the
    write began (the window counts from it), `written` after it was answered (lists count from it).
    """

    nonce: str
    first_seen: float
    decided: float | None = None
    written: float | None = None
    posted: bool = False
    answer: Failure | None = None
    created_id: str | None = None

    @property
    def refused(self) -> Failure | None:
        """The definite refusal that this process got for the nonce, if it did."""
        return self.answer if self.answer is not None and self.answer.error in DEFINITE_REFUSALS else None

    @property
    def never_posted(self) -> bool:
        """True when it is certain that no POST went out under this nonce: it is ours, and we sent none."""
        return self.written is not None and (not self.posted or self.refused is not None)


@dataclass(frozen=True)
class PurchaseMemory:
    """What this process remembers of one resource's dealings with the provider; lost with the process, by design.

    `unsent` counts orders in a row that never left this process, `last_unsent` is when the newest was kept back.
    `unclear` counts orders in a row of which the provider's answer did not tell what became, `last_unclear` is the
    newest such answer.
    `absent_since` is when the first clean look began that lacked `absent_target`, the id or name that was looked for.
    `policy_noted` is what this process has last put into the book of names: a name, and whether it is kept.
    `named` says that this process itself gave the object its finalizer and name, so before that nothing was bought.
    """

    first_seen: float
    mark: IntentMark | None = None
    refusals: int = 0
    last_refused: float | None = None
    last_refusal: Failure | None = None
    unsent: int = 0
    last_unsent: float | None = None
    unclear: int = 0
    last_unclear: Failure | None = None
    last_write: float | None = None
    delete_sent: float | None = None
    absent_target: str | None = None
    absent_since: float | None = None
    named: bool = False
    policy_noted: tuple[str, bool] | None = None

    def with_policy_noted(self, name: str, *, retains: bool) -> PurchaseMemory:
        """The memory after the book of names was told."""
        return replace(self, policy_noted=(name, retains))

    def with_intent_seen(self, nonce: str | None, monotonic: float) -> PurchaseMemory:
        """The memory after an observation that showed this nonce (or no intent) in the status."""
        if nonce is None or (self.mark is not None and self.mark.nonce == nonce):
            return self
        return replace(self, mark=IntentMark(nonce=nonce, first_seen=monotonic))

    def with_intent_written(self, nonce: str, *, decided: float, written: float) -> PurchaseMemory:
        """The memory after this process's own write put the nonce into the status."""
        return replace(self, mark=IntentMark(nonce=nonce, first_seen=written, decided=decided, written=written))

    def with_post_begun(self, nonce: str) -> PurchaseMemory:
        """The memory just before the request leaves. Refuses a second POST under one nonce, whoever asks."""
        mark = self.mark
        if mark is None or mark.nonce != nonce or mark.written is None or mark.posted:
            raise ValueError(f"no POST is allowed under nonce '{nonce}': it is not this process's own, or was used")
        return replace(self, mark=replace(mark, posted=True))

    def with_post_answered(self, nonce: str, answer: Failure | str, monotonic: float) -> PurchaseMemory:
        """The memory after a create was answered: by the id of what was made, or by a failure."""
        if self.mark is None or self.mark.nonce != nonce:
            return self
        if isinstance(answer, str):
            made = replace(self.mark, created_id=answer)
            return replace(
                self,
                mark=made,
                refusals=0,
                last_refused=None,
                last_refusal=None,
                unsent=0,
                last_unsent=None,
                unclear=0,
                last_unclear=None,
                last_write=monotonic,
                delete_sent=None,
            )
        mark = replace(self.mark, answer=answer)
        if answer.error is ErrorClass.NOT_SENT:
            return replace(self, mark=mark, unsent=self.unsent + 1, last_unsent=monotonic)
        heard = replace(self, mark=mark, unsent=0, last_unsent=None)
        if mark.refused is None:
            return replace(heard, unclear=self.unclear + 1, last_unclear=answer)
        heard = replace(heard, unclear=0, last_unclear=None)
        return replace(heard, refusals=self.refusals + 1, last_refused=monotonic, last_refusal=answer)

    def with_write(self, monotonic: float) -> PurchaseMemory:
        """The memory after a change at the provider: only lists begun later tell what came of it."""
        return replace(self, last_write=monotonic)

    def with_delete_sent(self, monotonic: float) -> PurchaseMemory:
        """The memory after a delete was accepted."""
        return replace(self, last_write=monotonic, delete_sent=monotonic)

    def with_look(self, target: str | None, *, begun: float | None, present: bool) -> PurchaseMemory:
        """The memory after a clean look for `target` (None: nothing is looked for; `begun` None: no clean look)."""
        if target is None or present:
            return replace(self, absent_target=None, absent_since=None)
        if begun is None or self.absent_target == target:
            return self
        return replace(self, absent_target=target, absent_since=begun)


def after_looking(
    memory: PurchaseMemory, view: ProviderView, *, bought_id: str | None, intent: Intent | None, around: Circumstances
) -> PurchaseMemory:
    """The memory after an observation: which nonce it showed, and whether what is looked for was there.

    An id is absent when the provider said 404; an intended name when lists lacked it that were begun after `settle`.
    """
    memory = memory.with_intent_seen(None if intent is None else intent.nonce, around.monotonic)
    if any(isinstance(each.action, SetMetadata) and each.failure is None for each in around.outcomes):
        memory = replace(memory, named=True)
    if bought_id is not None:
        present = view.cluster(bought_id) is not None or view.volume(bought_id) is not None
        return memory.with_look(bought_id, begun=view.not_found.get(bought_id), present=present)
    if intent is None:
        return memory.with_look(None, begun=None, present=False)
    names = {cluster.name for cluster in view.seen_clusters()} | {volume.name for volume in view.seen_volumes()}
    begun = view.begun
    settled = begun if begun is not None and begun >= settled_at(intent, memory, around) else None
    return memory.with_look(intent.name, begun=settled, present=intent.name in names)


@dataclass(frozen=True)
class HoldIntent(Action):
    """Remember, after the status write that put it there, that this nonce is this process's own."""

    nonce: str
    decided_monotonic: float

    @property
    def identity(self) -> str:
        """By nonce alone."""
        return f"hold intent {self.nonce}"


@dataclass(frozen=True)
class OpenIntent:
    """Write a new intent, under the pass's fresh nonce."""

    why: str


@dataclass(frozen=True)
class CloseIntent:
    """The provider refused for certain: nothing was bought. Take the intent away and say why."""

    refusal: Failure


@dataclass(frozen=True)
class LookFirst:
    """A list begun at `not_before` or later is needed before anything else."""

    not_before: float


@dataclass(frozen=True)
class Post:
    """The one POST of this nonce may be sent, before `deadline` (monotonic seconds)."""

    deadline: float


@dataclass(frozen=True)
class Pause:
    """Nothing may be done for `seconds`. `refusal` is why, when the provider refused before; else it is unclear."""

    seconds: float
    refusal: Failure | None = None


@dataclass(frozen=True)
class Unsent:
    """The order never left this process, and is not tried again for `seconds`."""

    seconds: float
    why: Failure


@dataclass(frozen=True)
class Made:
    """This process's POST was answered with the id of what was made."""

    id: str


Step = OpenIntent | CloseIntent | LookFirst | Post | Pause | Unsent | Made


def next_step(intent: Intent | None, memory: PurchaseMemory, lists_begun: float | None, around: Circumstances) -> Step:
    """What the protocol allows now for a resource that is not found at the provider by name.

    `lists_begun` is when the older of the newest clean lists of clusters and volumes was begun. The caller has looked
    in these lists and found nothing of this name; a find always comes before this question.
    """
    if intent is None:
        return _without_intent(memory, lists_begun, around)
    mark = memory.mark
    if mark is None or mark.nonce != intent.nonce:
        mark = IntentMark(nonce=intent.nonce, first_seen=around.monotonic)
    if mark.created_id is not None:
        return Made(mark.created_id)
    if mark.refused is not None and mark.refused.error is not ErrorClass.NOT_SENT:
        return CloseIntent(mark.refused)
    if mark.never_posted:
        return _kept_back(mark, memory, around) or _own_and_unused(mark, lists_begun, around)
    return _ambiguous(intent, mark, lists_begun, around)


def refusal_pause_seconds(memory: PurchaseMemory, jitter: float) -> float:
    """How long to wait after the newest definite refusal: growing, half of it jitter; the provider's wish wins."""
    if memory.last_refusal is not None and memory.last_refusal.retry_after_seconds is not None:
        return memory.last_refusal.retry_after_seconds
    interval = FIRST_REFUSAL_PAUSE_SECONDS * 2.0 ** min(max(memory.refusals - 1, 0), 10)
    return min(interval, LONGEST_REFUSAL_PAUSE_SECONDS) * (0.5 + 0.5 * jitter)


def orders_unanswered(memory: PurchaseMemory) -> str | None:
    """What is told when one order after another gets no clear answer; None: it does not happen, or not often yet."""
    if memory.unclear < UNCLEAR_ORDERS_TO_TELL or memory.last_unclear is None:
        return None
    return (
        f"{memory.unclear} orders in a row were not answered clearly; of the last one: {memory.last_unclear.message} "
        f"None is made before it is certain that the one before bought nothing. It goes on like that; ask the "
        f"provider's support, or delete this resource."
    )


def settled_at(intent: Intent, memory: PurchaseMemory, around: Circumstances) -> float:
    """The monotonic time from which on a look can tell what became of an ambiguous create.

    `settle` counts both from the intent's own (wall) time and from when this process first saw the nonce, so that
    neither a wrong clock nor a long pause of some process shortens it.
    """
    mark = memory.mark if memory.mark is not None and memory.mark.nonce == intent.nonce else None
    first_seen = mark.first_seen if mark is not None else around.monotonic
    since_intent = (around.now - intent.started) / timedelta(seconds=1)
    return max(first_seen, around.monotonic - since_intent) + around.installation.settle_seconds


def may_have_lost_its_intent(memory: PurchaseMemory) -> bool:
    """For an object that bears our name and no status: was it given the name just now, or did a backup take its status?

    What the lost status spoke of may still be on its way, and the lists may not show it yet.
    """
    return not memory.named or memory.mark is not None


def may_have_been_posted(intent: Intent, memory: PurchaseMemory) -> bool:
    """False only when this process knows that nothing was bought under the intent."""
    mark = memory.mark
    return mark is None or mark.nonce != intent.nonce or not mark.never_posted


def is_absent_twice(memory: PurchaseMemory, target: str, lists_begun: float | None, around: Circumstances) -> bool:
    """Two clean looks, apart in time, lacked `target`."""
    if memory.absent_target != target or memory.absent_since is None or lists_begun is None:
        return False
    return lists_begun >= memory.absent_since + around.installation.absence_interval_seconds


def _without_intent(memory: PurchaseMemory, lists_begun: float | None, around: Circumstances) -> Step:
    if memory.last_refused is not None:
        left = memory.last_refused + refusal_pause_seconds(memory, around.jitter) - around.monotonic
        if left > 0:
            return Pause(left, memory.last_refusal)
    if lists_begun is None or lists_begun < memory.first_seen:
        return LookFirst(memory.first_seen)
    return OpenIntent("nothing was bought yet")


def _kept_back(mark: IntentMark, memory: PurchaseMemory, around: Circumstances) -> Unsent | None:
    """What kept the order back may last (a full disk, a provider that is left alone): no haste, and it is told."""
    if mark.refused is None or memory.last_unsent is None:
        return None
    interval = FIRST_UNSENT_PAUSE_SECONDS * 2.0 ** min(max(memory.unsent - 1, 0), 10)
    pause = mark.refused.retry_after_seconds or min(interval, LONGEST_UNSENT_PAUSE_SECONDS) * (
        0.5 + 0.5 * around.jitter
    )
    left = memory.last_unsent + pause - around.monotonic
    return Unsent(left, mark.refused) if left > 0 else None


def _own_and_unused(mark: IntentMark, lists_begun: float | None, around: Circumstances) -> Step:
    """The nonce is ours and no POST went out: buy within the window, else begin again, which is safe at once."""
    if mark.decided is None or mark.written is None:
        raise ValueError("a nonce of our own has the times of its write")
    deadline = mark.decided + around.installation.create_window_seconds
    if mark.refused is not None or around.monotonic > deadline:
        return OpenIntent("the window passed before the request could be sent")
    if lists_begun is None or lists_begun < mark.written:
        return LookFirst(mark.written)
    return Post(deadline)


def _ambiguous(intent: Intent, mark: IntentMark, lists_begun: float | None, around: Circumstances) -> Step:
    """A POST may have been sent, by us or by another process. Look, wait for `settle`, look again, begin again."""
    settled = settled_at(intent, PurchaseMemory(first_seen=mark.first_seen, mark=mark), around)
    if around.monotonic < settled:
        return Pause(settled - around.monotonic)
    if lists_begun is None or lists_begun < settled:
        return LookFirst(settled)
    return OpenIntent("the create of before left nothing behind")
