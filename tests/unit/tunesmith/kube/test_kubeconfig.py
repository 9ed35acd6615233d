"""A kubeconfig from a Secret is data: only what is on the whitelist is used, and nothing is ever run, read or sent."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tunesmith.kube.kubeconfig import KubeconfigRefused, is_forbidden_address, read_kubeconfig

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
ENCODED = base64.b64encode(PEM.encode()).decode()


def a_kubeconfig() -> dict[str, Any]:
    cluster = {"server": "https://203.0.113.7:6443", "certificate-authority-data": ENCODED}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bought", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": "abc.def"}}],
        "contexts": [{"name": "admin@bought", "context": {"cluster": "bought", "user": "admin"}}],
        "current-context": "admin@bought",
        "preferences": {},
    }


def in_user(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["users"][0]["user"].update(fields)


def in_cluster(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["clusters"][0]["cluster"].update(fields)


def server(url: str) -> Callable[[dict[str, Any]], None]:
    return in_cluster(server=url)


HOSTILE: dict[str, Callable[[dict[str, Any]], None]] = {
    "a program to run": in_user(exec={"command": "sh", "apiVersion": "client.authentication.k8s.io/v1"}),
    "an auth provider": in_user(**{"auth-provider": {"name": "gcp"}}),
    "a token file": in_user(tokenFile="/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "a certificate file": in_user(**{"client-certificate": "/etc/passwd"}),
    "a key file": in_user(**{"client-key": "/etc/passwd"}),
    "an authority file": in_cluster(**{"certificate-authority": "/etc/passwd"}),
    "a proxy": in_cluster(**{"proxy-url": "http://203.0.113.9"}),
    "no verification": in_cluster(**{"insecure-skip-tls-verify": True}),
    "another server name": in_cluster(**{"tls-server-name": "elsewhere"}),
    "impersonation": in_user(**{"as": "system:admin"}),
    "impersonated groups": in_user(**{"as-groups": ["system:masters"]}),
    "a password": in_user(username="a", password="b"),
    "two contexts": lambda config: config["contexts"].append(config["contexts"][0]),
    "two clusters": lambda config: config["clusters"].append(config["clusters"][0]),
    "a context of another user": lambda config: config["contexts"][0]["context"].update(user="other"),
    "an unknown top field": lambda config: config.update(extensions=[]),
    "plain http": server("http://203.0.113.7"),
    "a file": server("file:///etc/passwd"),
    "user info": server("https://a:b@203.0.113.7"),
    "loopback": server("https://127.0.0.1:6443"),
    "loopback by name": server("https://localhost"),
    "loopback by longer name": server("https://x.localhost."),
    "loopback in IPv6": server("https://[::1]:6443"),
    "loopback mapped into IPv6": server("https://[::ffff:127.0.0.1]"),
    "loopback in decimal": server("https://2130706433"),
    "loopback in hexadecimal": server("https://0x7f000001"),
    "loopback cut short": server("https://127.1"),
    "the metadata service": server("https://169.254.169.254"),
    "the metadata service mapped": server("https://[::ffff:a9fe:a9fe]"),
    "nowhere": server("https://0.0.0.0"),
    "no authority": lambda config: config["clusters"][0]["cluster"].pop("certificate-authority-data"),
    "no credentials": lambda config: config["users"][0]["user"].clear(),
    "an authority that is no base64": in_cluster(**{"certificate-authority-data": "/etc/passwd"}),
    "a token with a line end": in_user(token="a\r\nHost: elsewhere"),
    "no map": lambda config: config.update(users="admin"),
}


def test_the_kubeconfig_that_the_provider_gives_is_used() -> None:
    access = read_kubeconfig(yaml.safe_dump(a_kubeconfig()))
    assert (access.server, access.token, access.ca_pem) == ("https://203.0.113.7:6443", "abc.def", PEM)


def test_a_client_certificate_does_as_well_as_a_token() -> None:
    config = a_kubeconfig()
    config["users"][0]["user"] = {"client-certificate-data": ENCODED, "client-key-data": ENCODED}
    assert read_kubeconfig(yaml.safe_dump(config)).client_key_pem == PEM


@pytest.mark.parametrize("form", HOSTILE)
def test_hostile_forms_are_refused_with_a_reason(form: str) -> None:
    config = copy.deepcopy(a_kubeconfig())
    HOSTILE[form](config)
    with pytest.raises(KubeconfigRefused) as refused:
        read_kubeconfig(yaml.safe_dump(config))
    assert str(refused.value)
    assert "abc.def" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "!!python/object/apply:os.system ['true']", "a: &a [*a]", "x" * 300_000]
)
def test_what_is_no_kubeconfig_is_refused(text: str) -> None:
    with pytest.raises(KubeconfigRefused):
        read_kubeconfig(text)


@pytest.mark.parametrize(
    "value", ["2001-99-99", "2001-12-14t21:59:43-99:00", "0x_", '!!int ""', '!!bool "x"', '!!timestamp "x"']
)
def test_what_looks_like_a_value_and_is_none_is_no_fault_of_ours(value: str) -> None:
    with pytest.raises(KubeconfigRefused):
        read_kubeconfig(f"apiVersion: {value}")


@pytest.mark.parametrize("link", ["[{}]", "{{<<: [{}]}}"], ids=["lists", "merges"])
def test_a_few_lines_that_would_fill_all_memory_are_refused_before_they_do(link: str) -> None:
    levels = (f"l{level}: &l{level} {link.format(', '.join([f'*l{level - 1}'] * 9))}" for level in range(1, 40))
    lines = ["l0: &l0 {a: 1, b: 2}", *levels]
    with pytest.raises(KubeconfigRefused, match="aliases"):
        read_kubeconfig("\n".join(lines))


def test_loopback_is_allowed_for_developers_only() -> None:
    config = a_kubeconfig()
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:6443"
    assert read_kubeconfig(yaml.safe_dump(config), allow_loopback=True).server == "https://127.0.0.1:6443"
    assert is_forbidden_address("127.0.0.1")
    assert not is_forbidden_address("127.0.0.1", allow_loopback=True)
    assert is_forbidden_address("169.254.169.254", allow_loopback=True)


def test_the_secret_parts_do_not_show_when_printed() -> None:
    shown = repr(read_kubeconfig(yaml.safe_dump(a_kubeconfig())))
    assert "abc.def" not in shown
    assert "BEGIN" not in shown
