"""Tokens and keys of the sources: taken from the environment, and hidden in all that is said."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from tunesmith_trainer.contract.preparation import Fetched, Secret, secret_variable
from tunesmith_trainer.object_store import StoreKeys

SOURCES: tuple[Fetched, ...] = ("model", "training", "validation")
KINDS: tuple[Secret, ...] = ("TOKEN", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
HIDDEN = "<hidden>"
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
SHORTEST_HIDDEN = 4  # taking less out of a text would make it unreadable and protect nothing


@dataclass(frozen=True)
class Secrets:
    """The secrets of all sources, by the variable that carries them, and the passwords of proxies."""

    values: Mapping[str, str]
    passwords: tuple[str, ...] = ()

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "Secrets":
        """What was given; an empty variable is none."""
        names = [secret_variable(of, kind) for of in SOURCES for kind in KINDS]
        values = {name: value for name in names if (value := environment.get(name, "").strip())}
        found = {one for name in PROXIES for one in _passwords(environment.get(name, ""))}
        return cls(values, tuple(sorted(found, key=len, reverse=True)))

    def token(self, of: Fetched) -> str | None:
        """The token of a source, if one was given."""
        return self.values.get(secret_variable(of, "TOKEN"))

    def keys(self, of: Fetched) -> StoreKeys | None:
        """The key pair of an S3 source; None unless both halves were given."""
        key_id = self.values.get(secret_variable(of, "ACCESS_KEY_ID"))
        secret = self.values.get(secret_variable(of, "SECRET_ACCESS_KEY"))
        return StoreKeys(key_id, secret) if key_id and secret else None

    def hide(self, text: str) -> str:
        """The text without any of the secrets."""
        for value in (*self.values.values(), *self.passwords):
            if len(value) >= SHORTEST_HIDDEN:
                text = text.replace(value, HIDDEN)
        return text

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self.values))})"


def _passwords(address: str) -> tuple[str, ...]:
    """Of a proxy's address: as it stands there, and as the proxy is told it."""
    try:
        password = urlsplit(address).password
    except ValueError:
        return ()
    return (password, unquote(password)) if password else ()


class HidingFormatter(logging.Formatter):
    """Formats log records, tracebacks included, without secrets."""

    def __init__(self, secrets: Secrets, text: str) -> None:
        super().__init__(text)
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return self._secrets.hide(super().format(record))
