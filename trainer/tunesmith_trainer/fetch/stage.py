"""The stage itself: all that a configuration wants fetched, one after the other, with progress."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tunesmith_trainer.contract import PrepareConfiguration
from tunesmith_trainer.contract.preparation import Role
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch.datasets import Surroundings, bring_dataset
from tunesmith_trainer.fetch.depot import Counter, Depot
from tunesmith_trainer.fetch.secrets import Secrets
from tunesmith_trainer.fetch.transfer import Conditions, Patience
from tunesmith_trainer.fetch.web import Web
from tunesmith_trainer.fetch.weights import bring_model
from tunesmith_trainer.locks import Rhythm
from tunesmith_trainer.stored_numbers import quantises

ROLES: tuple[Role, ...] = ("training", "validation")
RATE_WINDOW_SECONDS = 20.0


@dataclass(frozen=True)
class FetchedPart:
    """One thing that lies on the storage now."""

    path: Path
    sha256: str | None = None  # of a dataset's file
    revision: str | None = None  # of a repository


@dataclass(frozen=True)
class FetchedParts:
    """All that a configuration wanted."""

    model: FetchedPart | None
    datasets: dict[Role, FetchedPart]


@dataclass(frozen=True)
class Said:
    """Where the stage says what goes on: bytes done, in all, and a second of late; and words for people."""

    progress: Callable[[int, int, float | None], None]
    tell: Callable[[str], None]


def fetch(
    configuration: PrepareConfiguration,
    secrets: Secrets,
    said: Said,
    stop_wanted: Callable[[], bool],
    *,
    patience: Patience | None = None,
    rhythm: Rhythm | None = None,
) -> FetchedParts:
    """Brings everything under `fetch` to the storage, or finds it there.

    Raises:
        TrainerError: with a class that tells the user's mistakes from the network's and the storage's faults.
    """
    wanted = configuration.fetch
    if wanted is None:
        return FetchedParts(None, {})
    root = Path(configuration.storage.root)
    if not root.is_dir():
        raise TrainerError(ErrorClass.INFRASTRUCTURE, f"The storage '{root}' is not mounted.")
    patience = patience or Patience()
    counter = Counter(_Rated(said.progress))

    def guard() -> None:
        if stop_wanted():
            raise TrainerError(
                ErrorClass.PREEMPTED, "Asked to stop while fetching; what came so far stays and is gone on from."
            )

    depot = Depot(Conditions(patience, counter, guard), counter, said.tell, rhythm or Rhythm())
    with Web(patience) as web:
        model = None
        if wanted.model is not None:
            path, manifest = bring_model(
                wanted.model, root, secrets, web, depot, quantise_again=quantises(configuration.tuning)
            )
            model = FetchedPart(path, revision=manifest.revision)
        around = Surroundings(root, Path(configuration.storage.job_path), secrets, web, depot)
        datasets: dict[Role, FetchedPart] = {}
        for role in ROLES:
            source = getattr(wanted.datasets, role)
            if source is not None:
                path, manifest = bring_dataset(role, source, around)
                datasets[role] = FetchedPart(path, manifest.files[path.name].sha256, manifest.revision)
    return FetchedParts(model, datasets)


class _Rated:
    """Adds the bytes per second of the last while."""

    def __init__(self, report: Callable[[int, int, float | None], None]) -> None:
        self._report = report
        self._window: deque[tuple[float, int]] = deque()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._window or now - self._window[-1][0] >= 0.2:
            self._window.append((now, done))
        while len(self._window) > 1 and now - self._window[0][0] > RATE_WINDOW_SECONDS:
            self._window.popleft()
        began, first = self._window[0]
        seconds = now - began
        self._report(done, total, round((done - first) / seconds, 1) if seconds > 0 and done >= first else None)
