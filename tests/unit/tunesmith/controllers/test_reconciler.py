"""One pass: observe, decide, status, actions, in this order and never otherwise."""

from __future__ import annotations

import pytest

from tunesmith.planning.actions import DeleteObject, SetMetadata
from tunesmith.planning.decision import Decision, ErrorClass, EventNote, EventType, Failure

from .conftest import Buy, Look, Shell, ToySeen, ToyStatus, a_resource

FAILURE = Failure(ErrorClass.UNAVAILABLE, "not now")


async def test_the_status_is_written_before_anything_is_bought(shell: Shell) -> None:
    order: list[str] = []
    shell.kube.before["patch_status"] = lambda: order.append(f"status, bought {len(shell.toy.acted)}")
    shell.toy.decision = lambda seen: Decision(ToyStatus(word="buying"), actions=(Buy("cluster"),))
    await shell.reconciler.reconcile(shell.key)
    assert order == ["status, bought 0"]
    assert shell.toy.acted == [Buy("cluster")]
    assert shell.stored()["status"]["word"] == "buying"


async def test_a_failed_status_write_ends_the_pass_before_anything_outside_is_touched(shell: Shell) -> None:
    shell.kube.before["patch_status"] = lambda: shell.kube.put(a_resource())  # somebody else was faster
    shell.toy.decision = lambda seen: Decision(ToyStatus(word="buying"), actions=(Buy("cluster"),))
    result = await shell.reconciler.reconcile(shell.key)
    assert (result.outcome, result.again_after_seconds) == ("conflict", 0.0)
    assert shell.toy.acted == []
    assert shell.known() == shell.stored()  # the next pass decides from what is true


async def test_a_discarded_pass_keeps_the_outcomes_for_the_next_one(shell: Shell) -> None:
    shell.toy.decision = lambda seen: Decision(
        ToyStatus(word="1"), actions=() if seen.around.outcomes else (Look("a"),)
    )
    await shell.reconciler.reconcile(shell.key)
    shell.toy.decision = lambda seen: Decision(ToyStatus(word="2"))
    shell.kube.before["patch_status"] = lambda: shell.kube.put(a_resource())
    assert (await shell.reconciler.reconcile(shell.key)).outcome == "conflict"
    await shell.reconciler.reconcile(shell.key)
    assert [outcome.value for outcome in shell.toy.seen[-1].around.outcomes] == ["done"]


async def test_nothing_is_written_when_nothing_differs(shell: Shell) -> None:
    await shell.reconciler.reconcile(shell.key)
    before = shell.kube.writes()
    assert before == ["patch_status"]
    result = await shell.reconciler.reconcile(shell.key)
    assert shell.kube.writes() == before
    assert result.outcome == "settled"


async def test_a_written_status_is_looked_at_again_at_once_because_our_own_write_is_no_news(shell: Shell) -> None:
    result = await shell.reconciler.reconcile(shell.key)
    assert (result.outcome, result.again_after_seconds) == ("written", 0.0)


async def test_a_status_that_never_comes_to_rest_is_slowed_down(shell: Shell) -> None:
    shell.toy.decision = lambda seen: Decision(ToyStatus(word=str(len(shell.toy.seen))))
    results = [await shell.reconciler.reconcile(shell.key) for _ in range(8)]
    assert results[-1].outcome == "restless"
    assert results[-1].again_after_seconds == 5.0


async def test_the_first_action_that_fails_ends_the_pass(shell: Shell) -> None:
    shell.toy.failing["Look"] = FAILURE
    shell.toy.decision = lambda seen: Decision(ToyStatus(), actions=(Look("a"), Buy("b")))
    result = await shell.reconciler.reconcile(shell.key)
    assert shell.toy.acted == [Look("a")]
    assert result.outcome == "action_failed"


async def test_outcomes_and_failures_are_in_the_next_observation(shell: Shell) -> None:
    shell.toy.failing["Buy"] = FAILURE
    shell.toy.decision = lambda seen: Decision(
        ToyStatus(), actions=() if seen.around.outcomes else (Look("a"), Buy("b"))
    )
    await shell.reconciler.reconcile(shell.key)
    await shell.reconciler.reconcile(shell.key)
    around = shell.toy.seen[-1].around
    assert [(outcome.value, outcome.failure) for outcome in around.outcomes] == [("done", None), (None, FAILURE)]
    record = around.failure_of(Buy("b"))
    assert record is not None
    assert (record.count, record.failure) == (1, FAILURE)


async def test_a_failed_action_is_held_back_and_then_tried_again_and_counted(shell: Shell) -> None:
    shell.toy.failing["Look"] = FAILURE
    shell.toy.decision = lambda seen: Decision(ToyStatus(), actions=(Look("a"),))
    await shell.reconciler.reconcile(shell.key)
    held = await shell.reconciler.reconcile(shell.key)
    assert len(shell.toy.acted) == 1
    assert held.again_after_seconds == 0.5
    shell.clock.seconds += 0.5
    await shell.reconciler.reconcile(shell.key)
    assert len(shell.toy.acted) == 2
    record = shell.toy.seen[-1].around.failure_of(Look("a"))
    assert record is not None
    del shell.toy.failing["Look"]
    shell.clock.seconds += 5
    await shell.reconciler.reconcile(shell.key)
    await shell.reconciler.reconcile(shell.key)
    assert shell.toy.seen[-1].around.failure_of(Look("a")) is None


async def test_metadata_written_after_the_status_carries_the_version_of_that_write(shell: Shell) -> None:
    action = SetMetadata(finalizers=("tunesmith.dev/finalizer",))
    shell.toy.decision = lambda seen: Decision(ToyStatus(word="x"), actions=() if seen.around.outcomes else (action,))
    await shell.reconciler.reconcile(shell.key)
    assert shell.stored()["metadata"]["finalizers"] == ["tunesmith.dev/finalizer"]
    assert shell.known()["metadata"]["finalizers"] == ["tunesmith.dev/finalizer"]
    await shell.reconciler.reconcile(shell.key)
    assert shell.toy.seen[-1].around.outcomes[0].failure is None


async def test_finalizers_are_not_written_over_a_change_that_nobody_decided_on(shell: Shell) -> None:
    action = SetMetadata(finalizers=("tunesmith.dev/finalizer",))
    shell.kube.before["merge_patch"] = lambda: shell.kube.put(a_resource(word="x"))
    shell.toy.decision = lambda seen: Decision(ToyStatus(word="x"), actions=() if seen.around.outcomes else (action,))
    await shell.reconciler.reconcile(shell.key)
    assert "finalizers" not in shell.stored()["metadata"]


async def test_a_user_who_annotates_all_the_time_does_not_hold_a_finalizer_up(shell: Shell) -> None:
    """Every write of theirs outruns ours once; none of that counts as a failure, so no pause grows."""
    action = SetMetadata(finalizers=("tunesmith.dev/finalizer",))

    def wanted(seen: ToySeen) -> Decision[ToyStatus]:
        return Decision(ToyStatus(word="x"), actions=() if seen.raw["metadata"].get("finalizers") else (action,))

    shell.toy.decision = wanted
    for _ in range(20):
        shell.kube.before["merge_patch"] = lambda: shell.kube.put(a_resource(word="x"))
        result = await shell.reconciler.reconcile(shell.key)
        assert (result.outcome, result.again_after_seconds) == ("conflict", 0.0)
        assert shell.known() == shell.stored()
    assert shell.toy.seen[-1].around.failures == {}
    await shell.reconciler.reconcile(shell.key)
    assert shell.stored()["metadata"]["finalizers"] == ["tunesmith.dev/finalizer"]


async def test_what_was_done_before_metadata_was_outrun_is_known_to_the_next_pass(shell: Shell) -> None:
    action = SetMetadata(finalizers=())
    shell.toy.decision = lambda seen: Decision(ToyStatus(word="x"), actions=(Look("a"), action))
    shell.kube.before["merge_patch"] = lambda: shell.kube.put(a_resource(word="x"))
    await shell.reconciler.reconcile(shell.key)
    await shell.reconciler.reconcile(shell.key)
    assert [outcome.action for outcome in shell.toy.seen[-1].around.outcomes] == [Look("a")]


async def test_events_are_told_only_after_the_status_was_written(shell: Shell) -> None:
    note = EventNote(EventType.NORMAL, "Bought", "It was bought.")
    shell.toy.decision = lambda seen: Decision(ToyStatus(word="x"), events=(note,))
    shell.kube.before["patch_status"] = lambda: shell.kube.put(a_resource())
    await shell.reconciler.reconcile(shell.key)
    assert shell.events == []
    await shell.reconciler.reconcile(shell.key)
    assert shell.events == [note]


async def test_a_spec_that_cannot_be_read_is_refused_once(shell: Shell) -> None:
    shell.cache.observe(shell.kube.put({**a_resource(), "spec": {"broken": True}}))
    assert (await shell.reconciler.reconcile(shell.key)).outcome == "invalid"
    assert (await shell.reconciler.reconcile(shell.key)).outcome == "invalid"
    assert shell.kube.writes() == ["patch_status"]
    assert shell.toy.seen == []


async def test_a_resource_that_is_gone_is_forgotten(shell: Shell) -> None:
    shell.cache.remove(shell.known())
    assert (await shell.reconciler.reconcile(shell.key)).outcome == "gone"
    assert shell.toy.forgotten == [shell.key]


async def test_a_resource_that_vanished_under_the_pass_leaves_the_cache(shell: Shell) -> None:
    shell.kube.objects.clear()
    assert (await shell.reconciler.reconcile(shell.key)).outcome == "conflict"
    assert (await shell.reconciler.reconcile(shell.key)).outcome == "gone"


async def test_a_new_object_of_the_same_name_inherits_no_failures(shell: Shell) -> None:
    shell.toy.failing["Look"] = FAILURE
    shell.toy.decision = lambda seen: Decision(ToyStatus(), actions=(Look("a"),))
    await shell.reconciler.reconcile(shell.key)
    successor = a_resource()
    successor["metadata"]["uid"] = "another"
    shell.cache.observe(shell.kube.put(successor))
    await shell.reconciler.reconcile(shell.key)
    assert shell.toy.seen[-1].around.failures == {}


async def test_what_is_unexpected_is_raised_for_the_queue_to_back_off(shell: Shell) -> None:
    def broken(seen: object) -> Decision[ToyStatus]:
        raise ZeroDivisionError

    shell.toy.decision = broken
    with pytest.raises(ZeroDivisionError):
        await shell.reconciler.reconcile(shell.key)


async def test_deleting_what_is_already_gone_counts_as_done(shell: Shell) -> None:
    action = DeleteObject(None, "v1", "Pod", "team", "nobody")
    shell.toy.decision = lambda seen: Decision(ToyStatus(), actions=() if seen.around.outcomes else (action,))
    await shell.reconciler.reconcile(shell.key)
    await shell.reconciler.reconcile(shell.key)
    assert shell.toy.seen[-1].around.outcomes[0].failure is None
