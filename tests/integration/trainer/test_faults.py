"""Attempts that something happens to: nothing is lost, and nothing is published twice or by the wrong one."""

import os
import shutil
import signal

import pytest
from safetensors.torch import load_file

from tunesmith_trainer.exit_codes import ErrorClass


@pytest.fixture(scope="module")
def killed(workshop, undisturbed):
    """A job whose first attempt was killed without grace in the middle; its storage."""
    pod = workshop.train(workshop.configuration("killed"))
    pod.wait_for_checkpoint(10)
    pod.signal(signal.SIGKILL)
    assert pod.ended() == -signal.SIGKILL
    assert not workshop.output("killed").exists()
    return workshop.root / "jobs" / "killed"


def resumed_from(pod):
    return next(line["message"] for line in pod.said() if "Going on from step" in line.get("message", ""))


def copied(killed, uid):
    shutil.copytree(killed, killed.with_name(uid))
    return killed.with_name(uid)


def test_a_killed_run_goes_on_and_ends_bit_equal(workshop, undisturbed, killed):
    copied(killed, "revived")
    pod = workshop.train(workshop.configuration("revived", attempt=2))
    assert pod.ended() == 0, pod.output.read_text()
    result, wanted = workshop.result("revived", 2), workshop.result("undisturbed")
    assert result.resumed_from_step >= 10
    assert workshop.adapter("revived", 2) == workshop.adapter("undisturbed")
    assert (result.final_loss, result.first_loss, result.tokens) == (
        wanted.final_loss,
        wanted.first_loss,
        wanted.tokens,
    )
    assert result.evaluation_loss == wanted.evaluation_loss


def test_damaged_checkpoints_are_told_and_passed_over(workshop, undisturbed, killed):
    job = copied(killed, "damaged")
    newest = max(
        (job / "attempts/1/checkpoints").glob("checkpoint-*/COMPLETE.json"), key=lambda path: path.stat().st_mtime
    )
    os.truncate(newest.parent / "optimizer.pt", 100)
    (job / "attempts/1/checkpoints/checkpoint-40").mkdir()
    pod = workshop.train(workshop.configuration("damaged", attempt=2))
    assert pod.ended() == 0, pod.output.read_text()
    told = [line["message"] for line in pod.said() if "is not used" in line.get("message", "")]
    assert len(told) == 2
    assert "checkpoint-40' is not used: it has no COMPLETE.json" in told[0]
    aside = {path.name for path in (job / "damaged").glob("*/REASON.json") for path in [path.parent]}
    assert aside == {"a1-checkpoint-40", f"a1-{newest.parent.name}"}
    assert "optimizer.pt has 100 bytes" in told[1]
    assert workshop.adapter("damaged", 2) == workshop.adapter("undisturbed")


def test_asked_to_stop_it_saves_ends_with_75_and_the_next_attempt_ends_bit_equal(workshop, undisturbed):
    pod = workshop.train(workshop.configuration("stopped"))
    pod.wait_for_checkpoint(5)
    pod.signal(signal.SIGTERM)
    assert pod.ended() == 75, pod.output.read_text()
    message = pod.message()
    assert message.error_class is ErrorClass.PREEMPTED
    assert f"step {message.step} of 48 is saved" in message.message
    successor = workshop.train(workshop.configuration("stopped", attempt=2))
    assert successor.ended() == 0, successor.output.read_text()
    assert f"Going on from step {message.step}," in resumed_from(successor)
    assert workshop.adapter("stopped", 2) == workshop.adapter("undisturbed")


def test_an_attempt_that_was_cut_off_publishes_nothing_beside_its_successor(workshop):
    older = workshop.train(workshop.configuration("fenced"))
    older.wait_for_checkpoint(5)
    older.signal(signal.SIGSTOP)  # its node is gone, for all that anybody can see
    newer = workshop.train(workshop.configuration("fenced", attempt=2))
    newer.wait_for_checkpoint(5)
    older.signal(signal.SIGCONT)
    assert older.ended() == 76, older.output.read_text()
    assert "Attempt 2 of this job exists" in older.message().message
    assert newer.ended() == 0, newer.output.read_text()
    assert not workshop.output("fenced", 1).exists()
    assert workshop.result("fenced", 2).attempt == 2


def test_an_attempt_that_was_begun_before_is_not_begun_again(workshop, killed):
    pod = workshop.train(workshop.configuration("killed", attempt=1))
    assert pod.ended() == 76
    assert "was begun before" in pod.message().message


def test_a_result_whose_message_was_lost_is_found_without_gpus(workshop, undisturbed):
    pod = workshop.train(workshop.configuration("undisturbed", attempt=2, world={"gpusPerPod": 1}))
    assert pod.ended() == 0, pod.output.read_text()
    message = pod.message()
    assert message.path == str(workshop.output("undisturbed", 1))
    assert message.result_sha256 == undisturbed.message().result_sha256
    assert not workshop.output("undisturbed", 2).exists()


def test_a_damaged_result_does_not_count(workshop, undisturbed):
    shutil.copytree(workshop.output("undisturbed"), workshop.output("spoilt"))
    os.truncate(workshop.output("spoilt") / "adapter_model.safetensors", 100)
    pod = workshop.train(workshop.configuration("spoilt", attempt=2))
    assert pod.ended() == 0, pod.output.read_text()
    assert any("adapter_model.safetensors has 100 bytes" in line.get("message", "") for line in pod.said())
    assert workshop.adapter("spoilt", 2) == workshop.adapter("undisturbed")


def test_what_was_trained_and_not_published_needs_no_further_step(workshop, undisturbed):
    shutil.copytree(workshop.root / "jobs" / "undisturbed", workshop.root / "jobs" / "unpublished")
    pod = workshop.train(workshop.configuration("unpublished", attempt=2))
    assert pod.ended() == 0, pod.output.read_text()
    assert workshop.result("unpublished", 2).resumed_from_step == 48
    assert workshop.adapter("unpublished", 2) == workshop.adapter("undisturbed")


def two_pods(workshop, document, sharding):
    """As the pods of a job start. Sharding on CPUs is known to `group` alone, so there each pod is its one process."""
    if sharding == "FSDP2":
        return workshop.group(document, TUNESMITH_TEST_SHARD_ON_CPU="1")
    place = {"TUNESMITH_MASTER_ADDR": "localhost"}
    second = workshop.launch(document, JOB_COMPLETION_INDEX="1", **place)
    return workshop.launch(document, JOB_COMPLETION_INDEX="0", **place), second


@pytest.mark.parametrize("sharding", ["DDP", "FSDP2"])
def test_two_pods_stop_together_and_one_process_goes_on_with_the_same_batch(workshop, undisturbed, sharding):
    uid, port = f"pods-{sharding.lower()}", workshop.free_port()
    document = workshop.configuration(uid, world={"pods": 2, "masterPort": port, "sharding": sharding})
    document["training"] |= {"gradientAccumulation": 1}
    first, second = two_pods(workshop, document, sharding)
    first.wait_for_checkpoint(5)
    second.signal(signal.SIGTERM)
    assert (first.ended(), second.ended()) == (75, 75), first.output.read_text() + second.output.read_text()
    assert first.message().step == second.message().step
    assert f"step {first.message().step} of 48 is saved" in first.message().message
    assert second.said() == []
    assert not any("not sharded" in line.get("message", "") for line in first.said())

    alone = workshop.train(workshop.configuration(uid, attempt=2))
    assert alone.ended() == 0, alone.output.read_text()
    result, wanted = workshop.result(uid, 2), workshop.result("undisturbed")
    assert result.resumed_from_step == first.message().step
    assert result.final_loss == pytest.approx(wanted.final_loss, abs=1e-5)
    assert close(workshop.output(uid, 2), workshop.output("undisturbed"))


def close(here, there):
    ours, theirs = (load_file(path / "adapter_model.safetensors") for path in (here, there))
    return all((ours[name] - theirs[name]).abs().max() < 1e-4 for name in theirs)
