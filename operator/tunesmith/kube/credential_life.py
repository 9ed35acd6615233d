"""How long the certificate or token of a kubeconfig lives, and when a newer one should be asked for.

Nothing is verified here: the life is only a reason to ask the provider in time, never a reason to trust.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509

from tunesmith.kube.kubeconfig import KubeconfigBroken, KubeconfigRefused, RemoteAccess, read_kubeconfig
from tunesmith.planning.cluster_observation import KubeconfigFacts

RENEWED_AT = 0.8
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
WITHOUT_A_BEGINNING = timedelta(hours=1)
"""How long before its end a token is renewed that does not say when it was made."""


@dataclass(frozen=True)
class Life:
    """From when until when; `begins` None: it does not say."""

    begins: datetime | None
    ends: datetime

    @property
    def renew_at(self) -> datetime:
        """At 80 % of it."""
        if self.begins is None or self.begins >= self.ends:
            return max(self.ends, EARLIEST) - WITHOUT_A_BEGINNING
        return self.begins + (self.ends - self.begins) * RENEWED_AT


def facts_of(kubeconfig: str, *, allow_loopback: bool) -> KubeconfigFacts:
    """What reading it says, whatever is in it."""
    try:
        access = read_kubeconfig(kubeconfig, allow_loopback=allow_loopback)
    except KubeconfigBroken as broken:
        return KubeconfigFacts(str(broken), whole=False)
    except KubeconfigRefused as refused:
        return KubeconfigFacts(str(refused))
    lives = [life for life in (certificate_life(access), token_life(access.token)) if life is not None]
    return KubeconfigFacts(renew_at=min((life.renew_at for life in lives), default=None))


def certificate_life(access: RemoteAccess) -> Life | None:
    """The life of the client certificate; None: there is none, or it cannot be read, which TLS will say."""
    if not access.client_certificate_pem:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(access.client_certificate_pem.encode())
        return Life(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except (ValueError, x509.InvalidVersion):
        return None


def token_life(token: str) -> Life | None:
    """The life that a JWT claims for itself (`iat` or `nbf`, `exp`); None: it is no JWT, or claims no end."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(claims, dict):
        return None
    ends = _time(claims.get("exp"))
    begins = _time(claims.get("iat")) or _time(claims.get("nbf"))
    return None if ends is None else Life(begins, ends)


def _time(claim: object) -> datetime | None:
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return None
    try:
        return datetime.fromtimestamp(claim, UTC)
    except (OverflowError, ValueError, OSError):
        return None
