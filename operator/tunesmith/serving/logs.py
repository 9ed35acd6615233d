"""JSON log lines that say what was being worked on and never show a secret."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from tunesmith.controllers.context import working_on

SHORTEST_SECRET = 8  # what is shorter would take half of a log with it
SECRETS_REMEMBERED = 10_000
HIDDEN = "[hidden]"

_BEARER = re.compile(r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{8,}")
_KEY_LIKE = re.compile(r"\b(?:tgp_v\d_|sk-|key_)[A-Za-z0-9_-]{16,}")
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|$)", re.DOTALL)
_KUBECONFIG_FIELD = re.compile(
    r"(?i)\b(client-key-data|client-certificate-data|certificate-authority-data|token)(\"?\s*[:=]\s*\"?)[A-Za-z0-9+/=._-]{8,}"
)


class Redactor:
    """Knows the secret values that this process has loaded, and the shapes that others usually have."""

    def __init__(self) -> None:
        self._values: dict[str, None] = {}

    def remember(self, value: str) -> None:
        """Never show this value. Of a text with several lines each long one counts."""
        for part in (value, *value.splitlines()):
            if len(part.strip()) >= SHORTEST_SECRET and not part.startswith("-----"):
                self._values.pop(part.strip(), None)
                self._values[part.strip()] = None
        while len(self._values) > SECRETS_REMEMBERED:
            del self._values[next(iter(self._values))]

    def redacted(self, text: str) -> str:
        """The text without anything secret."""
        for value in self._values:
            if value in text:
                text = text.replace(value, HIDDEN)
        text = _PEM.sub(HIDDEN, text)
        text = _BEARER.sub(f"Bearer {HIDDEN}", text)
        text = _KEY_LIKE.sub(HIDDEN, text)
        return _KUBECONFIG_FIELD.sub(rf"\1\2{HIDDEN}", text)


class JsonLines(JsonFormatter):
    """One JSON object a line, redacted as a whole, tracebacks included."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
            json_ensure_ascii=False,
        )
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        return self._redactor.redacted(super().format(record))

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Add what this task is working on."""
        work = working_on.get()
        if work is not None:
            log_data |= {"kind": work.key.kind, "key": f"{work.key.namespace}/{work.key.name}"}
            log_data |= {"uid": work.uid, "generation": work.generation}
        return log_data


def configure_logging(redactor: Redactor, level: str) -> None:
    """Send everything to standard error in this form. The HTTP clients' own lines stay off: they show headers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("kopf", "aiohttp", "httpx", "httpcore", "asyncio", "kubernetes"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
