"""Office hours from two cron lines and a time zone: open or closed at a moment, since when, and until when.

Pure functions of a moment that is passed in. Daylight saving follows Debian's cron, as the library does: a line whose
hour the clock skips counts right after the gap; one whose hour comes twice counts the first time. It knows no cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from tunesmith.resources.gpu_cluster_parts import Schedule

LONGEST_SHIFT = timedelta(hours=3)  # no clock was ever set back further
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Hours:
    """Where a moment lies. `since` is when the present state began (None: it was never otherwise).

    `until` is when it ends (None: never). `opened` is the newest start, whatever came after it. Times are UTC.
    """

    open: bool
    since: datetime | None
    until: datetime | None
    opened: datetime | None


@dataclass(frozen=True)
class BadSchedule:
    """The schedule cannot be read. `why` is one sentence."""

    why: str


def hours_at(schedule: Schedule, now: datetime) -> Hours | BadSchedule:
    """The hours round `now`. A start and a stop at the same moment: the stop counts, which costs nothing."""
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)
    return _hours(schedule.start, schedule.stop, schedule.time_zone, minute)


@lru_cache(maxsize=4096)
def _hours(start: str, stop: str, zone_name: str, now: datetime) -> Hours | BadSchedule:
    """Both lines have whole minutes, so the answer is the same for a whole minute."""
    zone = _zone(zone_name)
    if zone is None:
        return BadSchedule(f"`spec.schedule.timeZone` '{zone_name}' is not a time zone; one is 'Europe/Berlin'.")
    for field, line in (("start", start), ("stop", stop)):
        if not _is_readable(line, zone, now):
            return BadSchedule(f"`spec.schedule.{field}` '{line}' is not a cron line; one is '0 8 * * 1-5'.")
    started, stopped = _latest(start, zone, now), _latest(stop, zone, now)
    is_open = started is not None and (stopped is None or started > stopped)
    if is_open:
        return Hours(True, started, _next(stop, zone, now), started)
    return Hours(False, stopped, _opening(start, stop, zone, now), started)


def _opening(start: str, stop: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The next start that is not taken back by a stop at the same moment."""
    begin = now
    for _ in range(LOOKED_AHEAD):
        at = _next(start, zone, begin)
        if at is None or _latest(stop, zone, at) != at:
            return at
        begin = at
    return None


LOOKED_AHEAD = 32
"""How many starts are held against stops of the same moment before a schedule counts as never open."""


def _latest(line: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The newest moment of the line at or before `now`.

    Looked for from later on: in the hour that comes twice, the wall clock alone does not say what has been.
    """
    return next((at for at in _moments(line, zone, now + LONGEST_SHIFT, reverse=True) if at <= now), None)


def _next(line: str, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The first moment of the line after `now`."""
    return next((at for at in _moments(line, zone, now - LONGEST_SHIFT) if at > now), None)


def _moments(line: str, zone: ZoneInfo, begin: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    for at in CronSim(line, begin.astimezone(zone), reverse=reverse):
        yield at.astimezone(UTC)


def _is_readable(line: str, zone: ZoneInfo, now: datetime) -> bool:
    try:
        CronSim(line, now.astimezone(zone))
    except CronSimError:
        return False
    return True


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # an unknown name; one with dots or slashes; a folder of the data
        return None
