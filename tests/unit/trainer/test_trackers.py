"""Trackers get what training says, through the real libraries, and can neither stop nor delay it."""

import struct
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from tunesmith_trainer.contract import Configuration, ProgressLine
from tunesmith_trainer.contract.surroundings import Tracker
from tunesmith_trainer.listeners import listeners
from tunesmith_trainer.testing import tiny_configuration
from tunesmith_trainer.trackers.courier import Courier
from tunesmith_trainer.trackers.metrics import point_of
from tunesmith_trainer.trackers.mlflow_run import JOB_TAG, MLflowRun
from tunesmith_trainer.trackers.run_facts import flat
from tunesmith_trainer.trackers.tensorboard_run import TensorBoardRun
from tunesmith_trainer.trackers.wandb_run import WandBRun

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_line(step, *, loss=None):
    time = NOW + timedelta(seconds=step)
    return ProgressLine(
        time=time, attempt=1, stage="Training", step=step, loss=10.0 - step if loss is None else loss, learning_rate=0.1
    )


def a_configuration(root=Path("/storage"), **changes):
    return Configuration.model_validate(tiny_configuration(root, **changes))


def told_to(destination, steps):
    """An attempt that told these steps to the tracker; returns once the tracker has them all."""
    courier = Courier("tracker", destination, seconds_to_finish=120)
    for step in steps:
        courier.hear(a_line(step))
    courier.close()
    assert not courier._thread.is_alive()
    assert courier.lost == 0


class Kept:
    """A tracker that keeps what it got, after as many failures as it is told."""

    def __init__(self, *, fails=0, waits_for=None):
        self.got, self.opened_at, self.closed = [], None, False
        self.asked = threading.Event()
        self._fails, self._waits_for = fails, waits_for

    def open(self, first_step):
        self.opened_at = first_step

    def log(self, point):
        self.asked.set()
        if self._waits_for is not None:
            self._waits_for.wait(60)
        if self._fails:
            self._fails -= 1
            raise ConnectionError("https://user:secret@host")
        self.got.append(point.step)

    def close(self):
        self.closed = True


def test_training_goes_on_and_ends_while_a_tracker_hangs():
    let_go = threading.Event()
    tracker = Kept(waits_for=let_go)
    courier = Courier("tracker", tracker, seconds_to_finish=0.01)
    courier.hear(a_line(1))
    assert tracker.asked.wait(60)
    for step in range(2, 500):
        courier.hear(a_line(step))
    courier.close()
    assert tracker.got == []  # all of training passed while the first point was still on its way
    let_go.set()
    courier._thread.join(60)
    assert tracker.got == list(range(1, 500))


def test_a_failure_is_tried_again_and_no_secret_of_it_is_told(caplog):
    tracker = Kept(fails=2)
    courier = Courier("tracker", tracker, first_pause_seconds=0, seconds_to_finish=60)
    for step in (1, 2):
        courier.hear(a_line(step))
    while len(tracker.got) < 2:
        assert courier._thread.is_alive()
        threading.Event().wait(0.001)
    courier.close()
    assert (tracker.got, tracker.closed, tracker.opened_at) == ([1, 2], True, 1)
    assert "ConnectionError" in caplog.text
    assert "secret" not in caplog.text


def test_a_full_queue_loses_the_oldest_points_and_says_how_many(caplog):
    let_go = threading.Event()
    tracker = Kept(waits_for=let_go)
    courier = Courier("tracker", tracker, longest_queue=3, seconds_to_finish=60)
    courier.hear(a_line(1))
    assert tracker.asked.wait(60)
    for step in range(2, 8):
        courier.hear(a_line(step))
    let_go.set()
    courier.close()
    assert tracker.got == [1, 5, 6, 7]
    assert "did not take 3 points" in caplog.text


def test_a_line_that_brings_no_new_number_is_no_point():
    tracker = Kept()
    courier = Courier("tracker", tracker, seconds_to_finish=60)
    courier.hear(ProgressLine(time=NOW, attempt=1, stage="Starting", step=0))
    courier.hear(a_line(1))
    courier.hear(a_line(1).model_copy(update={"message": "a spike", "time": NOW}))
    courier.close()
    assert tracker.got == [1]
    assert point_of(a_line(1)).values == {"train/loss": 9.0, "train/learning_rate": 0.1}


def test_a_loss_on_held_out_rows_is_one_point_where_it_was_measured():
    points = []
    tracker = Kept()
    tracker.log = lambda point: points.append((point.step, dict(point.values)))
    courier = Courier("tracker", tracker, seconds_to_finish=60)
    measured = {"evaluation_loss": 2.5, "evaluation_step": 1}
    courier.hear(a_line(1))
    courier.hear(a_line(1).model_copy(update=measured))
    courier.hear(a_line(2).model_copy(update=measured))
    courier.close()
    rate = {"train/learning_rate": 0.1}
    assert points == [(1, {"train/loss": 9.0, **rate}), (1, {"eval/loss": 2.5}), (2, {"train/loss": 8.0, **rate})]


def test_tensorboard_has_the_curve_and_a_resume_replaces_what_it_does_again(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = TensorBoardRun(Tracker(type="TensorBoard"), a_configuration(tmp_path))
    assert run.directory == tmp_path / "jobs/job-1/tensorboard"
    told_to(run, range(1, 8))
    told_to(TensorBoardRun(Tracker(type="TensorBoard"), a_configuration(tmp_path)), range(5, 11))
    curve = EventAccumulator(str(run.directory)).Reload()
    assert [(event.step, event.value) for event in curve.Scalars("train/loss")] == [(n, 10.0 - n) for n in range(1, 11)]


def test_mlflow_has_one_run_for_all_attempts_with_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    tracker = Tracker(type="MLflow", project="otters", directory=str(tmp_path / "mlflow"))
    told_to(MLflowRun(tracker, a_configuration(tmp_path)), [1, 2, 3])
    told_to(MLflowRun(tracker, a_configuration(tmp_path, attempt=2)), [3, 4])
    client = MlflowClient(tracking_uri=f"file://{tmp_path}/mlflow")
    (run,) = client.search_runs([client.get_experiment_by_name("otters").experiment_id])
    assert (run.data.tags[JOB_TAG], run.info.status) == ("job-1", "FINISHED")
    assert run.data.params["training.learningRate"] == "0.02"
    history = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "train/loss")]
    assert history == [(1, 9.0), (2, 8.0), (3, 7.0), (3, 7.0), (4, 6.0)]


def test_wandb_has_the_run_under_the_jobs_name(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    from wandb.proto import wandb_internal_pb2

    tracker = Tracker(type="WandB", project="otters", entity="river", directory=str(tmp_path / "wandb-files"))
    told_to(WandBRun(tracker, a_configuration(tmp_path)), [1, 2, 3])
    (written,) = (tmp_path / "wandb-files").rglob("*.wandb")
    losses, run = [], None
    for data in records_of(written.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "run":
            run = record.run
        if record.WhichOneof("record_type") == "history":
            items = {(item.key or "/".join(item.nested_key)): item.value_json for item in record.history.item}
            losses.append((int(items["step"]), float(items["train/loss"])))
    assert (run.run_id, run.project, run.entity) == ("job-1", "otters", "river")
    assert losses == [(1, 9.0), (2, 8.0), (3, 7.0)]


def records_of(log):
    """The records of a file in LevelDB's log format, after WandB's own seven bytes: parts in blocks of 32 KiB."""
    place, record, whole, last = 7, b"", 1, 4
    while place + 7 <= len(log):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", log, place + 4)
        record += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (whole, last):
            yield record
            record = b""


@pytest.mark.parametrize(
    "tracking",
    [[{"type": "MLflow"}], [{"type": "WandB"}, {"type": "WandB"}], [{"type": "WandB", "endpoint": "ftp://x"}]],
)
def test_a_tracker_without_a_place_or_twice_is_refused(tracking):
    with pytest.raises(ValidationError):
        a_configuration(tracking=tracking)


def test_only_rank_0_has_listeners(tmp_path):
    wanted = a_configuration(tmp_path, tracking=[{"type": "TensorBoard"}])
    assert listeners(wanted, {"RANK": "1"}) == []
    (courier,) = listeners(wanted, {"RANK": "0"})
    courier.close()


def test_settings_are_flat_under_dotted_names():
    assert flat({"a": {"b": 1, "c": {"d": [2]}}, "e": 3}) == {"a.b": 1, "a.c.d": [2], "e": 3}
