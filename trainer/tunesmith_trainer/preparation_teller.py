"""What a preparation says while it works: the same lines and signs of life as training, or a bar of bytes.

Apart from the training's reporter, which knows of steps, losses and GPUs: there are none here.
"""

import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from tunesmith_trainer.contract import Heartbeat, ProgressLine
from tunesmith_trainer.contract.messages import Said, Stage
from tunesmith_trainer.endings import Where

SECONDS_BETWEEN_LINES = 1.0


class Teller:
    """Says where a preparation is; a context, whose thread says every `heartbeat_seconds` that the process lives."""

    def __init__(
        self, attempt: int, heartbeat_seconds: float, hide: Callable[[str], str], out: TextIO | None = None
    ) -> None:
        """Begins to keep where the preparation is; `hide` takes secrets out of words."""
        self._attempt = attempt
        self._heartbeat_seconds = heartbeat_seconds
        self._hide = hide
        self._out = out or sys.stdout
        self._bar = _Bar() if self._out.isatty() else None
        self._lock = threading.Lock()
        self._now = ProgressLine(time=datetime.now(UTC), attempt=attempt, stage="Starting", step=0)
        self._moved = time.monotonic()
        self._said = -SECONDS_BETWEEN_LINES
        self._pending: dict[str, object] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="tunesmith-heartbeat", daemon=True)

    def __enter__(self) -> "Teller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._bar is not None:
            self._bar.close()

    @property
    def where(self) -> Where:
        """Where the preparation is, for an ending."""
        return Where(self._attempt)

    def stage(self, stage: Stage) -> None:
        """Begins a stage and says so."""
        self._say(at_once=True, stage=stage, bytes_done=None, bytes_total=None, bytes_per_second=None)

    def bytes(self, done: int, total: int, per_second: float | None) -> None:
        """So much of what is known to come is done; called from any thread."""
        self._say(at_once=False, bytes_done=done, bytes_total=total, bytes_per_second=per_second)

    def tell(self, message: str) -> None:
        """Something that a person should know."""
        self._say(at_once=True, message=self._hide(message))

    def _beat(self) -> None:
        while not self._over.wait(self._heartbeat_seconds):
            if self._bar is None:
                with self._lock:
                    since = time.monotonic() - self._moved
                    self._write(
                        Heartbeat(
                            time=datetime.now(UTC),
                            attempt=self._attempt,
                            stage=self._now.stage,
                            last_step=0,
                            seconds_since=round(since, 1),
                        )
                    )

    def _say(self, *, at_once: bool, **news: object) -> None:
        with self._lock:
            now = time.monotonic()
            self._moved = now
            if not at_once and now - self._said < SECONDS_BETWEEN_LINES:
                self._pending.update(news)  # many a second, and nobody reads them all
                return
            news = {**self._pending, **news}
            self._pending.clear()
            line = self._now.model_copy(update={**news, "time": datetime.now(UTC)})
            self._now = line.model_copy(update={"message": None})
            self._said = now
            if self._bar is not None:
                self._bar.show(line)
            else:
                self._write(line)

    def _write(self, said: Said) -> None:
        self._out.write(said.line() + "\n")
        self._out.flush()


class _Bar:
    """One line that moves: stage, bytes, rate."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<10}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TimeElapsedColumn(),
        )  # fmt: skip
        self._task = self._progress.add_task("Starting", total=None)
        self._progress.start()

    def show(self, line: ProgressLine) -> None:
        if line.message:
            self._progress.console.print(line.message)
        self._progress.update(
            self._task, description=line.stage, completed=line.bytes_done or 0, total=line.bytes_total
        )

    def close(self) -> None:
        self._progress.stop()
