"""Container logs on disk: one file per container and restart, read back as `kubectl logs` asks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

_FOLLOW_SECONDS = 0.1
_TAIL_BYTES_OF_MESSAGE = 2048
_TAIL_LINES_OF_MESSAGE = 80


@dataclass(frozen=True)
class LogOptions:
    """What a reader wants (PodLogOptions)."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None

    @classmethod
    def of(cls, query: "dict[str, str]") -> "LogOptions":
        """Read the query of a `/containerLogs` request; ValueError for what is not a number or a time."""
        since = None
        if "sinceTime" in query:
            since = datetime.fromisoformat(query["sinceTime"])
        if "sinceSeconds" in query:
            since = datetime.now(UTC) - timedelta(seconds=float(query["sinceSeconds"]))
        return cls(
            follow=query.get("follow") == "true",
            tail_lines=int(query["tailLines"]) if "tailLines" in query else None,
            since=since,
            timestamps=query.get("timestamps") == "true",
            limit_bytes=int(query["limitBytes"]) if "limitBytes" in query else None,
        )


def log_path(directory: Path, pod_uid: str, container: str, restart: int) -> Path:
    """Where one run of a container writes."""
    return directory / "logs" / pod_uid / container / f"{restart}.log"


async def read(path: Path, options: LogOptions, is_running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log in pieces; when followed, until the run has ended and all is read."""
    left = options.limit_bytes
    async for entry in _entries(path, options, is_running):
        piece = _shown(entry, options)
        if left is not None:
            piece, left = piece[:left], left - len(piece)
        if piece:
            yield piece
        if left is not None and left <= 0:
            return


def last_words(path: Path) -> str:
    """The end of a log, for a termination message with FallbackToLogsOnError."""
    if not path.exists():
        return ""
    lines = path.read_bytes().splitlines(keepends=True)[-_TAIL_LINES_OF_MESSAGE:]
    text = b"".join(_shown(line, LogOptions()) for line in lines)
    return text[-_TAIL_BYTES_OF_MESSAGE:].decode(errors="replace")


async def _entries(path: Path, options: LogOptions, is_running: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Raw lines: those already there, cut to the tail, then new ones."""
    if not path.exists():  # noqa: ASYNC240 - a local file, as all below
        return
    with path.open("rb") as log:
        *lines, rest = log.read().split(b"\n")
        if options.tail_lines is not None:
            lines = lines[len(lines) - min(len(lines), options.tail_lines) :]
        for line in lines:
            yield line + b"\n"
        while options.follow:
            was_running = is_running()
            chunk = log.read()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line + b"\n"
            if not chunk and not was_running:
                return
            if not chunk:
                await asyncio.sleep(_FOLLOW_SECONDS)


def _shown(entry: bytes, options: LogOptions) -> bytes:
    """One stored line `<time> <stream> <F|P> <text>` as the reader wants it."""
    stamp, _, tag, text = entry.split(b" ", 3)
    if options.since is not None and datetime.fromisoformat(stamp.decode()[:26] + "+00:00") < options.since:
        return b""
    shown = text[:-1] if tag == b"P" else text
    return stamp + b" " + shown if options.timestamps else shown
