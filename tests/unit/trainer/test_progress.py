"""What is said on stdout, and that a stall is noticed by the thread beside training."""

import io
import json
import threading
from pathlib import Path

import pytest

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.progress import Reporter, Watch
from tunesmith_trainer.testing import tiny_configuration


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
        reporter.step(step, epoch=1.0, loss=3.0 - step, learning_rate=0.1, grad_norm=1.0, tokens=step * 100)
    last = said(out)[-1]
    assert (last["tunesmith"], last["stage"], last["step"], last["totalSteps"]) == ("progress/v1", "Training", 2, 2)
    assert last["loss"] == 1.0
    assert last["droppedRows"] == {"noTrainableTokens": 3}
    assert last["etaSeconds"] == 0
    assert last["tokensPerSecond"] > 0


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


@pytest.mark.parametrize(("stage", "stalled"), [("Training", True), ("Preparing", False)])
def test_only_training_can_stall(stage, stalled):
    reporter, _ = a_reporter(stallAfterSeconds=1e-9)
    reporter.stage(stage)
    assert reporter.heartbeat().stalled is stalled


def test_heartbeats_come_while_training_sits_still_until_the_stall_is_told():
    reporter, out = a_reporter(stallAfterSeconds=0.05)
    reporter.stage("Training")
    told = threading.Event()
    with Watch(reporter, 0.01, lambda _: told.set()):
        assert told.wait(timeout=60)
    beats = [line for line in said(out) if line["tunesmith"] == "heartbeat/v1"]
    assert beats[-1]["stalled"] is True
    assert beats[-1]["lastStep"] == 0
