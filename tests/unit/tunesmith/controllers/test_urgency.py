"""Who does not wait in line."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.controllers.controller import Key
from tunesmith.controllers.urgency import urgency, urgent_in
from tunesmith.kube.cache import Cache


def a_cluster(meta: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": "a", "uid": "u", "resourceVersion": "1", **meta}
    return {"apiVersion": "tunesmith.dev/v1alpha1", "kind": "GPUCluster", "metadata": metadata, "status": status}


DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
INTENT = {"createIntent": {"nonce": "n"}}


@pytest.mark.parametrize(
    ("meta", "status", "expected"), [(DELETED, {}, 0), (DELETED, INTENT, 0), ({}, INTENT, 1), ({}, {}, 2)]
)
def test_what_is_let_go_of_and_what_is_being_bought_does_not_wait_in_line(
    meta: dict[str, Any], status: dict[str, Any], expected: int
) -> None:
    cache = Cache()
    cache.observe(a_cluster(meta, status))
    assert urgency(a_cluster(meta, status)) == expected
    assert urgent_in(cache)(Key("GPUCluster", "team", "a")) is (expected < 2)


def test_what_is_not_known_and_what_is_no_object_waits_in_line() -> None:
    assert not urgent_in(Cache())(Key("Pool", "team", "a"))
