"""Times as the API writes them."""

from datetime import datetime


def time_text(time: datetime) -> str:
    """A time in UTC, to the millisecond."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def given_times(**times: datetime | None) -> dict[str, str]:
    """Those of the fields whose time is known: the API leaves the others out."""
    return {name: time_text(time) for name, time in times.items() if time is not None}
