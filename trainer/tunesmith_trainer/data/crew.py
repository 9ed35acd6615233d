"""Tokenises rows of large files on several cores, in order, with few rows on their way at any time.

One core turns about 200,000 tokens a second into labels, most of it chat template and tokenizer: 100 GB would take more
than a day. Reading and judging rows stays with the caller; it is a tenth of the work.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tunesmith_trainer.data.encoding import Dropped, Encoder
from tunesmith_trainer.data.faults import BadRow, Fault
from tunesmith_trainer.data.formats import Read
from tunesmith_trainer.data.masking import Labelled, MaskingRules, label
from tunesmith_trainer.data.preference import Pair, pair
from tunesmith_trainer.data.rows import PreferenceTalk, PreferenceText, Row
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

Outcome = Labelled | Pair | Dropped | BadRow
Told = TypeVar("Told")

# Below this one process is done before others have loaded the tokenizer.
WORTHWHILE_BYTES = 64 << 20
CHUNK_ROWS = 256
CHUNK_BYTES = 1 << 20
CHUNKS_WAITING_PER_PROCESS = 3
MOST_PROCESSES = 16
BYTES_OF_ONE = 512 << 20
BYTES_OF_THE_REST = 2 << 30


class Crew:
    """Whoever turns rows into token ids: this process, or others as well."""

    def __init__(self, encoder: Encoder, rules: MaskingRules) -> None:
        self._encoder, self._rules = encoder, rules

    def outcomes(self, items: Iterable[tuple[Read | Fault, int]]) -> Iterator[tuple[Read | Fault, Outcome | None]]:
        """What became of each row, in order; None for one that could not be read. With each row comes its size in
        bytes."""
        for item, _ in items:
            yield item, None if isinstance(item, Fault) else outcome(item.row, self._encoder, self._rules)


class ManyHands(Crew):
    """A crew of other processes (or threads, for tests)."""

    def __init__(self, executor: Executor, processes: int) -> None:
        self._executor = executor
        self._most_waiting = processes * CHUNKS_WAITING_PER_PROCESS

    def outcomes(self, items: Iterable[tuple[Read | Fault, int]]) -> Iterator[tuple[Read | Fault, Outcome | None]]:
        """The same, some chunks of rows at a time.

        Raises:
            TrainerError: of class out of memory, when a process was killed.
        """
        waiting: deque[tuple[list[Read | Fault], Future[list[Outcome]]]] = deque()
        failure: TrainerError | None = None
        chunks = _chunks(items)
        while True:
            try:
                chunk = next(chunks, None) if failure is None else None
            except TrainerError as error:
                # What stands before the place that cannot be read is told first.
                failure, chunk = error, None
            if chunk is not None:
                rows = [item.row for item in chunk if isinstance(item, Read)]
                waiting.append((chunk, self._executor.submit(_outcomes, rows)))
            if not waiting:
                break
            if chunk is None or len(waiting) >= self._most_waiting:
                yield from _matched(*waiting.popleft())
        if failure is not None:
            raise failure


@contextmanager
def crew_for(file_bytes: int, encoder: Encoder, model: Path, rules: MaskingRules) -> Iterator[Crew]:
    """This process alone for small files; for large ones as many as there are cores and memory for."""
    processes = usable_processes() if file_bytes >= WORTHWHILE_BYTES else 1
    if processes < 2:
        yield Crew(encoder, rules)
        return
    # A server that has loaded the libraries once, and no threads: its forks share its memory and no locks of ours.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tunesmith_trainer.data.crew", "transformers.models.auto.tokenization_auto"])
    with ProcessPoolExecutor(processes, context, initializer=begin, initargs=(model, rules)) as executor:
        try:
            yield ManyHands(executor, processes)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def usable_processes() -> int:
    """How many processes the cores and the memory of this container are good for."""
    cores = len(os.sched_getaffinity(0))
    quota, _, period = (_control_group("cpu.max") or "max").partition(" ")
    if quota.isdigit() and period.isdigit():
        cores = min(cores, max(1, int(quota) // int(period)))
    memory = _control_group("memory.max") or "max"
    if memory.isdigit():
        cores = min(cores, max(1, (int(memory) - BYTES_OF_THE_REST) // BYTES_OF_ONE))
    return min(cores, MOST_PROCESSES)


def outcome(row: Row, encoder: Encoder, rules: MaskingRules) -> Outcome:
    """The row as token ids, or why there are none."""
    try:
        if isinstance(row, PreferenceTalk | PreferenceText):
            return pair(row, encoder, rules)
        return label(row, encoder, rules)
    except (Dropped, BadRow) as without:
        return without


_own: list[tuple[Encoder, MaskingRules]] = []


def begin(model: Path, rules: MaskingRules) -> None:
    """What a process of the crew does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's interrupt goes to all; the caller ends the others
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    load(model, rules)


def load(model: Path, rules: MaskingRules) -> None:
    """What turns rows into token ids here."""
    from tunesmith_trainer.model import load_tokenizer

    _own[:] = [(Encoder(load_tokenizer(model)), rules)]


def _end_with(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(1)


def _outcomes(rows: list[Row]) -> list[Outcome]:
    ((encoder, rules),) = _own
    found = (outcome(row, encoder, rules) for row in rows)
    return [one.compact() if isinstance(one, Labelled | Pair) else one for one in found]


def _matched(chunk: list[Read | Fault], made: "Future[list[Outcome]]") -> Iterator[tuple[Read | Fault, Outcome | None]]:
    try:
        outcomes = iter(made.result())
    except BrokenProcessPool as error:
        raise TrainerError(
            ErrorClass.OUT_OF_MEMORY,
            "A process that tokenised rows was killed, most likely for want of memory. Give the preparation more.",
        ) from error
    for item in chunk:
        yield item, None if isinstance(item, Fault) else next(outcomes)


def _chunks(items: Iterable[tuple[Read | Fault, int]]) -> Iterator[list[Read | Fault]]:
    chunk: list[Read | Fault] = []
    size = 0
    walking = iter(items)
    while True:
        try:
            item, row_bytes = next(walking)
        except StopIteration:
            break
        except TrainerError:
            if chunk:
                yield chunk
            raise
        chunk.append(item)
        size += row_bytes
        if len(chunk) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _control_group(name: str) -> str | None:
    try:
        return Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
    except OSError:
        return None
