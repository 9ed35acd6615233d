"""The names that objects carry at the provider."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.planning.naming import installation_mark, parse_provider_name, provider_name

dns_names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,80}[a-z0-9])?", fullmatch=True)
namespaces = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
uids = st.uuids().map(str)
installations = st.text(min_size=1, max_size=80)
incarnations = st.integers(1, 9999)


@given(installations, namespaces, dns_names, uids, incarnations)
def test_every_name_is_a_dns_label_and_says_whose_it_is(installation, namespace, name, uid, incarnation):
    given_name = provider_name(
        installation_id=installation,
        kind="GPUCluster",
        namespace=namespace,
        name=name,
        uid=uid,
        incarnation=incarnation,
    )
    assert len(str(given_name)) <= 63
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", str(given_name))
    assert parse_provider_name(str(given_name)) == given_name


@given(namespaces, dns_names, uids, uids, incarnations)
def test_the_identity_is_the_same_after_a_rebuild_of_the_management_cluster(namespace, name, one, other, incarnation):
    before = provider_name(installation_id="old", kind="GPUCluster", namespace=namespace, name=name, uid=one)
    after = provider_name(
        installation_id="new", kind="GPUCluster", namespace=namespace, name=name, uid=other, incarnation=incarnation
    )
    assert before.identity == after.identity
    assert before.is_predecessor_of(after)
    assert not before.is_same_object(after)


def test_another_kind_or_name_has_another_identity():
    names = {
        provider_name(installation_id="x", kind=kind, namespace=namespace, name=name, uid="u").identity
        for kind in ("GPUCluster", "SharedVolume")
        for namespace, name in (("a", "b"), ("a-b", "c"), ("a", "b-c"))
    }
    assert len(names) == 6


def test_two_resources_that_share_the_short_hash_are_not_taken_for_one():
    mine = provider_name(installation_id="x", kind="GPUCluster", namespace="a", name="b", uid="u")
    other = replace(mine, text="tenant-b-train")
    assert not other.is_same_object(mine)
    assert not other.is_predecessor_of(mine)
    assert not replace(other, uid="ffff").is_predecessor_of(mine)


def test_an_incarnation_is_of_the_same_object():
    first = provider_name(installation_id="x", kind="GPUCluster", namespace="a", name="b", uid="u")
    second = provider_name(installation_id="x", kind="GPUCluster", namespace="a", name="b", uid="u", incarnation=2)
    assert first.is_same_object(second)
    assert str(first) != str(second)


@given(st.text(max_size=80))
def test_a_name_that_is_not_ours_has_no_parts(text):
    parsed = parse_provider_name(text)
    assert parsed is None or str(parsed) == text


def test_an_installation_id_of_six_characters_is_used_as_it_is():
    assert installation_mark("prod01") == "prod01"
    assert re.fullmatch(r"[0-9a-f]{6}", installation_mark("Production in Frankfurt"))
