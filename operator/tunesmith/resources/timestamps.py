"""Times as Kubernetes writes them (RFC 3339) and as Python knows them, both ways. It reads no clock."""

import re
from datetime import UTC, datetime

TIME_PATTERN = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_TIME = re.compile(TIME_PATTERN)


def parse_time(text: str) -> datetime:
    """The moment that `text` names, in UTC; ValueError when it is not an RFC 3339 time."""
    if not _TIME.fullmatch(text):
        raise ValueError(f"'{text}' must be a time such as '2026-01-31T09:00:00Z'")
    # Python keeps microseconds; the API may write nanoseconds.
    return datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text)).astimezone(UTC)


def format_time(moment: datetime) -> str:
    """The RFC 3339 form in UTC, with a fraction only where there is one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} must carry a time zone")
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat()}Z"
