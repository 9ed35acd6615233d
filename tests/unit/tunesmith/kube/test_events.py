"""Events are told, counted up when they repeat, and limited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tunesmith.kube.client import Kube
from tunesmith.kube.events import BURST, EventRecorder
from tunesmith.planning.decision import EventNote, EventType

from .conftest import ApiStub, failure

RAW = {
    "apiVersion": "tunesmith.dev/v1alpha1",
    "kind": "GPUCluster",
    "metadata": {"namespace": "team", "name": "a", "uid": "u1", "resourceVersion": "4"},
}
BOUGHT = EventNote(EventType.NORMAL, "Bought", "Cluster 'x' was bought.")


@pytest.fixture
async def recorder(kube: Kube) -> AsyncIterator[EventRecorder]:
    made = EventRecorder(kube, now=lambda: datetime(2026, 1, 1, tzinfo=UTC), monotonic=lambda: 0.0, instance="me")
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def posted(stub: ApiStub) -> list[dict[str, Any]]:
    return [raw for raw in stub.objects.values() if raw["kind"] == "Event"]


async def test_an_event_says_about_whom_and_what(recorder: EventRecorder, stub: ApiStub) -> None:
    recorder.record(RAW, BOUGHT)
    await recorder.drain()
    (event,) = posted(stub)
    assert event["involvedObject"]["uid"] == "u1"
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "Bought", "Cluster 'x' was bought.")
    assert event["metadata"]["name"].startswith("a.")


async def test_a_repetition_counts_up_the_event_that_is_there(recorder: EventRecorder, stub: ApiStub) -> None:
    for _ in range(3):
        recorder.record(RAW, BOUGHT)
    await recorder.drain()
    assert [event["count"] for event in posted(stub)] == [3]


async def test_about_a_cluster_scoped_object_it_is_told_in_the_default_namespace(
    recorder: EventRecorder, stub: ApiStub
) -> None:
    raw = {**RAW, "kind": "CatalogModel", "metadata": {"name": "a", "uid": "u2"}}
    recorder.record(raw, BOUGHT)
    await recorder.drain()
    assert posted(stub)[0]["metadata"]["namespace"] == "default"


async def test_one_object_cannot_flood_the_cluster_with_events(recorder: EventRecorder, stub: ApiStub) -> None:
    for number in range(BURST + 5):
        recorder.record(RAW, EventNote(EventType.WARNING, "Odd", f"The {number}th."))
    await recorder.drain()
    assert len(posted(stub)) == BURST


async def test_an_event_that_cannot_be_posted_disturbs_nobody(recorder: EventRecorder, stub: ApiStub) -> None:
    stub.answers.append(failure(500))
    recorder.record(RAW, BOUGHT)
    recorder.record(RAW, EventNote(EventType.NORMAL, "Ready", "It is ready."))
    await recorder.drain()
    assert [event["reason"] for event in posted(stub)] == ["Ready"]
