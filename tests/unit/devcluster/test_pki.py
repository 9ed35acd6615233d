"""The certificates of a cluster say who is who, and OpenSSL agrees."""

import datetime
import ssl
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from tunesmith_devcluster import kubeconfig
from tunesmith_devcluster.pki import Authority, KeyPair


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("an authority")


def loaded(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.encode())


def handshake(authority: Authority, server: KeyPair, client: KeyPair, host: str, directory: Path) -> None:
    """A whole TLS handshake with both sides' certificates checked, in memory."""

    def context(side: int, pair: KeyPair) -> ssl.SSLContext:
        made = ssl.SSLContext(side)
        made.load_verify_locations(cadata=authority.pair.certificate)
        made.verify_mode = ssl.CERT_REQUIRED
        file = directory / f"{side}.pem"
        file.write_text(pair.certificate + pair.key)
        made.load_cert_chain(file)
        return made

    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context(ssl.PROTOCOL_TLS_CLIENT, client).wrap_bio(to_client, to_server, server_hostname=host)
    theirs = context(ssl.PROTOCOL_TLS_SERVER, server).wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)


def test_server_and_client_trust_each_other(authority: Authority, tmp_path: Path):
    server = authority.server("kube-apiserver", ["localhost", "127.0.0.1"])
    handshake(authority, server, authority.client("admin"), "127.0.0.1", tmp_path)
    handshake(authority, server, authority.client("admin"), "localhost", tmp_path)


def test_a_server_under_another_name_is_not_trusted(authority: Authority, tmp_path: Path):
    server = authority.server("kube-apiserver", ["localhost"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, server, authority.client("admin"), "127.0.0.1", tmp_path)


def test_a_client_of_another_authority_is_not_trusted(authority: Authority, tmp_path: Path):
    stranger = Authority.create("an authority").client("admin", ["system:masters"])
    with pytest.raises(ssl.SSLError):
        handshake(authority, authority.server("s", ["localhost"]), stranger, "localhost", tmp_path)


def test_a_client_certificate_carries_user_and_groups_as_kubernetes_reads_them(authority: Authority):
    subject = loaded(authority.client("system:node:gpu-1", ["system:nodes"])).subject
    assert [one.value for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["system:node:gpu-1"]
    assert [one.value for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:nodes"]


def test_an_authority_read_back_signs_the_same(authority: Authority):
    again = Authority(authority.pair)
    loaded(again.client("admin")).verify_directly_issued_by(loaded(authority.pair))


def test_certificates_are_valid_on_a_clock_that_is_a_little_behind(authority: Authority):
    before = loaded(authority.pair).not_valid_before_utc
    assert before < datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=30)


def test_a_kubeconfig_holds_everything_itself(authority: Authority):
    text = kubeconfig.render(
        name="c",
        server="https://127.0.0.1:1",
        authority_certificate=authority.pair.certificate,
        user="admin",
        pair=authority.client("admin"),
    )
    content = yaml.safe_load(text)
    assert content["current-context"] == "c"
    assert set(content["clusters"][0]["cluster"]) == {"server", "certificate-authority-data"}
    assert set(content["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
