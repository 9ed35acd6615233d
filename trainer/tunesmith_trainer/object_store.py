"""Objects of an S3-compatible store: read in parts, written whole, listed. For datasets, and for mirrored checkpoints.

By obstore (the Rust library object_store): one wheel without requirements of its own, with signatures, retries and
multipart uploads. Keys come by arguments alone: no profile, file or metadata service is asked for them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

if TYPE_CHECKING:
    from obstore.store import ClientConfig

PART_BYTES = 16 << 20
AMAZON_ANYWHERE = "https://s3.amazonaws.com"


@dataclass(frozen=True)
class StoreKeys:
    """What a store knows its user by."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class StoreLimits:
    """How long a request may take, and how often it is tried. One request carries PART_BYTES at most."""

    connect_seconds: float = 15
    request_seconds: float = 120
    retries: int = 6
    retry_seconds: float = 180


@dataclass(frozen=True)
class StoredAs:
    """One object as the store lists it."""

    key: str
    size_bytes: int
    etag: str | None


class NotStoredError(Exception):
    """There is no such object or bucket."""


class ChangedError(Exception):
    """The object is another than when it was looked up."""


class ObjectStore:
    """One bucket of a store.

    All methods raise TrainerError: of class credentials when the store refuses the keys, of class infrastructure when
    it does not answer or answers with faults after all retries.
    """

    def __init__(self, endpoint: str, bucket: str, keys: StoreKeys | None, limits: StoreLimits | None = None) -> None:
        """Makes the client. Without keys, requests are not signed (public buckets).

        Nothing is requested yet, but at Amazon's endpoint without a region: in which one the bucket lies.
        """
        from obstore.store import S3Store

        limits = limits or StoreLimits()
        self._place = f"bucket '{bucket}' at {endpoint}"
        region = bucket_region(endpoint, bucket, limits) if endpoint.rstrip("/") == AMAZON_ANYWHERE else None
        self._store = S3Store(
            bucket,
            endpoint=endpoint if region is None else f"https://s3.{region}.amazonaws.com",
            region=region or region_of(endpoint),
            virtual_hosted_style_request=False,
            disable_bulk_delete=True,  # not every store has it
            client_options=_client(endpoint, limits),
            retry_config={
                "max_retries": limits.retries,
                "retry_timeout": timedelta(seconds=limits.retry_seconds),
            },
            **(
                {"access_key_id": keys.access_key_id, "secret_access_key": keys.secret_access_key}
                if keys
                else {"skip_signature": True}
            ),
        )

    def head(self, key: str) -> StoredAs:
        """Size and ETag of an object.

        Raises:
            NotStoredError: when there is none.
        """
        import obstore

        with self._told(key):
            meta = obstore.head(self._store, key)
        return StoredAs(key, meta["size"], meta["e_tag"])

    def read(self, key: str, offset: int, length: int, *, etag: str | None = None) -> bytes:
        """Bytes [offset, offset + length) of an object, as far as it goes.

        Raises:
            NotStoredError: when there is none.
            ChangedError: when its ETag is another.
        """
        import obstore

        with self._told(key):
            result = obstore.get(
                self._store,
                key,
                options={"range": (offset, offset + length), **({"if_match": etag} if etag else {})},
            )
            return bytes(result.bytes())

    def parts(self, found: StoredAs, offset: int = 0) -> Iterator[bytes]:
        """An object's bytes from `offset` on, in parts; each part is a request of its own."""
        while offset < found.size_bytes:
            part = self.read(found.key, offset, min(PART_BYTES, found.size_bytes - offset), etag=found.etag)
            offset += len(part)
            yield part

    def download(self, found: StoredAs, target: Path) -> None:
        """Writes an object to a file; the caller renames and verifies."""
        with target.open("wb") as file:
            for part in self.parts(found):
                file.write(part)

    def upload(self, source: Path, key: str) -> None:
        """Stores a file, in parts when it is large; the object appears when all of it is there."""
        import obstore

        with self._told(key):
            obstore.put(self._store, key, source, chunk_size=PART_BYTES)

    def write(self, key: str, content: bytes) -> None:
        """Stores a small object whole."""
        import obstore

        with self._told(key):
            obstore.put(self._store, key, content)

    def list(self, prefix: str = "") -> Iterator[StoredAs]:
        """All objects whose key begins with `prefix`, a whole part of a path."""
        import obstore

        with self._told(prefix):
            for batch in obstore.list(self._store, prefix or None):
                yield from (StoredAs(meta["path"], meta["size"], meta["e_tag"]) for meta in batch)

    def delete(self, key: str) -> None:
        """Removes an object; that it is gone already is as good."""
        import obstore

        with self._told(key):
            obstore.delete(self._store, key)

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Gives the library's errors a class. Their text may quote requests, so only its first line is kept."""
        from obstore import exceptions

        try:
            yield
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            raise NotStoredError(f"'{key}' does not exist in {self._place}") from error
        except exceptions.PreconditionError as error:
            raise ChangedError(f"'{key}' in {self._place} changed while it was read") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError) as error:
            raise TrainerError(
                ErrorClass.CREDENTIALS,
                f"The store refused '{key}' in {self._place}. Check the access key, its secret, and what they may do "
                "in this bucket.",
            ) from error
        except exceptions.BaseError as error:
            first_line = next(iter(str(error).splitlines()), type(error).__name__)
            raise TrainerError(
                ErrorClass.INFRASTRUCTURE, f"'{key}' in {self._place}: the store failed. {first_line[:500]}"
            ) from error


def region_of(endpoint: str) -> str:
    """The region that requests are signed for: Amazon's stands in the host; other stores take us-east-1 or any."""
    host = urlsplit(endpoint).hostname or ""
    parts = host.split(".")
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) and len(parts) > 3 and parts[-3] != "s3":
        return parts[parts.index("amazonaws") - 1]
    return "us-east-1"


def bucket_region(endpoint: str, bucket: str, limits: StoreLimits) -> str | None:
    """The region that Amazon says a bucket lies in, which it says to everybody; None when it does not."""
    import httpx

    try:
        answer = httpx.head(f"{endpoint.rstrip('/')}/{quote(bucket)}", timeout=limits.connect_seconds)
    except httpx.TransportError:
        return None  # the first real request tells what is wrong, with retries
    region: str | None = answer.headers.get("x-amz-bucket-region")
    return region


def _client(endpoint: str, limits: StoreLimits) -> "ClientConfig":
    client: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=limits.connect_seconds),
        "timeout": timedelta(seconds=limits.request_seconds),
    }
    if bundle := os.environ.get("SSL_CERT_FILE"):
        client["root_certificate"] = Path(bundle).read_bytes()
    return client
