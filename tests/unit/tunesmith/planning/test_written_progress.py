"""What a job's status says of its training: nothing that does not hold now, and all that a person asks."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.unit.tunesmith.planning.job_builders import (
    GRANT,
    NOON,
    after,
    circumstances,
    running,
    settled,
    the_batch_job,
    the_pods,
    with_exits,
    with_workload,
)

from tunesmith.planning.circumstances import Known
from tunesmith.planning.contract import Heartbeat, Progress
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.progress import LossPoint, Note, Report

AT_STEP_57: dict[str, Any] = {
    "step": 57,
    "total_steps": 100,
    "epoch": 1.14,
    "loss": 1.5,
    "evaluation_loss": 1.25,
    "learning_rate": 1e-4,
    "grad_norm": 0.75,
    "tokens_per_second": 12000.4,
    "model_flop_utilization": 0.2512,
    "data_wait_share": 0.03,
    "memory_peak_bytes": 60 << 30,
    "eta_seconds": 430.0,
}


def said(seconds: float = 0, attempt: int = 1, **changes: Any) -> Progress:
    """A line of rank 0, so long after noon."""
    facts = {"time": NOON + timedelta(seconds=seconds), "attempt": attempt, "stage": "Training", **AT_STEP_57}
    return Progress.model_validate({**facts, **changes})


def starting(seconds: float, attempt: int, **changes: Any) -> Progress:
    """A line of an attempt that does not know yet where it goes on."""
    facts = {"time": NOON + timedelta(seconds=seconds), "attempt": attempt, "stage": "Starting", "step": 0}
    return Progress.model_validate({**facts, **changes})


def heard(seen, line: Progress, **report: Any):
    """The next observation, with this as the newest line."""
    facts = {"progress": line, "since_monotonic": seen.around.monotonic, **report}
    return after(seen, decide(seen), report=Report(seen.attempt, **facts))


def status_of(seen):
    return decide(seen).status


def second_attempt(seen):
    """The first one has ended by a fault, and the second one runs."""
    broke = with_exits(seen, (31,), (31,))
    waits = with_workload(after(broke, decide(broke), report=None), answer=Known(GRANT, 0))
    granted = after(waits, decide(waits), answer=Known(None, 0))
    return settled(with_workload(granted, jobs=[the_batch_job(granted)], pods=the_pods(granted)))


def test_all_that_a_line_says_of_a_step_is_in_the_status():
    progress = status_of(heard(running(), said())).progress
    assert (progress.attempt, progress.step, progress.total_steps, progress.percent) == (1, 57, 100, 57)
    assert (progress.loss, progress.evaluation_loss) == (Decimal("1.5"), Decimal("1.25"))
    assert (progress.learning_rate, progress.grad_norm) == (Decimal("0.0001"), Decimal("0.75"))
    assert (progress.tokens_per_second, progress.eta_seconds) == (12000, 430)
    assert (progress.model_flop_utilization, progress.data_wait_share) == (Decimal("0.2512"), Decimal("0.03"))
    assert progress.memory_peak_bytes == 60 << 30


def test_while_a_job_waits_for_its_next_attempt_it_has_steps_and_neither_a_rate_nor_a_time_left():
    broke = with_exits(heard(running(), said()), (31,), (31,))
    status = status_of(broke)
    assert (status.progress.step, status.progress.loss) == (57, Decimal("1.5"))
    progress = status.progress
    assert (progress.eta_seconds, progress.tokens_per_second, progress.model_flop_utilization) == (None, None, None)
    assert status.stage is None


def test_a_failed_job_says_how_far_it_came_and_no_time_left():
    failed = with_exits(heard(running(), said()), (15, "Diverged"), (15, "Diverged"))
    status = status_of(failed)
    assert status.failure.reason == "Diverged"
    assert (status.progress.step, status.progress.eta_seconds) == (57, None)


def test_an_attempt_that_does_not_know_yet_where_it_goes_on_takes_no_step_back():
    seen = heard(second_attempt(heard(running(), said())), starting(60, 2))
    assert seen.attempt == 2
    status = status_of(seen)
    assert (status.stage, status.progress.step, status.progress.percent) == ("Starting", 57, 57)
    assert (status.progress.attempt, status.progress.eta_seconds) == (2, None)


def test_a_resumed_attempt_counts_from_its_checkpoint_and_keeps_the_last_evaluation():
    seen = heard(second_attempt(heard(running(), said())), starting(60, 2, total_steps=100, step=50))
    progress = status_of(seen).progress
    assert (progress.step, progress.loss, progress.eta_seconds) == (50, None, None)
    assert progress.evaluation_loss == Decimal("1.25")


def test_a_log_that_is_read_anew_from_its_beginning_takes_nothing_back():
    now = heard(running(), said(100), losses=(LossPoint(1, 3.0), LossPoint(57, 1.5)))
    replayed = heard(now, starting(1, 1), losses=(LossPoint(1, 3.0),))
    assert status_of(replayed) == status_of(now)


def test_an_operator_that_has_just_begun_writes_nothing_before_it_hears_more():
    now = heard(running(), said(100))
    known = status_of(now)
    for report in (None, Report(1, since_monotonic=now.around.monotonic)):
        assert status_of(after(now, decide(now), report=report)) == known


def test_a_clock_that_was_set_back_does_not_stop_the_status():
    now = heard(running(), said(3600))
    assert status_of(heard(now, said(0, step=58))).progress.step == 58


def test_losses_on_held_out_rows_stand_in_the_curve_at_their_steps():
    points = (LossPoint(0, None, 3.5), LossPoint(1, 3.0), LossPoint(57, 1.5, 1.25))
    history = status_of(heard(running(), said(), losses=points)).loss_history
    assert [(p.step, p.loss, p.evaluation_loss) for p in history] == [
        (0, None, Decimal("3.5")),
        (1, Decimal("3"), None),
        (57, Decimal("1.5"), Decimal("1.25")),
    ]


class TestNotes:
    SPIKE = Note(NOON + timedelta(seconds=3), "Step 40: the loss jumped to 9; over the last 32 steps it was 1.5.")
    RESUMED = Note(NOON, "Going on from step 30, 'x'.")

    def test_what_a_person_should_know_is_an_event_once_and_the_last_stands_in_the_status(self):
        seen = heard(running(), said(10), notes=(self.RESUMED, self.SPIKE))
        decision = decide(seen)
        told = [note.message for note in decision.events if note.reason == "TrainerNote"]
        assert told == [self.RESUMED.message, self.SPIKE.message]
        assert decision.status.trainer_note.message == self.SPIKE.message
        later = heard(seen, said(20), notes=(self.RESUMED, self.SPIKE))
        assert decide(later).events == ()

    def test_a_log_that_is_replayed_brings_no_news(self):
        seen = heard(running(), said(10), notes=(self.RESUMED, self.SPIKE))
        for notes in ((self.RESUMED,), (self.RESUMED, self.SPIKE), ()):
            assert decide(heard(seen, said(20), notes=notes)).events == ()

    def test_the_last_words_before_an_end_are_told_too(self):
        seen = heard(running(), said(10))
        broke = with_exits(
            after(seen, decide(seen), report=Report(1, progress=said(11), notes=(self.SPIKE,))), (31,), (31,)
        )
        assert [note.reason for note in decide(broke).events] == ["TrainerNote", "Restarting"]


def test_a_trainer_that_says_it_sits_still_may_end_itself_and_name_who_is_behind():
    still = Heartbeat(time=NOON, attempt=1, stage="Training", last_step=57, stalled=True)
    seen = running()
    monotonic = seen.around.monotonic
    report = Report(1, heartbeat=still, heard_monotonic=monotonic, stalled_monotonic=monotonic)
    assert decide(after(seen, decide(seen), report=report)).status.admission is not None
    given_up = decide(after(seen, decide(seen), report=report, around=circumstances(1.5)))
    assert given_up.status.admission is None
    itself = with_exits(
        after(seen, decide(seen), report=report), (21, "Stall"), (75,), said={"message": "Rank 3 computes."}
    )
    assert "Rank 3 computes." in decide(itself).events[-1].message
