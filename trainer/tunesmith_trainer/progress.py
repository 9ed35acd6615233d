"""What the trainer says while it works: lines of JSON for machines, or a bar for a person at a terminal.

Only rank 0 speaks on stdout. A thread tells every `heartbeatSeconds` that the process lives, whatever training does,
and ends the process when training has not moved for `stallAfterSeconds`.
"""

import faulthandler
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from tunesmith_trainer.bar import Bar
from tunesmith_trainer.contract import Configuration, Heartbeat, PrepareConfiguration, ProgressLine
from tunesmith_trainer.contract.messages import CheckpointSaid, Said, Stage
from tunesmith_trainer.endings import Where, failure_message, leave
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

MINIMUM_SECONDS_BETWEEN_LINES = 1.0
WINDOW_STEPS = 20


class Reporter:
    """Keeps where training is, and says it."""

    def __init__(
        self, configuration: Configuration | PrepareConfiguration, *, speaks: bool, out: TextIO | None = None
    ) -> None:
        self._configuration = configuration
        self._out = out or sys.stdout
        self._speaks = speaks
        self._bar = Bar() if speaks and self._out.isatty() else None
        self._lock = threading.Lock()
        self._now = ProgressLine(
            time=datetime.now(UTC), attempt=configuration.storage.attempt, stage="Starting", step=0
        )
        self._moved = self._stage_began = time.monotonic()
        self._said = -MINIMUM_SECONDS_BETWEEN_LINES
        self._window: deque[tuple[float, int]] = deque(maxlen=WINDOW_STEPS + 1)
        self.seconds: dict[str, float] = {}

    @property
    def where(self) -> Where:
        """Where training is, for an ending."""
        return Where(self._now.attempt, self._now.step, self._now.total_steps)

    @property
    def seconds_since_movement(self) -> float:
        """Since the last step, evaluated batch, or change of stage."""
        return time.monotonic() - self._moved

    def stage(self, stage: Stage) -> None:
        """Begins a stage and says so."""
        now = time.monotonic()
        self.seconds[self._now.stage] = self.seconds.get(self._now.stage, 0.0) + now - self._stage_began
        self._stage_began = now
        self._say(at_once=True, stage=stage)

    def plan(self, *, step: int, total_steps: int, dropped_rows: dict[str, int]) -> None:
        """What is to be done: steps in all, and steps already done by earlier attempts."""
        self._say(at_once=True, step=step, total_steps=total_steps, dropped_rows=dropped_rows)

    def moved(self) -> None:
        """Something went on that is not a step."""
        self._moved = time.monotonic()

    def step(
        self, step: int, *, epoch: float | None, loss: float, learning_rate: float, grad_norm: float | None, tokens: int
    ) -> None:
        """A finished step; `tokens` is the running count of all processes."""
        self._window.append((time.monotonic(), tokens))
        (began, first_tokens), (ended, last_tokens) = self._window[0], self._window[-1]
        seconds, steps = ended - began, len(self._window) - 1
        total = self._now.total_steps or step
        self._say(
            at_once=step == total,
            step=step,
            epoch=epoch,
            loss=loss,
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            tokens_per_second=round((last_tokens - first_tokens) / seconds, 1) if seconds > 0 else None,
            eta_seconds=round((total - step) * seconds / steps, 1) if steps else None,
        )

    def evaluated(self, loss: float) -> None:
        """Loss on the held-out rows."""
        self._say(at_once=True, evaluation_loss=loss)

    def saved(self, step: int, path: str) -> None:
        """A checkpoint is complete."""
        self._say(at_once=True, checkpoint=CheckpointSaid(step=step, path=path))

    def tell(self, message: str) -> None:
        """Something that a person should know."""
        self._say(at_once=True, message=message)
        self._now = self._now.model_copy(update={"message": None})

    def heartbeat(self) -> Heartbeat:
        """The sign of life of this moment."""
        since = self.seconds_since_movement
        return Heartbeat(
            time=datetime.now(UTC),
            attempt=self._now.attempt,
            stage=self._now.stage,
            last_step=self._now.step,
            seconds_since=round(since, 1),
            stalled=self._now.stage == "Training" and since > self._configuration.stall_after_seconds,
        )

    def beat(self, heartbeat: Heartbeat) -> None:
        """Says the sign of life; a person's bar moves by itself."""
        if self._bar is None:
            self._write(heartbeat)

    def close(self) -> None:
        """Lets a terminal go."""
        if self._bar is not None:
            self._bar.close()

    def _say(self, *, at_once: bool, **news: object) -> None:
        now = time.monotonic()
        self._moved = now
        self._now = self._now.model_copy(update={**news, "time": datetime.now(UTC)})
        if not self._speaks or not (at_once or now - self._said >= MINIMUM_SECONDS_BETWEEN_LINES):
            return
        self._said = now
        if self._bar is not None:
            self._bar.show(self._now)
        else:
            self._write(self._now)

    def _write(self, said: Said) -> None:
        if not self._speaks:
            return
        with self._lock:
            self._out.write(said.line() + "\n")
            self._out.flush()


class Watch:
    """The thread beside training: heartbeats, and the end of a process that stalls."""

    def __init__(self, reporter: Reporter, heartbeat_seconds: float, on_stall: Callable[[Reporter], None]) -> None:
        self._reporter = reporter
        self._heartbeat_seconds = heartbeat_seconds
        self._on_stall = on_stall
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="tunesmith-watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._heartbeat_seconds):
            heartbeat = self._reporter.heartbeat()
            self._reporter.beat(heartbeat)
            if heartbeat.stalled:
                self._on_stall(self._reporter)
                return


def end_stalled_process(reporter: Reporter) -> None:
    """Ends the process with the code for a stall, after its stacks went to stderr.

    The training thread cannot be asked any more: it may sit in a collective that never returns.
    """
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    error = TrainerError(
        ErrorClass.STALL,
        f"No step for {reporter.seconds_since_movement:.0f} seconds. The stacks are in the log of this pod.",
    )
    code = leave(failure_message(error, reporter.where))
    os._exit(code)
