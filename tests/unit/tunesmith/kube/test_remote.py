"""One bought cluster's connection: renewed at once, never to another cluster than the one that was bought."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import yaml
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration
from tests.unit.tunesmith.kube.conftest import ApiStub, failure
from tests.unit.tunesmith.kube.test_kubeconfig import a_kubeconfig

from tunesmith.kube import remote as remotes
from tunesmith.kube.client import Kube
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kubeconfig import RemoteAccess
from tunesmith.kube.remote import RemoteClusters, RemotePorts, RemoteView
from tunesmith.kube.transport import Transport
from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.circumstances import Known, NotYet, OtherCluster, Refused, Rejected, Unknown
from tunesmith.planning.cluster_kubeconfig_facts import hash_of

TRAIN = RemoteCluster("ml", "train")


class Bought(ApiStub):
    """The API of a bought cluster, which knows its own kube-system and which tokens it lets in."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = {"one", "two"}
        self.slow: asyncio.Event | None = None
        self.put("/api/v1/namespaces/kube-system", a_namespace("ks-1"))
        self.put("/api/v1/nodes/node-0", {"kind": "Node", "metadata": {"name": "node-0"}})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return failure(401)
        if self.slow is not None and request.path.endswith("/nodes/node-0"):
            await self.slow.wait()
        return await super().handle(request)


def a_namespace(uid: str) -> dict[str, Any]:
    return {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": uid}}


def kubeconfig(token: str = "one") -> str:
    config = a_kubeconfig()
    config["users"][0]["user"] = {"token": token}
    return yaml.safe_dump(config)


class Local:
    """The Kubernetes that the operator runs in, as far as it holds one Secret."""

    def __init__(self) -> None:
        self.secret: dict[str, Any] | None = None
        self.reads = 0

    def give(self, text: str, cluster_id: str = "c-1", uid: str = "") -> None:
        marks = {"tunesmith.dev/cluster-id": cluster_id, "tunesmith.dev/kube-system-uid": uid}
        annotations = {key: value for key, value in marks.items() if value}
        data = {"value": base64.b64encode(text.encode()).decode()}
        self.secret = {"metadata": {"name": "s", "annotations": annotations}, "data": data}

    async def get(self, *_: Any) -> dict[str, Any] | None:
        self.reads += 1
        return self.secret


class World:
    """A bought cluster over HTTP, and the connection to it."""

    def __init__(self, bought: Bought) -> None:
        self.bought, self.local, self.cluster_id = bought, Local(), "c-1"
        self.changes = 0
        self.turns = 0
        self.may_connect = asyncio.Event()
        self.may_connect.set()
        self.remotes = RemoteClusters(
            RemotePorts(
                local=self.local,
                secret_name=lambda remote: "s",
                changed=self._changed,
                secret=lambda value: None,
                monotonic=asyncio.get_running_loop().time,
                jitter=lambda: 0.0,
                cluster_id=lambda remote: self.cluster_id,
                turn=self._turn,
            )
        )

    def _changed(self, *_: Any) -> None:
        self.changes += 1

    async def _turn(self) -> None:
        self.turns += 1
        await self.may_connect.wait()

    def probes(self) -> int:
        return sum(path == "/api/v1/namespaces/kube-system" for _, path in self.bought.requests)

    def view(self) -> RemoteView:
        return self.remotes.view(TRAIN)

    async def until(self, holds: Callable[[RemoteView], bool]) -> RemoteView:
        async with asyncio.timeout(20):
            while not holds(self.view()):
                self.remotes.look_now(TRAIN)
                await asyncio.sleep(0.01)
        return self.view()

    async def seen(self, token: str = "one") -> RemoteView:
        return await self.until(
            lambda view: isinstance(view.nodes, Known) and view.kubeconfig_hash == hash_of(kubeconfig(token))
        )


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    bought = Bought()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", bought.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def opened(access: RemoteAccess, *, observer: Any, gate: Any, **_: Any) -> Kube:
        """The same client without TLS: what a kubeconfig may say is tested elsewhere."""
        configuration = Configuration(host=address)
        configuration.api_key["BearerToken"] = f"Bearer {access.token}"
        return Kube(Transport(ApiClient(configuration), observer=observer, gate=gate, request_seconds=5))

    monkeypatch.setattr(remotes, "open_remote", opened)
    made = World(bought)
    yield made
    await made.remotes.close()
    bought.end_watches()
    await runner.cleanup()


async def test_a_rotated_kubeconfig_is_used_at_once_and_what_is_in_flight_ends(world: World) -> None:
    world.local.give(kubeconfig("one"))
    await world.seen("one")
    world.bought.slow = asyncio.Event()
    in_flight = asyncio.create_task((await world.remotes.kube(TRAIN)).get(remotes.NODE, None, "node-0"))
    await asyncio.sleep(0)
    world.local.give(kubeconfig("two"))
    world.remotes.look_now(TRAIN)
    await world.seen("two")
    world.bought.slow.set()
    answered = await in_flight
    assert answered is not None
    assert answered["metadata"]["name"] == "node-0"


async def test_a_cluster_that_does_not_let_us_in_is_rejected_and_not_unreachable(world: World) -> None:
    world.local.give(kubeconfig("one"))
    await world.seen("one")
    world.bought.tokens.remove("one")
    rejected = await world.until(lambda view: isinstance(view.nodes, Rejected))
    assert isinstance(rejected.nodes, Unknown)
    world.local.give(kubeconfig("two"))
    await world.seen("two")


async def test_any_request_that_gets_a_401_makes_it_known_without_waiting_for_the_next_probe(world: World) -> None:
    world.local.give(kubeconfig("one"))
    await world.seen("one")
    world.bought.tokens.remove("one")
    kube = await world.remotes.kube(TRAIN)
    with pytest.raises(KubeError):
        await kube.get(remotes.NODE, None, "node-0")
    async with asyncio.timeout(5):  # less than the time between two probes
        while not isinstance(world.view().nodes, Rejected):
            await asyncio.sleep(0.01)
    assert world.changes


async def test_the_secret_of_an_earlier_cluster_of_the_same_name_is_never_used(world: World) -> None:
    world.local.give(kubeconfig("one"), cluster_id="c-0")
    with pytest.raises(KubeError, match="another cluster"):
        await world.remotes.kube(TRAIN)
    assert world.bought.requests == []


async def test_a_connection_to_an_earlier_cluster_shows_nothing_once_the_resource_has_another(world: World) -> None:
    world.local.give(kubeconfig("one"))
    await world.seen()
    world.cluster_id = "c-2"
    assert isinstance(world.view().nodes, NotYet)
    with pytest.raises(KubeError, match="another cluster"):
        await world.remotes.kube(TRAIN)
    world.local.give(kubeconfig("two"), cluster_id="c-2")
    await world.seen("two")


async def test_a_kubeconfig_that_leads_to_another_kubernetes_is_told_and_nothing_is_watched_there(world: World) -> None:
    world.local.give(kubeconfig("one"), uid="ks-of-the-one-that-was-bought")
    view = await world.until(lambda view: isinstance(view.nodes, OtherCluster))
    assert isinstance(view.reachable, Refused)
    assert "ks-1" in view.reachable.why
    with pytest.raises(KubeError, match="another Kubernetes"):
        await world.remotes.kube(TRAIN)
    assert {path for _, path in world.bought.requests} == {"/api/v1/namespaces/kube-system"}


async def test_a_cluster_that_becomes_another_one_behind_its_address_is_left_at_once(world: World) -> None:
    world.local.give(kubeconfig("one"), uid="ks-1")
    await world.seen()
    world.bought.put("/api/v1/namespaces/kube-system", a_namespace("ks-2"))
    await world.until(lambda view: isinstance(view.nodes, OtherCluster))


async def test_recording_the_identity_makes_no_new_connection(world: World) -> None:
    world.local.give(kubeconfig("one"))
    assert (await world.seen()).kube_system_uid == "ks-1"
    before = await world.remotes.kube(TRAIN)
    world.local.give(kubeconfig("one"), uid="ks-1")
    world.remotes.look_now(TRAIN)
    probes = len(world.bought.requests)
    await world.until(lambda view: len(world.bought.requests) > probes)
    assert await world.remotes.kube(TRAIN) is before


async def probed(world: World, times: int = 3) -> None:
    """Some probes later, that nobody asked for."""
    before = world.probes()
    async with asyncio.timeout(20):
        while world.probes() < before + times:
            await asyncio.sleep(0.01)


async def test_while_the_cluster_answers_its_secret_is_not_read_again_at_every_probe(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "PROBE_SECONDS", 0.02)
    world.local.give(kubeconfig("one"))
    await world.seen()
    reads = world.local.reads
    await probed(world)
    assert world.local.reads > reads, "it does not say yet which Kubernetes it leads to"
    world.local.give(kubeconfig("one"), uid="ks-1")
    await probed(world)
    reads = world.local.reads
    await probed(world)
    assert world.local.reads == reads
    monkeypatch.setattr(remotes, "SECRET_SECONDS", 0.0)
    await probed(world)
    assert world.local.reads > reads, "it is too long ago"


async def test_each_new_connection_waits_for_its_turn_and_a_look_at_a_known_cluster_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "PROBE_SECONDS", 0.02)
    world.may_connect.clear()
    world.local.give(kubeconfig("one"))
    async with asyncio.timeout(20):
        while not world.turns:
            assert isinstance(world.view().reachable, NotYet)
            await asyncio.sleep(0.01)
    assert world.bought.requests == []
    world.may_connect.set()
    await world.seen("one")
    await probed(world)
    assert world.turns == 1
    world.local.give(kubeconfig("two"))
    await world.seen("two")
    assert world.turns == 2


async def test_of_very_many_clusters_each_is_looked_at_less_often(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "PROBE_SECONDS", 0.02)
    world.local.give(kubeconfig("one"), uid="ks-1")
    await world.seen()
    await probed(world)
    monkeypatch.setattr(remotes, "PROBES_A_SECOND", 0.001)
    await probed(world, 1)  # the one that was due already
    before = world.probes()
    await asyncio.sleep(0.5)
    assert world.probes() == before


async def test_a_secret_that_was_read_lately_is_read_again_when_the_cluster_lets_us_in_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "PROBE_SECONDS", 0.02)
    world.local.give(kubeconfig("one"), uid="ks-1")
    await world.seen()
    world.bought.tokens.remove("one")
    world.local.give(kubeconfig("two"), uid="ks-1")
    async with asyncio.timeout(20):
        while world.view().kubeconfig_hash != hash_of(kubeconfig("two")):
            await asyncio.sleep(0.01)


async def test_the_end_of_a_connection_closes_its_client_though_nothing_else_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.local.give(kubeconfig("one"))
    await world.seen("one")
    kube, closed = await world.remotes.kube(TRAIN), []
    close = kube.close

    async def closing() -> None:
        closed.append(kube)
        await close()

    monkeypatch.setattr(kube, "close", closing)
    await world.remotes.stop(TRAIN)
    assert closed
