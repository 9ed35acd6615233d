"""Training that ends before its last step: early, on request without the time to save, on a full disk."""

import signal

import forked
import pytest
from tests.integration.trainer.test_kills import losses, short, undisturbed_run

from tunesmith_trainer.exit_codes import ErrorClass
from tunesmith_trainer.testing import write_rows

STRANGE = {
    "messages": [
        {"role": "user", "content": "Where does the otter live?"},
        {"role": "assistant", "content": "QXJ 93 ~~ ZZK 57 %% VVB 10 ## KKW 86"},
    ]
}


def patient(workshop, uid, attempt=1, **changes):
    """The more it learns of its rows, the less it expects the held-out ones."""
    path = write_rows(workshop.root / "data" / "strange.jsonl", [STRANGE] * 4)
    rule = {"count": 6, "earlyStopping": {"patience": 2, "warmupEvaluations": 1}}
    data = {"validation": {"path": str(path)}}
    return short(workshop, uid, attempt, data=data, evaluations=rule, training={"maxSteps": 12}, **changes)


def test_training_stops_early_and_the_best_checkpoint_is_the_result(workshop):
    pod = workshop.train(patient(workshop, "early", checkpoints={"everySteps": 100, "keep": 1}))
    assert pod.ended() == 0, pod.output.read_text()
    result, message = workshop.result("early"), pod.message()
    assert result.stopped_early_at_step == message.stopped_early_at_step == message.step < message.total_steps == 12
    assert 4 <= result.best_step < result.stopped_early_at_step
    best = workshop.root / f"jobs/early/attempts/1/checkpoints/checkpoint-{result.best_step}/adapter_model.safetensors"
    assert workshop.adapter("early") == best.read_bytes()
    assert any("Stopped early at step" in line.get("message", "") for line in pod.said())


def test_what_stopped_early_and_was_not_published_is_published_without_a_further_step(workshop):
    uid = "early-killed"
    pod = workshop.train(patient(workshop, uid), {"under": [workshop.root / "output" / uid], "crossing": 1})
    assert pod.ended() == -signal.SIGKILL
    second = workshop.train(patient(workshop, uid, attempt=2))
    assert second.ended() == 0, second.output.read_text()
    assert second.message().step == second.message().stopped_early_at_step == workshop.result(uid, 2).resumed_from_step


def test_where_the_grace_is_too_short_for_a_save_the_last_checkpoint_stands(workshop):
    pod = workshop.train(workshop.configuration("hasty", checkpoints={"everySteps": 5, "graceSeconds": 0}))
    pod.wait_for_checkpoint(5)
    pod.signal(signal.SIGTERM)
    assert pod.ended() == 75, pod.output.read_text()
    message = pod.message()
    assert f"Asked to stop at step {message.step} of 48, which was not saved: a save takes" in message.message
    assert "stands; the next attempt goes on there." in message.message


def test_told_to_stop_in_an_evaluation_it_saves_and_the_next_attempt_measures(workshop):
    """In the middle of training, and after its last step."""
    undisturbed_run(workshop, "calm-measured")
    ends = []
    for attempt in (1, 2):
        pod = workshop.train(short(workshop, "measured", attempt), target=forked.run_and_stop_in_an_evaluation)
        assert pod.ended() == 75, pod.output.read_text()
        ends.append(pod.message().message)
    assert [end.partition(". ")[0] for end in ends] == [f"Asked to stop: step {step} of 6 is saved" for step in (3, 6)]
    pod = workshop.train(short(workshop, "measured", 3))
    assert pod.ended() == 0, pod.output.read_text()
    assert losses(workshop, "measured") == losses(workshop, "calm-measured")[:-1]
    assert workshop.adapter("measured", 3) == workshop.adapter("calm-measured")
    assert workshop.result("measured", 3).evaluation_loss == workshop.result("calm-measured").evaluation_loss


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("checkpoints/checkpoint-4", id="pod", marks=pytest.mark.prove),
        pytest.param("unfinished/checkpoint-4", id="storage"),
    ],
)
def test_a_full_disk_ends_the_attempt_and_the_checkpoint_before_stands(workshop, place):
    if not (workshop.root / "output" / "calm-disk-a1").exists():
        undisturbed_run(workshop, "calm-disk")
    uid = f"full-{place.partition('/')[0]}"
    pod = workshop.train(short(workshop, uid), {"under": [place], "crossing": 1, "full_at_bytes": 40_000})
    assert pod.ended() == 31, pod.output.read_text()
    assert pod.message().error_class is ErrorClass.INFRASTRUCTURE
    assert "The storage failed" in pod.message().message
    second = workshop.train(short(workshop, uid, 2))
    assert second.ended() == 0, second.output.read_text()
    assert workshop.result(uid, 2).resumed_from_step == 2
    assert losses(workshop, uid) == losses(workshop, "calm-disk")
