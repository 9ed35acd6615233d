"""Certificates and proxies by the variables that administrators know."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.unit.trainer.fetch_builders import an_object, fetched, web_file

from tunesmith_trainer.exit_codes import TrainerError
from tunesmith_trainer.fetch.secrets import Secrets
from tunesmith_trainer.testing_sources import ServedFiles
from tunesmith_trainer.testing_store import ServedStore

COMMON_NAME = NameOID.COMMON_NAME
KEYS = {"TUNESMITH_TRAINING_ACCESS_KEY_ID": "id", "TUNESMITH_TRAINING_SECRET_ACCESS_KEY": "secret"}


@dataclass(frozen=True)
class Authority:
    """An authority of our own, and a certificate that it signed for 127.0.0.1."""

    bundle: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    place, root_key, key = tmp_path_factory.mktemp("tls"), new_key(), new_key()
    root = signed("authority", root_key, "authority", root_key, x509.BasicConstraints(ca=True, path_length=0))
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = signed("loopback", key, "authority", root_key, loopback)
    written = Authority(place / "bundle", place / "certificate", place / "key")
    written.bundle.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    written.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    written.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return written


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def signed(name, key, by, by_key, extension):
    now, named = datetime.datetime.now(datetime.UTC), lambda text: x509.Name([x509.NameAttribute(COMMON_NAME, text)])
    return (
        x509.CertificateBuilder()
        .subject_name(named(name)).issuer_name(named(by)).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(extension, critical=True)
        .sign(by_key, hashes.SHA256())
    )  # fmt: skip


def test_a_certificate_is_trusted_when_its_authority_is_given(tmp_path, authority, monkeypatch):
    with ServedFiles({"/rows": b'{"text":"a"}\n'}) as web:
        web.encrypt(authority.certificate, authority.key)
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with pytest.raises(TrainerError, match=r"certificate of 127.0.0.1 is not trusted.*SSL_CERT_FILE"):
            fetched(tmp_path, training=web_file(f"{web.url}/rows"))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
        assert fetched(tmp_path, training=web_file(f"{web.url}/rows")).datasets


def test_a_store_with_an_authority_of_its_own_is_trusted_too(tmp_path, authority, monkeypatch):
    with ServedStore("id", "secret") as store:
        store.put("bucket/rows", b'{"text":"a"}\n')
        store.encrypt(authority.certificate, authority.key)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
        assert fetched(tmp_path, training=an_object(store.url, "rows"), secrets=KEYS).datasets


def test_a_proxy_is_asked_when_one_is_given(tmp_path, monkeypatch):
    with ServedFiles({"/rows": b'{"text":"a"}\n'}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert fetched(tmp_path, training=web_file("http://somewhere.invalid/rows")).datasets
        assert {request.path for request in proxy.asked} == {"http://somewhere.invalid/rows"}


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_bundle_may_hold_many_authorities(tmp_path, authority, monkeypatch, first):
    key = new_key()
    other = signed("other", key, "other", key, x509.BasicConstraints(ca=True, path_length=0))
    parts = [authority.bundle.read_bytes(), other.public_bytes(serialization.Encoding.PEM)]
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b"".join(parts if first else parts[::-1]))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with ServedStore("id", "secret") as store:
        store.put("bucket/rows", b'{"text":"a"}\n')
        store.encrypt(authority.certificate, authority.key)
        assert fetched(tmp_path, training=an_object(store.url, "rows"), secrets=KEYS).datasets


def test_a_store_is_reached_through_the_proxy_too(tmp_path, monkeypatch):
    with ServedStore("id", "secret") as proxy:
        proxy.put("bucket/rows", b'{"text":"a"}\n')
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for name in ("NO_PROXY", "no_proxy", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(TrainerError):
            fetched(tmp_path, training=an_object("http://somewhere.invalid", "rows"), secrets=KEYS)
        assert any("somewhere.invalid" in request.path for request in proxy.asked)


def test_the_password_of_a_proxy_is_said_to_nobody():
    secrets = Secrets.of_environment({"HTTPS_PROXY": "http://user:p%40ss-word@proxy:3128"})
    assert secrets.hide("http://user:p%40ss-word@proxy and p@ss-word") == "http://user:<hidden>@proxy and <hidden>"
    assert "ss-word" not in repr(secrets)
