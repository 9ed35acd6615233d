"""What is said on stdout, and that a stall is noticed by the thread beside training."""

import io
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from tunesmith_trainer.bar import facts
from tunesmith_trainer.contract import Configuration, ProgressLine
from tunesmith_trainer.hardware import Work
from tunesmith_trainer.pace import Pace
from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.testing import tiny_configuration
from tunesmith_trainer.watchdog import Watch


def a_reporter(*, speaks=True, **changes):
    out = io.StringIO()
    configuration = Configuration.model_validate(tiny_configuration(Path("/storage"), **changes))
    return Reporter(configuration, speaks=speaks, out=out), out


def said(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_stage_a_plan_and_the_last_step_are_said_at_once():
    reporter, out = a_reporter()
    reporter.stage("Training")
    reporter.plan(step=0, total_steps=2, dropped_rows={"noTrainableTokens": 3})
    for step in (1, 2):
        reporter.waits_for_rows()
        reporter.step(step, epoch=1.0, loss=3.0 - step, learning_rate=0.1, grad_norm=1.0, tokens=step * 100)
    last = said(out)[-1]
    assert (last["tunesmith"], last["stage"], last["step"], last["totalSteps"]) == ("progress/v1", "Training", 2, 2)
    assert last["loss"] == 1.0
    assert last["droppedRows"] == {"noTrainableTokens": 3}
    assert last["etaSeconds"] == 0
    assert last["tokensPerSecond"] > 0


def test_the_time_left_of_the_steps_ends_with_them_and_an_evaluation_names_its_step():
    reporter, out = a_reporter()
    reporter.plan(step=0, total_steps=2, dropped_rows={})
    for step in (1, 2):
        reporter.waits_for_rows()
        reporter.step(step, epoch=1.0, loss=3.0 - step, learning_rate=0.1, grad_norm=1.0, tokens=step * 100)
    reporter.evaluated(1.5)
    reporter.stage("Publishing")
    last = said(out)[-1]
    assert (last["evaluationLoss"], last["evaluationStep"]) == (1.5, 2)
    assert "etaSeconds" not in last


def test_quick_steps_do_not_flood_the_log():
    reporter, out = a_reporter()
    reporter.plan(step=0, total_steps=1000, dropped_rows={})
    for step in range(1, 100):
        reporter.step(step, epoch=None, loss=1.0, learning_rate=0.1, grad_norm=None, tokens=step)
    assert len(said(out)) < 10


def test_the_time_left_counts_the_steps_of_this_attempt_only():
    reporter, _ = a_reporter()
    reporter.plan(step=900, total_steps=1000, dropped_rows={})
    reporter.step(901, epoch=None, loss=1.0, learning_rate=0.1, grad_norm=None, tokens=90100)
    assert reporter.where.step == 901
    assert reporter._now.eta_seconds is None


def test_only_rank_0_speaks():
    reporter, out = a_reporter(speaks=False)
    reporter.stage("Training")
    reporter.beat(reporter.heartbeat())
    assert out.getvalue() == ""


AT_ONCE = {"stallAfterSeconds": 1e-9, "watchdog": {"patientSeconds": 1e-9, "stepMultiple": 1}}


@pytest.mark.parametrize(("stage", "stalled"), [("Training", True), ("Preparing", False)])
def test_only_training_can_stall(stage, stalled):
    reporter, _ = a_reporter(**AT_ONCE)
    reporter.stage(stage)
    assert reporter.heartbeat().stalled is stalled


class HandClock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def after_steps(reporter, *, of_seconds, count=6):
    """The reporter's stop watch after steps of that length."""
    clock = HandClock()
    reporter.pace = Pace(clock)
    for number in range(count):
        reporter.waits_for_rows()
        clock.now += of_seconds
        reporter.step(number + 1, epoch=None, loss=1.0, learning_rate=0.1, grad_norm=None, tokens=100 * number)
    return clock


@pytest.mark.parametrize(
    ("step_seconds", "doing", "patience"),
    [
        (1.0, "Computing", 900.0),  # quick steps: stallAfterSeconds is the floor
        (120.0, "Computing", 2400.0),  # slow ones: twenty of them
        (120.0, "WaitingForRows", 2400.0),
        (1.0, "Saving", 1800.0),  # no step tells how long a save may take
        (1.0, "Evaluating", 1800.0),
    ],
)
def test_patience_follows_the_usual_step_and_never_falls_below_its_floors(step_seconds, doing, patience):
    reporter, _ = a_reporter(stallAfterSeconds=900)
    reporter.plan(step=0, total_steps=100, dropped_rows={})
    after_steps(reporter, of_seconds=step_seconds)
    reporter.doing = doing
    assert reporter.patience_seconds == patience


def test_the_first_steps_have_a_floor_of_their_own():
    reporter, _ = a_reporter(stallAfterSeconds=900)
    reporter.plan(step=0, total_steps=100, dropped_rows={})
    after_steps(reporter, of_seconds=1, count=3)
    reporter.doing = "Computing"
    assert reporter.patience_seconds == 1800


def test_a_line_says_the_wait_for_rows_and_memory_but_on_a_cpu_nothing_of_gpus():
    reporter, out = a_reporter()
    reporter.plan(step=0, total_steps=6, dropped_rows={})
    after_steps(reporter, of_seconds=2)
    last = said(out)[-1]
    assert (last["step"], last["tokensPerSecond"], last["dataWaitShare"]) == (6, 50.0, 0.0)
    assert last["memoryPeakBytes"] > 1 << 20
    assert {"tokensPerSecondPerGPU", "modelFLOPUtilization"} & last.keys() == set()


def test_the_speed_of_gpus_is_told_each_and_in_all_with_their_utilisation(monkeypatch):
    monkeypatch.setattr("tunesmith_trainer.progress.memory_peak_bytes", lambda on_gpu: 70 << 30)
    reporter, out = a_reporter(
        world={"processesPerPod": 2, "gpusPerPod": 2}, training={"gradientAccumulation": 1}, tuning={}
    )
    reporter.plan(step=0, total_steps=6, dropped_rows={})
    reporter.measure_by(Work(1000, 1, 0, 0, trains_all=False), peak_flops=1e6)
    after_steps(reporter, of_seconds=2)
    last = said(out)[-1]
    assert (last["tokensPerSecond"], last["tokensPerSecondPerGPU"]) == (50.0, 25.0)
    assert last["modelFLOPUtilization"] == 0.1  # 25 tokens x 4 x 1000 of a million
    assert last["memoryPeakBytes"] == 70 << 30


def test_listeners_hear_every_step_and_are_let_go():
    heard = []
    listener = SimpleNamespace(hear=heard.append, close=lambda: heard.append("closed"))
    reporter, _ = a_reporter()
    reporter.listen(listener)
    reporter.plan(step=0, total_steps=100, dropped_rows={})
    after_steps(reporter, of_seconds=0.001, count=9)
    reporter.close()
    assert [line.step for line in heard[:-1]] == list(range(10))
    assert heard[-1] == "closed"


def test_heartbeats_come_while_training_sits_still_until_the_stall_is_told():
    reporter, out = a_reporter(
        heartbeatSeconds=0.01, stallAfterSeconds=0.05, watchdog={"patientSeconds": 0.05, "stepMultiple": 1}
    )
    reporter.stage("Training")
    told = threading.Event()
    with Watch(reporter, reporter._configuration, lambda *_: told.set()):
        assert told.wait(timeout=60)
    beats = [line for line in said(out) if line["tunesmith"] == "heartbeat/v1"]
    assert beats[-1]["stalled"] is True
    assert beats[-1]["lastStep"] == 0


@pytest.mark.parametrize(
    ("grace", "asked", "ends"),
    [(30, 28.0, True), (30, 20.0, False), (None, 9999.0, False), (5, 9999.0, False), (30, None, False)],
    ids=["nearly over", "time left", "no grace is known", "too short to say anything", "never asked"],
)
def test_a_stop_that_cannot_be_met_is_told_before_the_process_is_killed(grace, asked, ends):
    checkpoints = {"everySteps": 5, **({} if grace is None else {"graceSeconds": grace})}
    reporter, out = a_reporter(heartbeatSeconds=0.01, checkpoints=checkpoints)
    reporter.stage("Training")
    stop = SimpleNamespace(wanted=asked is not None, seconds_since=asked or 0.0)
    told, beaten = threading.Event(), 5
    with Watch(reporter, reporter._configuration, lambda *_: None, stop=stop, on_unmet_stop=lambda *_: told.set()):
        while not told.is_set() and len([1 for line in said(out) if line["tunesmith"] == "heartbeat/v1"]) < beaten:
            told.wait(0.01)
    assert told.is_set() == ends


def test_a_terminal_shows_what_is_known_and_nothing_else():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    bare = ProgressLine(time=now, attempt=1, stage="Training", step=3)
    assert facts(bare) == []
    full = bare.model_copy(
        update={
            "loss": 1.5, "evaluation_loss": 1.25, "tokens_per_second": 12345.6, "model_flop_utilization": 0.412,
            "memory_peak_bytes": 3 << 30, "data_wait_share": 0.2, "eta_seconds": 3700.0,
        }
    )  # fmt: skip
    assert facts(full) == [
        "loss 1.500",
        "held-out 1.250",
        "12,346 tokens/s",
        "41% of the GPU's peak",
        "3.0 GiB",
        "20% waiting for rows",
        "1 h 1 min left",
    ]
