"""One pass over one resource, the same for every kind: observe, decide, write the status, act.

Holds no rules of any kind. The status is written before anything outside is touched, carrying the resourceVersion that
the decision was made from, so that neither an older leader nor a stale cache can act on what is no longer true.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from tunesmith.controllers.controller import ActionFailed, Controller, Key
from tunesmith.controllers.intake import Intake
from tunesmith.controllers.kube_actions import KubeActions
from tunesmith.controllers.ports import Clock
from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import kind_of
from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.circumstances import Circumstances, FailureRecord, Installation
from tunesmith.planning.decision import Action, ErrorClass, EventNote, Failure, Outcome
from tunesmith.planning.retry import hold_back

Raw = Mapping[str, Any]
OBSERVE_SECONDS = 60.0
ACTION_SECONDS = 120.0
FAILURES_REMEMBERED = 64
WRITES_IN_A_ROW = 8
RESTLESS_SECONDS = 5.0

log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Takes Events; posting them is its own business and never delays a pass."""

    def record(self, raw: Raw, note: EventNote) -> None:
        """Tell this about the resource."""
        ...


@dataclass(frozen=True)
class Chance:
    """Randomness, handed in so that simulations can repeat it."""

    jitter: Callable[[], float]
    nonce: Callable[[], str]


@dataclass(frozen=True)
class Pass:
    """How a pass ended: `outcome` is a word for the metrics; None seconds: no further pass unless something changes."""

    outcome: str
    again_after_seconds: float | None = None


@dataclass
class _Memory:
    """What this process remembers of one object between passes."""

    uid: str
    outcomes: tuple[Outcome, ...] = ()
    failures: dict[str, FailureRecord] = field(default_factory=dict)
    writes_in_a_row: int = 0


class _Outrun(Exception):
    """Somebody wrote the resource before our own metadata could be: no failure, but a decision to be made anew.

    Were it counted, somebody who annotates every second could hold a finalizer up for minutes at a time.
    """

    def __init__(self, done: tuple[Outcome, ...]) -> None:
        super().__init__("the resource was written by somebody else first")
        self.done = done


# The whole status for a resource whose spec cannot be read; None: it can.
Refusal = Callable[[Raw, datetime], Mapping[str, Any] | None]


class Reconciler:
    """Passes over resources. Never two at once over one key: the queue sees to that."""

    def __init__(
        self,
        *,
        cache: Cache,
        intake: Intake,
        kube: Kube,
        kube_actions: KubeActions,
        installation: Installation,
        clock: Clock,
        chance: Chance,
        recorder: Recorder,
        refusal: Refusal,
    ) -> None:
        self._cache = cache
        self._intake = intake
        self._kube = kube
        self._kube_actions = kube_actions
        self._installation = installation
        self._clock = clock
        self._chance = chance
        self._recorder = recorder
        self._refusal = refusal
        self._controllers: dict[str, Controller[Any]] = {}
        self._memories: dict[Key, _Memory] = {}

    def register(self, controller: Controller[Any]) -> None:
        """Make a kind known."""
        self._controllers[controller.kind] = controller
        self._intake.serve(controller.kind, controller.wakes)

    async def reconcile(self, key: Key) -> Pass:
        """One pass. Raises what went wrong unexpectedly; the caller backs off."""
        controller = self._controllers[key.kind]
        raw = self._cache.get(key.kind, key.namespace, key.name)
        if raw is None:
            self._memories.pop(key, None)
            controller.forget(key)
            return Pass("gone")
        refused = self._refusal(raw, self._clock.now())
        if refused is not None:
            return await self._write_refusal(raw, refused)
        return await self._pass(controller, key, raw)

    async def _pass(self, controller: Controller[Any], key: Key, raw: Raw) -> Pass:
        memory = self._memory(controller, key, raw)
        around = self._circumstances(memory)
        async with asyncio.timeout(OBSERVE_SECONDS):
            seen = await controller.observe(key, raw, around)
        decided = controller.decide(seen)
        decision = hold_back(decided, around)
        differs = status_differs(raw, decision.status)
        if differs:
            stored = await self._write_status(raw, dumped(decision.status))
            if stored is None:
                return Pass("conflict", 0.0)  # the outcomes stay for the pass that will be believed
            raw = stored
        for note in decision.events:
            self._recorder.record(raw, note)
        try:
            memory.outcomes = await self._act(controller, memory, seen, decision.actions, raw)
        except _Outrun as outrun:
            memory.outcomes = outrun.done
            await self._refresh(raw)
            return Pass("conflict", 0.0)
        # A write that goes with an action is progress: the start of an attempt alone has a dozen of them.
        memory.writes_in_a_row = memory.writes_in_a_row + 1 if differs and not memory.outcomes else 0
        if memory.outcomes:
            if memory.outcomes[-1].failure is not None:
                return Pass("action_failed", 0.0)
            # What comes before an action that is held back would be repeated without a pause until that one is due.
            held_back = len(decision.actions) < len(decided.actions)
            return Pass("acted", decision.look_again_seconds if held_back else 0.0)
        if differs:
            return self._after_write(key, memory)
        return Pass("settled", decision.look_again_seconds)

    def _after_write(self, key: Key, memory: _Memory) -> Pass:
        """The new status may itself call for the next step, and our own write does not come back as a change."""
        if memory.writes_in_a_row < WRITES_IN_A_ROW:
            return Pass("written", 0.0)
        log.error("A status does not come to rest; this is a fault of the operator.", extra={"restless": str(key)})
        return Pass("restless", RESTLESS_SECONDS)

    def _memory(self, controller: Controller[Any], key: Key, raw: Raw) -> _Memory:
        """What is remembered of this very object; another one of the same name begins anew."""
        uid = str(raw["metadata"].get("uid", ""))
        memory = self._memories.get(key)
        if memory is not None and memory.uid == uid:
            return memory
        if memory is not None:
            controller.forget(key)
        self._memories[key] = _Memory(uid)
        return self._memories[key]

    def _circumstances(self, memory: _Memory) -> Circumstances:
        return Circumstances(
            now=self._clock.now(),
            monotonic=self._clock.monotonic(),
            jitter=self._chance.jitter(),
            fresh_nonce=self._chance.nonce(),
            installation=self._installation,
            outcomes=memory.outcomes,
            failures=dict(memory.failures),
        )

    async def _write_refusal(self, raw: Raw, status: Mapping[str, Any]) -> Pass:
        if status != (raw.get("status") or {}) and await self._write_status(raw, status) is None:
            return Pass("conflict", 0.0)
        return Pass("invalid")

    async def _write_status(self, raw: Raw, status: Mapping[str, Any]) -> Raw | None:
        """The object as stored; None when `raw` was not the newest (the cache then holds what is)."""
        try:
            stored = await self._kube.patch_status(raw, status)
        except KubeError as error:
            if error.status not in {404, 409}:
                raise
            await self._refresh(raw)
            return None
        self._intake.wrote(stored)
        return stored

    async def _refresh(self, raw: Raw) -> None:
        meta = raw["metadata"]
        newest = await self._kube.get(kind_of(raw["apiVersion"], raw["kind"]), meta.get("namespace"), meta["name"])
        if newest is None:
            self._intake.absent(raw)
        else:
            self._intake.seen(newest)

    async def _act(
        self, controller: Controller[Any], memory: _Memory, seen: object, actions: tuple[Action, ...], raw: Raw
    ) -> tuple[Outcome, ...]:
        """Carry the actions out in order, up to the first that fails. Raises `_Outrun`."""
        outcomes: list[Outcome] = []
        for action in actions:
            outcome = await self._carry_out(controller, seen, action, raw)
            if isinstance(action, SetMetadata) and _is_conflict(outcome):
                raise _Outrun(tuple(outcomes))
            outcomes.append(outcome)
            self._remember(memory, outcome)
            if outcome.failure is not None:
                log.warning(
                    "An action failed.",
                    extra={
                        "action": type(action).__name__,
                        "error": outcome.failure.error,
                        "why": outcome.failure.message,
                    },
                )
                break
            if isinstance(action, SetMetadata) and isinstance(outcome.value, Mapping):
                raw = (
                    outcome.value
                )  # our own write moved the resourceVersion on; only that answer is what was decided on
        return tuple(outcomes)

    async def _carry_out(self, controller: Controller[Any], seen: object, action: Action, raw: Raw) -> Outcome:
        try:
            async with asyncio.timeout(ACTION_SECONDS):
                if self._kube_actions.knows(action):
                    return Outcome(action, value=await self._kube_actions.carry_out(action, raw))
                return Outcome(action, value=await controller.act(seen, action))
        except (ActionFailed, KubeError) as error:
            return Outcome(action, failure=error.failure)
        except TimeoutError:
            # What costs money may have happened; what does not is repeated without harm.
            error_class = ErrorClass.AMBIGUOUS if action.costs_money else ErrorClass.UNAVAILABLE
            name = type(action).__name__
            return Outcome(action, failure=Failure(error_class, f"{name} got no answer within {ACTION_SECONDS:g} s."))

    def _remember(self, memory: _Memory, outcome: Outcome) -> None:
        identity = outcome.action.identity
        before = memory.failures.pop(identity, None)
        if outcome.failure is None:
            return
        count = before.count + 1 if before else 1
        memory.failures[identity] = FailureRecord(count, self._clock.monotonic(), outcome.failure)
        while len(memory.failures) > FAILURES_REMEMBERED:
            del memory.failures[next(iter(memory.failures))]


def _is_conflict(outcome: Outcome) -> bool:
    return outcome.failure is not None and outcome.failure.error is ErrorClass.CONFLICT


def dumped(status: BaseModel) -> dict[str, Any]:
    """A status as it is sent: what is None is absent."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def status_differs(raw: Raw, status: BaseModel) -> bool:
    """Whether the status that was decided differs from the stored one, both read by the same model."""
    stored, decided = raw.get("status") or {}, dumped(status)
    if stored == decided:
        return False  # nearly always; reading it by the model is what costs
    try:
        return dumped(type(status).model_validate(stored)) != decided
    except ValidationError:
        return True
