"""The dataset files that are fetched: from the Hub, by http(s), or out of an S3-compatible store.

Each lands as one file in `<root>/datasets/<key>/`: the key is the content's SHA-256 where it is known beforehand, else
a hash over what the source says of itself (commit, ETag, size), so that a changed source gets a directory of its own.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits
from typing import Any

from tunesmith_trainer.contract.preparation import FetchDataset, HubDataset, Role, StoredObject, WebFile
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch.dataset_files import README, files_of, kind_of
from tunesmith_trainer.fetch.depot import PIECES, Depot, Item, Manifest, Order
from tunesmith_trainer.fetch.hub import Hub, RepositoryAt, endpoint_of
from tunesmith_trainer.fetch.merging import merge
from tunesmith_trainer.fetch.secrets import Secrets
from tunesmith_trainer.fetch.transfer import BrokenError, Conditions, Expected, Opened, Patience, pause
from tunesmith_trainer.fetch.web import Asked, Web, WebSource, shown
from tunesmith_trainer.object_store import ChangedError, NotStoredError, ObjectStore, StoredAs, StoreLimits

DEFAULT_SPLITS: dict[Role, tuple[str, ...]] = {"training": ("train",), "validation": ("validation", "test")}


@dataclass(frozen=True)
class Surroundings:
    """What every dataset's way to the storage needs. `job_path` names what cannot be told apart otherwise."""

    root: Path
    job_path: Path
    secrets: Secrets
    web: Web
    depot: Depot


def bring_dataset(role: Role, wanted: FetchDataset, around: Surroundings) -> tuple[Path, Manifest]:
    """The dataset's one file on the storage.

    Raises:
        TrainerError: of class data when it does not exist or is wrong; else see `transfer`.
    """
    if wanted.hugging_face is not None:
        order = _of_hub(role, wanted.hugging_face, around)
    elif wanted.http is not None:
        order = _of_web(role, wanted.http, around)
    elif wanted.s3 is not None:
        order = _of_store(role, wanted.s3, around)
    else:
        raise TrainerError(ErrorClass.CONFIGURATION, f"The {role} dataset has no source.")
    manifest = around.depot.bring(order)
    return order.directory / (manifest.main or ""), manifest


def _of_hub(role: Role, wanted: HubDataset, around: Surroundings) -> Order:
    hub = Hub(around.web, endpoint_of(wanted.endpoint), around.secrets.token(role), around.depot.conditions)
    repository = hub.at("dataset", wanted.repo, wanted.revision)
    readme = hub.text(repository, README) if README in repository.files else ""
    names = files_of(
        wanted.repo,
        repository.files,
        readme,
        subset=wanted.subset,
        splits=(wanted.split,) if wanted.split else DEFAULT_SPLITS[role],
    )
    return Order(
        directory=_directory(around, "hub", wanted.repo, repository.commit, list(names)),
        origin=f"{wanted.repo}@{repository.commit}",
        items=lambda _: [_piece(number, name, repository, hub) for number, name in enumerate(names)],
        finish=_joined,
        revision=repository.commit,
    )


def _piece(number: int, name: str, repository: RepositoryAt, hub: Hub) -> Item:
    return Item(f"{PIECES}/{number:05d}.{kind_of(name)}", hub.file(repository, name), repository.files[name])


def _of_web(role: Role, wanted: WebFile, around: Surroundings) -> Order:
    asked = Asked(
        f"The {role} file '{shown(wanted.url)}'",
        ErrorClass.DATA,
        "Check the address; one that is signed may have expired.",
    )
    if wanted.sha256 is not None:
        directory = around.root / "datasets" / wanted.sha256
        expected = Expected(sha256=wanted.sha256)
    else:
        probed = around.web.probe(wanted.url, asked, around.depot.conditions)
        # Of a source that says nothing of itself nobody can tell whether it changed: each job has its own.
        known = [probed.mark, probed.total_bytes] if probed.mark else [str(around.job_path)]
        directory = _directory(around, "web", wanted.url, *known)
        expected = Expected(size_bytes=probed.total_bytes)
    source = WebSource(around.web, wanted.url, None, asked)
    return Order(directory, shown(wanted.url), lambda _: [Item(f"{PIECES}/0", source, expected)], _joined)


def _of_store(role: Role, wanted: StoredObject, around: Surroundings) -> Order:
    patience = around.depot.conditions.patience
    store = ObjectStore(wanted.endpoint, wanted.bucket, around.secrets.keys(role), _limits(patience))
    name = f"The {role} object '{wanted.key}' of bucket '{wanted.bucket}' at {shown(wanted.endpoint)}"
    found = _looked_up(store, wanted.key, name, around.depot.conditions)
    expected = Expected(size_bytes=found.size_bytes, md5_hint=_md5(found.etag))
    return Order(
        directory=_directory(around, "s3", wanted.endpoint, wanted.bucket, wanted.key, found.etag, found.size_bytes),
        origin=f"s3://{wanted.bucket}/{wanted.key}",
        items=lambda _: [Item(f"{PIECES}/0", StoreSource(name, store, found), expected)],
        finish=_joined,
    )


def _looked_up(store: ObjectStore, key: str, name: str, conditions: Conditions) -> StoredAs:
    failures = 0
    while True:
        conditions.guard()
        try:
            return store.head(key)
        except NotStoredError as error:
            raise TrainerError(ErrorClass.DATA, f"{name} does not exist. Check endpoint, bucket and key.") from error
        except TrainerError as error:
            failures += 1
            if error.error_class is not ErrorClass.INFRASTRUCTURE or failures >= conditions.patience.tries:
                raise
            pause(conditions, conditions.patience.wait_seconds(failures))


@dataclass(frozen=True)
class StoreSource:
    """One object of a store, as a source of a transfer."""

    name: str
    store: ObjectStore
    found: StoredAs

    @property
    def error_class(self) -> ErrorClass:
        """What it is when the object is missing or wrong."""
        return ErrorClass.DATA

    def open(self, offset: int, mark: str | None) -> AbstractContextManager[Opened]:
        """Reads from `offset` on when the object still is the one of `mark`."""
        return self._opened(offset if mark is not None and mark == self.found.etag else 0)

    @contextmanager
    def _opened(self, offset: int) -> Iterator[Opened]:
        try:
            yield Opened(offset, self.found.size_bytes, self.found.etag, self.store.parts(self.found, offset))
        except (NotStoredError, ChangedError) as error:
            raise TrainerError(
                ErrorClass.DATA, f"{self.name}: {error}. Do not change it while it is fetched."
            ) from error
        except TrainerError as error:
            if error.error_class is not ErrorClass.INFRASTRUCTURE:
                raise
            raise BrokenError(error.message) from error


def _joined(partial: Path) -> str:
    return merge(sorted((partial / PIECES).iterdir()), partial)


def _directory(around: Surroundings, *described: Any) -> Path:
    key = hashlib.sha256(json.dumps(described).encode()).hexdigest()
    return around.root / "datasets" / key


def _md5(etag: str | None) -> str | None:
    """An ETag as MD5, which it is for objects stored in one part and not encrypted with keys of a service."""
    value = (etag or "").strip('"').lower()
    return value if len(value) == 32 and set(value) <= set(hexdigits) else None


def _limits(patience: Patience) -> StoreLimits:
    return StoreLimits(
        connect_seconds=patience.connect_seconds,
        request_seconds=2 * patience.read_seconds,
        retries=2,  # our own retries go on where the bytes ended
    )
