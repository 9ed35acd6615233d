"""What is seen or written gets into the cache, and whoever depends on it looks."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.controllers.controller import POOL, Key, key_of, pool_key
from tunesmith.controllers.wakes import woken_by
from tunesmith.planning.actions import RemoteCluster

from .conftest import Shell, a_resource

JOB = Key("FineTuneJob", "team", "j")


def due(shell: Shell) -> set[Key]:
    keys = set()
    while (key := shell.queue.take_ready()) is not None:
        keys.add(key)
        shell.queue.done(key)
    return keys


@pytest.fixture
def watched(shell: Shell) -> Shell:
    shell.toy.dependents.append(JOB)
    shell.intake.serve("FineTuneJob", lambda raw: ())
    due(shell)
    return shell


def test_a_change_wakes_the_resource_and_its_dependents(watched: Shell) -> None:
    watched.intake.seen(watched.kube.put(a_resource()))
    assert due(watched) == {watched.key, JOB}


def test_after_a_start_everybody_is_looked_at_and_only_jobs_are_asked_who_depends_on_them(shell: Shell) -> None:
    asked: list[str] = []

    def depends(raw: Any) -> list[Key]:
        asked.append(raw["metadata"]["name"])
        return [pool_key(None)]

    for kind in ("GPUCluster", "CatalogModel", "FineTuneJob"):
        shell.intake.serve(kind, depends)
    shell.intake.serve(POOL, lambda raw: ())
    resources = [
        {"kind": kind, "metadata": {"namespace": "team", "name": f"{kind}-{number}"}}
        for kind in ("GPUCluster", "CatalogModel", "FineTuneJob")
        for number in range(3)
    ]
    shell.intake.begin(resources)
    assert due(shell) == {*map(key_of, resources), pool_key(None)}
    assert asked == [f"FineTuneJob-{number}" for number in range(3)]


def test_our_own_write_wakes_dependents_because_its_echo_is_no_news(watched: Shell) -> None:
    stored = watched.kube.put(a_resource(word="ready"))
    watched.intake.wrote(stored)
    assert due(watched) == {watched.key, JOB}
    watched.intake.seen(stored)
    assert due(watched) == set()


def test_the_last_finalizer_taken_from_a_deleted_resource_makes_it_gone(watched: Shell) -> None:
    raw = a_resource()
    raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    gone: list[RemoteCluster] = []
    watched.intake.gone = gone.append
    watched.intake.wrote(watched.kube.put(raw))
    assert watched.cache.get(*_at(watched.key)) is None
    assert gone == [RemoteCluster("team", "a")]


def test_what_cannot_be_taken_in_does_not_stop_the_feed(watched: Shell) -> None:
    watched.intake.seen({"kind": "GPUCluster"})
    assert due(watched) == set()


def test_keys_that_nobody_works_on_are_not_queued(watched: Shell) -> None:
    watched.intake.wake(Key("SharedVolume", "team", "v"))
    assert due(watched) == set()


LABELS = {
    "tunesmith.dev/owner-kind": "FineTuneJob",
    "tunesmith.dev/owner-namespace": "team",
    "tunesmith.dev/owner-name": "j",
}
BOUGHT = RemoteCluster("team", "gpus")


@pytest.mark.parametrize(
    ("where", "raw", "woken"),
    [
        (None, {"kind": "Job", "metadata": {"labels": LABELS}}, {JOB}),
        (BOUGHT, {"kind": "Pod", "metadata": {"labels": LABELS}}, {JOB, Key(POOL, "team", "gpus")}),
        (None, {"kind": "Node", "metadata": {}}, {pool_key(None)}),
        (BOUGHT, {"kind": "Node", "metadata": {}}, {pool_key(BOUGHT), Key("GPUCluster", "team", "gpus")}),
        (BOUGHT, {}, {pool_key(BOUGHT), Key("GPUCluster", "team", "gpus")}),
    ],
)
def test_children_wake_their_owner_and_the_pool_that_they_take_from(
    where: RemoteCluster | None, raw: dict[str, Any], woken: set[Key]
) -> None:
    assert set(woken_by(where, raw)) == woken


def _at(key: Key) -> tuple[str, str, str]:
    return key.kind, key.namespace, key.name
