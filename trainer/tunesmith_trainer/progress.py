"""What the trainer says while it works: lines of JSON for machines, or a bar for a person at a terminal.

Only rank 0 speaks on stdout; others, such as trackers, listen to the same lines. The heartbeat that is said whatever
training does comes from the thread of `watchdog`.
"""

import sys
import threading
import time
from datetime import UTC, datetime
from typing import Protocol, TextIO

from tunesmith_trainer.bar import Bar
from tunesmith_trainer.contract import Configuration, Heartbeat, ProgressLine
from tunesmith_trainer.contract.messages import CheckpointSaid, Said, Stage
from tunesmith_trainer.devices import wants_gpus
from tunesmith_trainer.endings import Where
from tunesmith_trainer.hardware import Work, memory_peak_bytes, utilisation
from tunesmith_trainer.pace import Pace, Pause
from tunesmith_trainer.ranks import Doing

MINIMUM_SECONDS_BETWEEN_LINES = 1.0


class Listener(Protocol):
    """Somebody besides the log who wants to hear where training is. Neither call may wait for anything, or raise."""

    def hear(self, line: ProgressLine) -> None:
        """Something is new; called on the training thread, for every step."""

    def close(self) -> None:
        """Nothing more will come; what has not been passed on may be, within a few seconds."""


class Reporter:
    """Keeps where training is, and says it."""

    def __init__(self, configuration: Configuration, *, speaks: bool, out: TextIO | None = None) -> None:
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
        self._on_gpu = wants_gpus(configuration)
        self._listeners: list[Listener] = []
        self._work: Work | None = None
        self._peak_flops: float | None = None
        self.pace = Pace()
        self.doing: Doing = "Nothing"
        self.forward_passes = 0
        self.memory_peak_bytes = 0
        self.seconds: dict[str, float] = {}

    def listen(self, listener: Listener) -> None:
        """From now on the listener hears what this process says; where it does not speak, nothing."""
        self._listeners.append(listener)

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
        self.doing = "Nothing"
        self._say(at_once=True, stage=stage, eta_seconds=None)  # it was that of the steps

    def plan(self, *, step: int, total_steps: int, dropped_rows: dict[str, int]) -> None:
        """What is to be done: steps in all, and steps already done by earlier attempts."""
        self._say(at_once=True, step=step, total_steps=total_steps, dropped_rows=dropped_rows)

    def measure_by(self, work: Work | None, peak_flops: float | None) -> None:
        """What a token costs and a GPU can do, where both are known: then the utilisation is told."""
        self._work, self._peak_flops = work, peak_flops

    def moved(self) -> None:
        """Something went on that is not a step."""
        self._moved = time.monotonic()

    def waits_for_rows(self) -> None:
        """The next step begins with its rows."""
        self.doing = "WaitingForRows"
        self.forward_passes = 0
        self.pace.begin_step()

    def computes(self, waited_seconds: float) -> None:
        """The step's rows are there."""
        self.doing = "Computing"
        self.pace.waited(waited_seconds)

    def pauses(self, pause: Pause) -> None:
        """Training evaluates or saves from here on."""
        self.doing = pause
        self.pace.begin_pause()

    def goes_on(self, pause: Pause) -> None:
        """The evaluation or the save is done."""
        self.moved()
        self.doing = "Nothing"
        self.pace.end_pause(pause)

    def highest_memory(self, peak_bytes: int) -> None:
        """Another process of the attempt has held so much."""
        self.memory_peak_bytes = max(self.memory_peak_bytes, peak_bytes)

    def step(
        self, step: int, *, epoch: float | None, loss: float, learning_rate: float, grad_norm: float | None, tokens: int
    ) -> None:
        """A finished step; `tokens` is the running count of all processes."""
        self.doing = "Nothing"
        self.pace.end_step(tokens)
        self.highest_memory(memory_peak_bytes(self._on_gpu))
        total = self._now.total_steps or step
        eta, share = self.pace.eta_seconds(step, total), self.pace.data_wait_share
        self._say(
            at_once=step == total,
            step=step,
            epoch=epoch,
            loss=loss,
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            eta_seconds=None if eta is None else round(eta, 1),
            data_wait_share=None if share is None else round(share, 4),
            memory_peak_bytes=self.memory_peak_bytes,
            **self._rates(),
        )

    def _rates(self) -> dict[str, float]:
        rate = self.pace.tokens_per_second
        if rate is None:
            return {}
        if not self._on_gpu:
            return {"tokens_per_second": round(rate, 1)}
        each = rate / self._configuration.world.size
        told = {"tokens_per_second": round(rate, 1), "tokens_per_second_per_gpu": round(each, 1)}
        if self._work is None or self._peak_flops is None:
            return told
        return {**told, "model_flop_utilization": round(utilisation(self._work, each, self._peak_flops), 4)}

    def evaluated(self, loss: float) -> None:
        """Loss on the held-out rows."""
        self._say(at_once=True, evaluation_loss=loss, evaluation_step=self._now.step)

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
            stalled=self._now.stage == "Training" and since > self.patience_seconds,
        )

    @property
    def patience_seconds(self) -> float:
        """How long training may sit still just now before it counts as hung.

        At least `stallAfterSeconds`, and so many times the usual step where steps are slow. The first steps, which
        compile and connect, and saves and evaluated batches are never measured by the usual step: they get a floor.
        """
        watchdog, least = self._configuration.watchdog, self._configuration.stall_after_seconds
        usual = self.pace.median_step_seconds
        if usual is None or self.doing in ("Evaluating", "Saving"):
            return max(least, watchdog.patient_seconds)
        return max(least, watchdog.step_multiple * usual)

    def beat(self, heartbeat: Heartbeat) -> None:
        """Says the sign of life; a person's bar moves by itself."""
        if self._bar is None:
            self._write(heartbeat)

    def close(self) -> None:
        """Lets the terminal and the listeners go."""
        if self._bar is not None:
            self._bar.close()
        for listener in self._listeners:
            listener.close()

    def _say(self, *, at_once: bool, **news: object) -> None:
        now = time.monotonic()
        self._moved = now
        self._now = self._now.model_copy(update={**news, "time": datetime.now(UTC)})
        if self._speaks:
            for listener in self._listeners:
                listener.hear(self._now)
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
