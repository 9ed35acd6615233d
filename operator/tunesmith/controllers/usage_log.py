"""Writes usage records to the audit log, beside what was asked of the provider."""

from __future__ import annotations

import json
import logging
from datetime import datetime

from tunesmith.cloud.audit import AUDIT_LOGGER
from tunesmith.controllers.controller import ActionFailed
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.usage import RecordUsage
from tunesmith.resources.timestamps import format_time

audit = logging.getLogger(AUDIT_LOGGER)


def write_usage(action: RecordUsage, now: datetime) -> None:
    """One JSON line. A repeat carries the same id; readers drop it.

    Raises `ActionFailed` when the log cannot be written: what it is about is kept until it can.
    """
    try:
        audit.info(json.dumps({**action.record.as_line(), "time": format_time(now)}, sort_keys=True))
    except OSError as error:
        message = f"The usage record cannot be written to the audit log ({type(error).__name__}); it is tried again."
        raise ActionFailed(Failure(ErrorClass.UNAVAILABLE, message)) from error
