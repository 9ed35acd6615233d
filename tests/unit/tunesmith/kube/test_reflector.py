"""The reflector follows a collection through everything that a watch does to its clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tunesmith.kube.cache import Cache
from tunesmith.kube.client import Kube
from tunesmith.kube.kinds import CONFIG_MAP
from tunesmith.kube.reflector import Reflector

from .conftest import ApiStub, failure

AT = "/api/v1/namespaces/team/configmaps"


def a_config_map(name: str, **labels: str) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": name, "labels": labels, "managedFields": [{"manager": "kubectl"}]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


@dataclass
class Followed:
    cache: Cache
    stub: ApiStub
    changes: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        return [raw["metadata"]["name"] for raw in self.cache.list("ConfigMap")]

    def requests(self, word: str) -> int:
        return sum(1 for _, path in self.stub.requests if word in path)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def followed(kube: Kube, stub: ApiStub) -> AsyncIterator[Followed]:
    stub.put(f"{AT}/a", a_config_map("a"))
    stub.put(f"{AT}/b", a_config_map("b"))
    result = Followed(Cache(), stub)
    reflector = Reflector(
        kube,
        CONFIG_MAP,
        result.cache,
        changed=lambda raw: result.changes.append(raw["metadata"]["name"]),
        monotonic=asyncio.get_running_loop().time,
        jitter=lambda: 0.0,
        namespace="team",
        keep=lambda raw: raw["metadata"]["labels"].get("dull") != "yes",
        sleep=lambda _: asyncio.sleep(0.001),
        inactivity_seconds=0.5,
    )
    task = asyncio.create_task(reflector.run())
    await until(lambda: result.cache.synced("ConfigMap") and bool(stub.streams))
    yield result
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_exists_is_listed_and_told(followed: Followed) -> None:
    assert followed.names() == ["a", "b"]
    assert sorted(followed.changes) == ["a", "b"]
    assert "managedFields" not in followed.cache.list("ConfigMap")[0]["metadata"]


async def test_changes_and_deletions_are_followed(followed: Followed) -> None:
    followed.stub.put(f"{AT}/c", a_config_map("c"))
    followed.stub.remove(f"{AT}/a")
    await until(lambda: followed.names() == ["b", "c"])
    assert followed.changes[-2:] == ["c", "a"]


async def test_a_watch_that_ends_is_opened_where_it_ended_without_a_new_list(followed: Followed) -> None:
    followed.stub.end_watches()
    followed.stub.put(f"{AT}/c", a_config_map("c"))
    await until(lambda: followed.names() == ["a", "b", "c"])
    assert followed.requests("limit=500") == 1


async def test_deletions_that_a_gap_hid_are_told_after_the_next_list(followed: Followed) -> None:
    followed.stub.end_watches()
    for name in ("a", "b"):
        followed.stub.remove(f"{AT}/{name}", told=False)
    followed.stub.put(f"{AT}/c", a_config_map("c"))
    followed.stub.oldest = followed.stub.version
    await until(lambda: followed.names() == ["c"])
    assert sorted(followed.changes[2:]) == ["a", "b", "c"]


async def test_an_error_in_the_stream_leads_to_a_new_list_and_not_to_an_end(followed: Followed) -> None:
    followed.stub.end_watches({"type": "ERROR", "object": {"kind": "Status", "code": 500}})
    await until(lambda: followed.requests("limit=500") == 2)
    followed.stub.put(f"{AT}/c", a_config_map("c"))
    await until(lambda: followed.names() == ["a", "b", "c"])


async def test_a_server_that_refuses_for_a_while_is_asked_again(followed: Followed) -> None:
    followed.stub.answers += [failure(500) for _ in range(3)]
    followed.stub.end_watches()
    followed.stub.put(f"{AT}/c", a_config_map("c"))
    await until(lambda: followed.names() == ["a", "b", "c"])


async def test_a_silent_watch_is_opened_anew(followed: Followed) -> None:
    await until(lambda: followed.requests("watch=1") >= 3)


async def test_what_is_of_no_interest_is_not_kept(followed: Followed) -> None:
    followed.stub.put(f"{AT}/c", a_config_map("c", dull="yes"))
    followed.stub.put(f"{AT}/b", a_config_map("b", dull="yes"))
    await until(lambda: followed.names() == ["a"])
    followed.stub.put(f"{AT}/b", a_config_map("b"))
    await until(lambda: followed.names() == ["a", "b"])


async def test_bookmarks_move_the_version_on(followed: Followed) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {"resourceVersion": "5000"}}}
    followed.stub.end_watches(bookmark)
    await until(lambda: followed.requests("resourceVersion=5000") > 0)
    assert followed.names() == ["a", "b"]
