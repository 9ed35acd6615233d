"""Writes usage records to the audit log, beside what was asked of the provider."""

from __future__ import annotations

import json
import logging
from datetime import datetime

from tunesmith.planning.usage import RecordUsage
from tunesmith.resources.timestamps import format_time

audit = logging.getLogger("tunesmith.audit")


def write_usage(action: RecordUsage, now: datetime) -> None:
    """One JSON line. A repeat carries the same id; readers drop it."""
    audit.info(json.dumps({**action.record.as_line(), "time": format_time(now)}, sort_keys=True))
