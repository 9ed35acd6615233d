"""When a kubeconfig is to be renewed: at 80 % of the life of its certificate or of its token, whichever ends first."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.unit.tunesmith.kube.test_kubeconfig import HOSTILE, a_kubeconfig

from tunesmith.kube.credential_life import facts_of, token_life

BEGINS = datetime(2026, 1, 1, tzinfo=UTC)


def a_certificate(days: int, begins: datetime = BEGINS) -> dict[str, str]:
    """The user of a kubeconfig with a certificate of so many days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "client-certificate-data": base64.b64encode(certificate.public_bytes(serialization.Encoding.PEM)).decode(),
        "client-key-data": base64.b64encode(secret).decode(),
    }


def a_token(**claims: Any) -> str:
    """A JWT whose signature is nobody's."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
    return ".".join((*parts, "signature"))


def at(days: float) -> int:
    return int((BEGINS + timedelta(days=days)).timestamp())


def renewed(user: dict[str, str]) -> datetime | None:
    config = a_kubeconfig()
    config["users"][0]["user"] = user
    return facts_of(yaml.safe_dump(config), allow_loopback=False).renew_at


def test_a_certificate_is_renewed_at_80_percent_of_its_life() -> None:
    assert renewed(a_certificate(100)) == BEGINS + timedelta(days=80)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"iat": at(0), "exp": at(10)}, BEGINS + timedelta(days=8)),
        ({"nbf": at(0), "exp": at(10)}, BEGINS + timedelta(days=8)),
        ({"exp": at(10)}, BEGINS + timedelta(days=10) - timedelta(hours=1)),
        ({"iat": at(11), "exp": at(10)}, BEGINS + timedelta(days=10) - timedelta(hours=1)),
        ({"iat": at(0)}, None),
        ({"exp": "soon"}, None),
        ({"exp": True}, None),
        ({"exp": 10**30}, None),
        ({"exp": -62135596800}, datetime(1970, 1, 1, tzinfo=UTC) - timedelta(hours=1)),  # the first second of all
    ],
)
def test_a_token_is_renewed_at_80_percent_of_what_it_claims_and_never_for_what_it_does_not(
    claims: dict[str, Any], expected: datetime | None
) -> None:
    assert renewed({"token": a_token(**claims)}) == expected


def test_of_a_certificate_and_a_token_the_one_that_ages_first_counts() -> None:
    both = {**a_certificate(100), "token": a_token(iat=at(0), exp=at(10))}
    assert renewed(both) == BEGINS + timedelta(days=8)


def claiming(text: bytes) -> str:
    return f"a.{base64.urlsafe_b64encode(text).decode()}.c"


@pytest.mark.parametrize("token", ["abc", "a.b.c", "a.!!.c", claiming(b"[1]"), claiming(b"[" * 100_000), ""])
def test_what_is_no_jwt_has_no_life(token: str) -> None:
    assert token_life(token) is None


def test_a_certificate_that_cannot_be_read_has_no_life_and_is_no_error() -> None:
    assert renewed({"client-certificate-data": a_kubeconfig_pem(), "client-key-data": a_kubeconfig_pem()}) is None


def a_kubeconfig_pem() -> str:
    return str(a_kubeconfig()["clusters"][0]["cluster"]["certificate-authority-data"])


@pytest.mark.parametrize("length", [0, 1, 20, 60, 120, 180])
def test_one_that_is_cut_off_is_not_whole_rather_than_hostile(length: int) -> None:
    facts = facts_of(yaml.safe_dump(a_kubeconfig(), sort_keys=False)[:length], allow_loopback=False)
    assert facts.problem
    assert not facts.whole


WHAT_MAY_JUST_BE_MISSING = {"no authority", "no credentials"}


@pytest.mark.parametrize("form", sorted(HOSTILE.keys() - WHAT_MAY_JUST_BE_MISSING))
def test_a_hostile_one_is_whole_and_has_a_reason(form: str) -> None:
    config = a_kubeconfig()
    HOSTILE[form](config)
    facts = facts_of(yaml.safe_dump(config), allow_loopback=False)
    assert facts.problem
    assert facts.whole
