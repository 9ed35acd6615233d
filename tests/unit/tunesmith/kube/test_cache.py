"""The cache never goes back in time."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.kube.cache import Cache


def a_pod(name: str = "a", version: int = 1, uid: str = "u1", **labels: str) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": name, "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def test_an_older_state_does_not_replace_a_newer_one() -> None:
    cache = Cache()
    assert cache.observe(a_pod(version=9))
    assert not cache.observe(a_pod(version=8))
    assert not cache.observe(a_pod(version=9))
    assert cache.get("Pod", "team", "a") == a_pod(version=9)


def test_versions_are_compared_as_numbers() -> None:
    cache = Cache()
    cache.observe(a_pod(version=9))
    assert cache.observe(a_pod(version=10))


def test_what_was_deleted_does_not_come_back_with_a_late_answer() -> None:
    cache = Cache()
    cache.observe(a_pod(version=1))
    assert cache.remove(a_pod(version=2))
    assert not cache.observe(a_pod(version=3))
    assert cache.get("Pod", "team", "a") is None


def test_the_deletion_of_an_earlier_object_of_the_name_leaves_its_successor() -> None:
    cache = Cache()
    cache.observe(a_pod(version=5, uid="second"))
    assert not cache.remove(a_pod(version=4, uid="first"))
    assert cache.get("Pod", "team", "a") is not None


def test_a_successor_of_the_same_name_replaces_its_predecessor_for_good() -> None:
    cache = Cache()
    cache.observe(a_pod(version=1, uid="first"))
    assert cache.observe(a_pod(version=5, uid="second"))
    assert not cache.observe(a_pod(version=6, uid="first"))


def test_a_list_tells_what_a_gap_in_the_watch_hid() -> None:
    cache = Cache()
    for name in "abc":
        cache.observe(a_pod(name, version=1, uid=name))
    changed, gone = cache.replace("Pod", [a_pod("a", 1, "a"), a_pod("b", 7, "b"), a_pod("d", 8, "d")], "9")
    assert [raw["metadata"]["name"] for raw in changed] == ["b", "d"]
    assert [raw["metadata"]["name"] for raw in gone] == ["c"]
    assert cache.synced("Pod")


def test_our_own_write_after_the_list_was_made_survives_the_list() -> None:
    cache = Cache()
    cache.observe(a_pod("mine", version=20, uid="mine"))
    _, gone = cache.replace("Pod", [], "10")
    assert not gone
    assert cache.get("Pod", "team", "mine") is not None


@given(st.permutations(list(range(1, 8))))
def test_in_whatever_order_states_arrive_the_newest_remains(order: list[int]) -> None:
    cache = Cache()
    for version in order:
        cache.observe(a_pod(version=version))
    assert cache.get("Pod", "team", "a") == a_pod(version=7)


PLACES = st.tuples(st.sampled_from(["a", "ab", "b"]), st.sampled_from(["x", "y", "z"]))


@given(st.lists(st.tuples(st.sampled_from(["observe", "remove", "drop", "list"]), PLACES), max_size=30))
def test_lists_are_in_order_and_show_what_is_there_whatever_came_before(deeds: list[tuple[str, Any]]) -> None:
    cache, there = Cache(), {}
    for version, (deed, (namespace, name)) in enumerate(deeds, start=1):
        pod = a_pod(name, version, uid=f"u{version}")
        pod["metadata"]["namespace"] = namespace
        if deed == "observe":
            cache.observe(pod)
            there[namespace, name] = pod
        elif deed == "list":
            assert cache.list("Pod") == [there[at] for at in sorted(there)]
        elif (known := there.pop((namespace, name), None)) is not None:
            assert getattr(cache, deed)(known)
    for wanted in ("a", "ab", "b", "c"):
        assert cache.list("Pod", wanted) == [there[at] for at in sorted(there) if at[0] == wanted]


HELD = st.sampled_from([None, "c-1", "c-2"])


@given(st.lists(st.tuples(st.sampled_from(["observe", "remove", "anew"]), PLACES, HELD), max_size=30))
def test_who_holds_an_object_of_the_provider_is_known_whatever_came_before(deeds: list[tuple[str, Any, Any]]) -> None:
    cache = Cache()
    for version, (deed, (namespace, name), held) in enumerate(deeds, start=1):
        known = cache.get("GPUCluster", namespace, name)
        uid = known["metadata"]["uid"] if known is not None and deed == "observe" else f"u{version}"
        meta = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(version)}
        if deed == "remove":
            if known is not None:
                assert cache.remove(known)
            continue
        assert cache.observe({"kind": "GPUCluster", "metadata": meta, "status": {"clusterID": held, "volumeID": "v"}})
    for wanted in ("c-1", "c-2", "c-3", "v"):
        holders = [raw for raw in cache.list("GPUCluster") if raw["status"]["clusterID"] == wanted]
        assert cache.holding("GPUCluster", wanted) == holders
