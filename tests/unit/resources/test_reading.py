"""Reading resources: what is taken, what is told of what is not, conditions, times, the table of missing fields."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tunesmith.resources.conditions import find_condition, first_visit, in_order, is_true, set_condition
from tunesmith.resources.crd import root_schema
from tunesmith.resources.kinds import KINDS, kind_named
from tunesmith.resources.not_implemented import FIELDS, set_but_not_implemented
from tunesmith.resources.parsing import Invalid, parse
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time, parse_time

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def _ready(conditions, status, now=NOON, reason="InOrder"):
    return set_condition(conditions, "Ready", status, reason=reason, message="m", now=now, observed_generation=3)


def test_a_condition_keeps_its_time_while_its_status_stays():
    once = _ready((), True)
    again = _ready(once, True, LATER, reason="NodesReady")
    assert find_condition(again, "Ready").last_transition_time == NOON
    assert find_condition(again, "Ready").reason == "NodesReady"
    assert find_condition(_ready(again, False, LATER), "Ready").last_transition_time == LATER


def test_a_condition_keeps_its_place_and_none_is_unknown():
    listed = first_visit(("Ready", "Reconciling", "Stalled"), now=NOON, observed_generation=1)
    assert [condition.type for condition in _ready(listed, None)] == ["Ready", "Reconciling", "Stalled"]
    assert {condition.status.value for condition in listed} == {"Unknown"}
    assert not is_true(listed, "Ready")
    assert is_true(_ready(listed, True), "Ready")
    assert [c.type for c in in_order(reversed(listed), ("Ready", "Stalled"))] == ["Ready", "Stalled", "Reconciling"]


def test_a_written_condition_reads_back_the_same():
    written = _ready((), True, NOON.replace(microsecond=5))
    assert type(written[0]).model_validate(written[0].model_dump(mode="json", by_alias=True)) == written[0]


def test_times_are_read_in_any_zone_and_written_in_utc():
    assert parse_time("2026-01-31T13:00:00+01:00") == NOON
    assert parse_time("2026-01-31T12:00:00.123456789Z").microsecond == 123456
    assert format_time(NOON.astimezone(timezone(timedelta(hours=1)))) == "2026-01-31T12:00:00Z"
    for wrong in ("2026-01-31", "2026-01-31T12:00:00", "2026-02-31T12:00:00Z", "noon"):
        with pytest.raises(ValueError):
            parse_time(wrong)


def test_numbers_of_the_api_become_exact_decimals(good):
    job = parse(good("FineTuneJob", training={"learningRate": "2e-4", "maxGradNorm": "0"}))
    assert job.spec.training.learning_rate == Decimal("0.0002")
    assert isinstance(parse(good("FineTuneJob", training={"learningRate": 0.0002})), Invalid)
    assert isinstance(parse(good("FineTuneJob", training={"learningRate": "0"})), Invalid)


def test_what_is_wrong_is_told_with_its_path(good):
    told = parse(good("GPUCluster", nodes="two"))
    assert told == Invalid("spec.nodes", "Input should be a valid integer")
    assert parse(good("GPUCluster", colour="red")).path == "spec.colour"
    assert parse({"kind": "Pod"}).path == "kind"


def test_a_status_of_a_newer_version_is_let_pass(good):
    status = {"observedGeneration": 4, "clusterID": "c-1", "nodes": {"ready": 1, "warm": 2}, "weather": "fine"}
    cluster = parse({**good("GPUCluster"), "status": status})
    assert cluster.status.cluster_id == "c-1"
    assert cluster.status.nodes.ready == 1


def test_a_path_does_not_climb_out_of_the_storage(good):
    for path in ("../a", "a/../b", "a/..", "..", "."):
        assert isinstance(parse(good("FineTuneJob", weightsPath=path)), Invalid), path
    for path in ("/models/a", "a/b.c", ".cache/x", "a/"):
        assert not isinstance(parse(good("FineTuneJob", weightsPath=path)), Invalid), path


def test_what_works_already_is_not_called_missing(good):
    taken = [
        good(
            "GPUCluster", driver={"versionID": "v"}, projectID="p", volumeRef={"name": "data"}, adoptionPolicy="BuyNew"
        ),
        good("SharedVolume", bindingMode="Immediate", deletionPolicy="Delete"),
        good(
            "FineTuneJob",
            tuning={"type": "LoRA", "lora": {"rank": 16, "targetModules": ["q_proj"], "baseQuantization": "None"}},
            training={"epochs": 2, "checkpoints": {"count": 3}, "scheduler": {"type": "Constant"}},
            recovery={"maxRestarts": 1},
            dryRun=True,
        ),
    ]
    assert [set_but_not_implemented(parse(manifest)) for manifest in taken] == [(), (), ()]


def test_what_does_not_work_yet_is_named_by_its_path(good):
    job = good("FineTuneJob", preflight={"allReduce": "Run"}, queue={"priorityClassName": "high"}, suspend=True)
    assert set_but_not_implemented(parse(job)) == ("spec.queue", "spec.suspend", "spec.preflight")
    assert set_but_not_implemented(parse(good("FineTuneJob", suspend=False))) == ()


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, paths in FIELDS.items() for path in paths])
def test_every_path_of_the_table_is_a_field(kind, path):
    schema = root_schema(kind_named(kind))
    for name in path.split("."):
        schema = schema["properties"][name]


def test_a_reason_is_one_word_with_a_meaning():
    for reason in Reason:
        assert reason.value.isalnum()
        assert reason.value[0].isupper()
        assert reason.meaning.endswith(".")


def test_kinds_are_found_by_name():
    assert [kind_named(kind.name) for kind in KINDS] == list(KINDS)
    assert kind_named("GPUCluster").crd_name == "gpuclusters.tunesmith.dev"
    assert not kind_named("GPURegion").is_namespaced
