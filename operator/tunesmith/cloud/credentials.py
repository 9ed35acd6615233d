"""API keys: held hidden, told apart by a cut hash. Where a key comes from is not known here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import SecretStr

from tunesmith.planning.provider import Credential

FINGERPRINT_LENGTH = 16


@dataclass(frozen=True)
class ApiCredential:
    """One API key and the project it is used for (None: the key's default project)."""

    api_key: SecretStr
    project_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """A cut SHA-256 of the key: enough to see that a key has changed, useless to find it."""
        return hashlib.sha256(self.api_key.get_secret_value().encode()).hexdigest()[:FINGERPRINT_LENGTH]

    @property
    def fact(self) -> Credential:
        """What decisions may know of it."""
        return Credential(fingerprint=self.fingerprint, project_id=self.project_id)
