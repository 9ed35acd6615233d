"""Copies of checkpoints in an S3-compatible store, so that a job goes on when its volume, cluster or region is lost.

`<prefix>/<job uid>/attempts/<n>` says that attempt n began: the store is fenced like the storage, because after a loss
the two attempts may not see the same volume. A copy counts once its `COMPLETE.json` is there, which is sent last.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from tunesmith_trainer import checkpoints
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import MANIFEST, Checkpoint, Ignored, Manifest
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.object_store import ChangedError, NotStoredError, ObjectStore, StoreKeys
from tunesmith_trainer.storage import first_damage, sync_tree

COPY = re.compile(r"checkpoints/([0-9]+)/checkpoint-([0-9]+)/" + re.escape(MANIFEST))
MARK = re.compile(r"attempts/([0-9]+)")


ACCESS_KEY_VARIABLE = "TUNESMITH_MIRROR_ACCESS_KEY_ID"
SECRET_KEY_VARIABLE = "TUNESMITH_MIRROR_SECRET_ACCESS_KEY"  # noqa: S105  a name, not a secret


@dataclass(frozen=True)
class Copy:
    """A complete copy in the store."""

    step: int
    attempt: int


class Mirror:
    """The copies of one job, as one of its attempts sees them."""

    def __init__(self, store: ObjectStore, prefix: str, attempt: Attempt, *, keep: int) -> None:
        self._store = store
        self._root = "/".join(part for part in (prefix.strip("/"), quote(attempt.job_path.name, safe="")) if part)
        self._attempt = attempt
        self._keep = keep

    def claim(self) -> None:
        """Says in the store that this attempt began.

        Raises:
            TrainerError: superseded, when a higher one did; credentials, when the store refuses the keys or has no such
                bucket for them.
        """
        try:
            self.ensure_newest()
            self._store.write(f"{self._root}/attempts/{self._attempt.number}", b"")
        except NotStoredError as error:
            raise TrainerError(
                ErrorClass.CREDENTIALS,
                f"Checkpoints cannot be mirrored: {error}. Make the bucket, or name the one that these keys are for.",
            ) from error

    def ensure_newest(self) -> None:
        """Raises TrainerError of class superseded when a higher attempt began, here or on the storage."""
        self._attempt.ensure_newest()
        numbers = [int(match[1]) for key in self._keys("attempts") if (match := MARK.fullmatch(key))]
        newer = max((number for number in numbers if number > self._attempt.number), default=None)
        if newer is not None:
            raise TrainerError(
                ErrorClass.SUPERSEDED,
                f"Attempt {newer} of this job exists, so attempt {self._attempt.number} stops and publishes nothing.",
            )

    def send(self, checkpoint: Path, best_step: int | None) -> str | None:
        """Copies a complete checkpoint; old copies beyond the number kept go. Returns what went wrong, in words.

        A store that fails does not end training: the checkpoint on the storage stands, and the next is sent again.

        Raises:
            TrainerError: superseded, when a newer attempt exists.
        """
        try:
            self._send(checkpoint)
            self._rotate(best_step)
        except TrainerError as error:
            if error.error_class is ErrorClass.SUPERSEDED:
                raise
            return f"{checkpoint.name} is on the storage and not in the mirror: {error.message}"
        except (NotStoredError, ChangedError) as error:
            return f"{checkpoint.name} is on the storage and not in the mirror: {error}."
        return None

    def newest_first(self) -> list[Copy]:
        """All copies by their steps; of the same step that of the newest attempt first."""
        return sorted(self._copies(), key=lambda copy: (copy.step, copy.attempt), reverse=True)

    def of_step(self, step: int) -> Copy | None:
        """The copy of one step, of the newest attempt that has it."""
        return max((copy for copy in self._copies() if copy.step == step), key=lambda copy: copy.attempt, default=None)

    def fetch(self, copy: Copy, config_hash: str) -> Checkpoint | Ignored:
        """Brings a copy to the storage, as a checkpoint of this attempt; every byte is checked."""
        partial = checkpoints.unfinished(self._attempt, copy.step)
        try:
            return self._fetched(copy, partial, config_hash)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # nothing of a damaged copy may get into a checkpoint

    def _fetched(self, copy: Copy, partial: Path, config_hash: str) -> Checkpoint | Ignored:
        at = self._place(copy)
        partial.mkdir(parents=True, exist_ok=True)
        try:
            self._download(f"{at}/{MANIFEST}", partial / MANIFEST)
            manifest = Manifest.model_validate_json((partial / MANIFEST).read_bytes())
            for name in manifest.files:
                self._download(f"{at}/{name}", partial / name)
        except (ValidationError, NotStoredError) as error:
            return Ignored(Path(at), f"the copy is damaged: {error}")
        if damage := first_damage(partial, manifest.files):
            return Ignored(Path(at), f"of the copy, {damage}")
        sync_tree(partial)
        path = checkpoints.finished(self._attempt, copy.step)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.ensure_newest()
        partial.rename(path)
        return checkpoints.opened(path, config_hash)

    def _send(self, checkpoint: Path) -> None:
        at = self._place(Copy(_step(checkpoint), self._attempt.number))
        for path in sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != MANIFEST):
            self._store.upload(path, f"{at}/{path.relative_to(checkpoint).as_posix()}")
        self.ensure_newest()
        self._store.upload(checkpoint / MANIFEST, f"{at}/{MANIFEST}")

    def _rotate(self, best_step: int | None) -> None:
        for copy in self.newest_first()[self._keep :]:
            if copy.step == best_step or copy.attempt > self._attempt.number:
                continue
            at = self._place(copy)
            # Its mark goes first: a half-removed copy must not look complete.
            self._store.delete(f"{at}/{MANIFEST}")
            for found in list(self._store.list(at)):
                self._store.delete(found.key)

    def _copies(self) -> list[Copy]:
        return [
            Copy(step=int(match[2]), attempt=int(match[1]))
            for key in self._keys("checkpoints")
            if (match := COPY.fullmatch(key))
        ]

    def _keys(self, below: str) -> list[str]:
        return [found.key.removeprefix(f"{self._root}/") for found in self._store.list(f"{self._root}/{below}")]

    def _place(self, copy: Copy) -> str:
        return f"{self._root}/checkpoints/{copy.attempt}/checkpoint-{copy.step}"

    def _download(self, key: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self._store.download(self._store.head(key), target)


def mirror_of(configuration: Configuration, attempt: Attempt) -> Mirror | None:
    """The mirror that the configuration asks for, with the keys of the environment.

    Raises:
        TrainerError: of class credentials, when there are no keys.
    """
    wanted = configuration.checkpoints.mirror
    if wanted is None:
        return None
    access, secret = os.environ.get(ACCESS_KEY_VARIABLE), os.environ.get(SECRET_KEY_VARIABLE)
    if not access or not secret:
        raise TrainerError(
            ErrorClass.CREDENTIALS,
            f"Checkpoints are to be mirrored to bucket '{wanted.bucket}', but {ACCESS_KEY_VARIABLE} and "
            f"{SECRET_KEY_VARIABLE} are not both set. Give the Secret of the mirror both keys.",
        )
    store = ObjectStore(wanted.endpoint, wanted.bucket, StoreKeys(access, secret))
    return Mirror(store, wanted.prefix, attempt, keep=configuration.checkpoints.keep)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
