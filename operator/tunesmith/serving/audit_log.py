"""Where audit lines go: standard output, or a file that only ever grows. The lines themselves are made by others."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from tunesmith.cloud.audit import AUDIT_LOGGER
from tunesmith.serving.logs import Redactor

FILE_MODE = 0o640


class AuditHandler(logging.Handler):
    """Appends each line whole. Raises `OSError` to who logs: a purchase that cannot be recorded is not made.

    The file is opened for every line, so that one that was rotated away is begun anew. What the kernel has taken
    survives the end of the process, not of the machine: nothing waits for a disk.
    """

    def __init__(self, redactor: Redactor, path: Path | None) -> None:
        super().__init__()
        self._redactor = redactor
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        line = f"{self._redactor.redacted(record.getMessage())}\n"
        if self._path is None:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        try:
            rest = line.encode()
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)


def configure_audit(redactor: Redactor, path: Path | None) -> None:
    """Send audit lines there and nowhere else, whatever the level of the other logs."""
    logger = logging.getLogger(AUDIT_LOGGER)
    logger.handlers[:] = [AuditHandler(redactor, path)]
    logger.setLevel(logging.INFO)
    logger.propagate = False
