"""The thread beside training: heartbeats, the end of an attempt that sits still, and of one that cannot stop in time.

Every process has one, because the training thread of a hung process cannot be asked: it may sit in a collective that
never returns. Each writes its own stacks; the first process of a pod besides those of peers that cannot.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tunesmith_trainer import ranks, stacks
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.endings import ENDINGS_DIRECTORY_VARIABLE, failure_message, leave
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.launch import seconds_to_save
from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.stopping import StopWish

LONGEST_LOOK_SECONDS = 5.0
SECONDS_FOR_PEERS = 15.0
SECONDS_BEYOND_PATIENCE = 60.0
# Before a pod is killed: enough to say that it was, so long as there was a grace worth the name.
SECONDS_FOR_LAST_WORDS = 3.0
LEAST_GRACE_SECONDS = 10.0
SHORTEST_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Place:
    """Which process this is, and where its attempt lies."""

    rank: int
    world_size: int
    attempt_directory: Path
    heartbeat_seconds: float

    @property
    def look_seconds(self) -> float:
        """How often the thread looks at training."""
        return min(LONGEST_LOOK_SECONDS, self.heartbeat_seconds)

    @property
    def silent_seconds(self) -> float:
        """A peer whose beacon is older than this does not live."""
        return 2 * self.heartbeat_seconds + self.look_seconds


OnStall = Callable[[Reporter, Place], None]
OnUnmetStop = Callable[[Reporter, float], None]


class Watch:
    """The thread; a context manager around all of the attempt."""

    def __init__(
        self,
        reporter: Reporter,
        configuration: Configuration,
        on_stall: OnStall,
        *,
        stop: StopWish | None = None,
        on_unmet_stop: OnUnmetStop | None = None,
    ) -> None:
        """`on_unmet_stop` is called when training was told to stop by `stop`, and the grace is nearly over."""
        storage = configuration.storage
        self._reporter = reporter
        self._on_stall = on_stall
        self._stop, self._on_unmet_stop = stop, on_unmet_stop
        self._grace_seconds = grace_seconds(configuration)
        self._place = Place(
            rank=int(os.environ.get("RANK", "0")),
            world_size=configuration.world.size,
            attempt_directory=Attempt(Path(storage.job_path), storage.attempt).directory,
            heartbeat_seconds=configuration.heartbeat_seconds,
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="tunesmith-watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        said = time.monotonic()
        while not self._over.wait(self._seconds_to_the_next_look()):
            heartbeat = self._reporter.heartbeat()
            if self._stop is not None and self._on_unmet_stop is not None and self._seconds_to_stop() <= 0:
                self._on_unmet_stop(self._reporter, self._stop.seconds_since)
                return
            due = time.monotonic() - said >= self._place.heartbeat_seconds
            if due or heartbeat.stalled:
                said = time.monotonic()
                self._reporter.beat(heartbeat)
                self._exchange()
            if heartbeat.stalled:
                self._on_stall(self._reporter, self._place)
                return
            self._arm()

    def _seconds_to_the_next_look(self) -> float:
        return max(SHORTEST_LOOK_SECONDS, min(self._place.look_seconds, self._seconds_to_stop()))

    def _seconds_to_stop(self) -> float:
        """How long training may still take to stop by itself; for ever when it was not asked to, or has no limit."""
        if self._stop is None or not self._stop.wanted or self._grace_seconds is None:
            return float("inf")
        return self._grace_seconds - SECONDS_FOR_LAST_WORDS - self._stop.seconds_since

    def _exchange(self) -> None:
        if self._place.world_size == 1:
            return
        light_beacon(self._reporter, self._place)
        if self._place.rank == 0:
            for beacon in ranks.seen(self._place.attempt_directory).values():
                self._reporter.highest_memory(beacon.memory_peak_bytes)

    def _arm(self) -> None:
        """For a hang that holds the interpreter's lock, and this thread with it: a timer below Python tells the stacks.

        It ends nothing: such a process has no heartbeat, and its silence is noticed outside.
        """
        seconds = self._reporter.patience_seconds + SECONDS_BEYOND_PATIENCE
        faulthandler.dump_traceback_later(seconds, file=sys.__stderr__ or sys.stderr)


def grace_seconds(configuration: Configuration) -> float | None:
    """From SIGTERM until this process is killed; None when it is not known, or too short to say anything in."""
    grace = configuration.checkpoints.grace_seconds
    if grace is not None and ENDINGS_DIRECTORY_VARIABLE in os.environ:
        grace = float(seconds_to_save(configuration))  # the launcher needs the rest
    return grace if grace is not None and grace >= LEAST_GRACE_SECONDS else None


def end_unstopped_process(reporter: Reporter, seconds_since_asked: float) -> None:
    """Ends the process that could not stop in time, just before it would be killed without a word."""
    heartbeat = reporter.heartbeat()
    if heartbeat.stage == "Finished":
        return
    doing = f"it {ranks.IN_WORDS[reporter.doing]} in step {heartbeat.last_step + 1}"
    where = doing if heartbeat.stage == "Training" else f"the stage {heartbeat.stage} is not over"
    error = TrainerError(
        ErrorClass.PREEMPTED,
        f"Asked to stop {seconds_since_asked:.0f} s ago, and the grace is over before that could be done: {where}. "
        "What came after the last complete checkpoint is lost; the next attempt goes on from there. A longer grace "
        "would let it be saved.",
    )
    sys.stderr.write(f"{error.error_class}: {error.message}\n")
    os._exit(leave(failure_message(error, reporter.where)))


def light_beacon(reporter: Reporter, place: Place) -> None:
    """Tells the other processes where this one is."""
    ranks.light(
        place.attempt_directory,
        ranks.own(
            place.rank,
            step=reporter.where.step,
            forward_passes=reporter.forward_passes,
            doing=reporter.doing,
            memory_peak_bytes=reporter.memory_peak_bytes,
        ),
    )


def end_stalled_process(reporter: Reporter, place: Place) -> None:
    """Ends the process with the code for a stall, after the stacks of all are told and it is said who is behind."""
    still_seconds = reporter.seconds_since_movement
    stacks.dump_own(place.attempt_directory, place.rank)
    _wait_for_peers(reporter, place)
    now = datetime.now(UTC)
    beacons = ranks.seen(place.attempt_directory)
    silent = [b for b in beacons.values() if (now - b.time).total_seconds() > place.silent_seconds and b.is_of_this_pod]
    for beacon in silent:
        stacks.dump_silent(place.attempt_directory, beacon.rank, beacon.pid)
    error = TrainerError(ErrorClass.STALL, _message(reporter, place, beacons, now, still_seconds))
    sys.stderr.write(f"{error.error_class}: {error.message}\n")
    code = leave(failure_message(error, reporter.where))
    for beacon in silent:
        # It hears no SIGTERM; left alone it would keep the pod, and its GPUs, until the launcher's patience is over.
        with contextlib.suppress(ProcessLookupError):
            os.kill(beacon.pid, signal.SIGKILL)
    os._exit(code)


def _wait_for_peers(reporter: Reporter, place: Place) -> None:
    """Others notice the same hang within moments; the first to leave would have them stopped before they tell."""
    deadline = time.monotonic() + SECONDS_FOR_PEERS
    while (
        place.world_size > 1
        and time.monotonic() < deadline
        and len(stacks.dumped(place.attempt_directory)) < place.world_size
    ):
        light_beacon(reporter, place)  # this one lives, and must not be taken for silent
        time.sleep(0.1)


def _message(
    reporter: Reporter, place: Place, beacons: dict[int, ranks.Beacon], now: datetime, still_seconds: float
) -> str:
    where = reporter.where
    who = ranks.behind(beacons, world_size=place.world_size, now=now, silent_seconds=place.silent_seconds)
    if place.world_size == 1:
        who = f"It {ranks.IN_WORDS[reporter.doing]} in step {where.step + 1}."
    return (
        f"No step for {still_seconds:.0f} seconds after step {where.step}. {who} The stacks of the processes are in "
        f"the logs of their pods and in '{place.attempt_directory / stacks.DIRECTORY}'. The next attempt goes on "
        "from the last checkpoint."
    )
