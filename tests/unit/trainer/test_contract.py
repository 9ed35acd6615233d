"""The contract: what is refused, what is generated, and that both directions of the schemas agree with the models."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from tunesmith_trainer.contract import Configuration, Heartbeat, ProgressLine, TerminationMessage
from tunesmith_trainer.contract.__main__ import main, stale
from tunesmith_trainer.exit_codes import BY_CLASS, ENDINGS, ErrorClass, ExitCode
from tunesmith_trainer.testing import merged, tiny_configuration

CONTRACT = Path(__file__).parents[3] / "contract" / "v1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def schema(name):
    return json.loads((CONTRACT / f"{name}.schema.json").read_text())


def a_configuration(**changes):
    return Configuration.model_validate(tiny_configuration(Path("/storage"), **changes))


def test_the_committed_schemas_are_current():
    assert stale(CONTRACT) == []


def test_a_stale_or_left_over_file_is_named(tmp_path, capsys):
    main(["--write", str(tmp_path)])
    (tmp_path / "result.schema.json").write_text("{}")
    (tmp_path / "old.schema.json").write_text("{}")
    assert main(["--check", str(tmp_path)]) == 1
    assert "old.schema.json, result.schema.json" in capsys.readouterr().err
    main(["--write", str(tmp_path)])
    assert main(["--check", str(tmp_path)]) == 0


def test_a_configuration_that_the_schema_takes_the_trainer_takes_too():
    document = tiny_configuration(Path("/storage"))
    jsonschema.validate(document, schema("configuration"))
    written_back = Configuration.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True)
    jsonschema.validate(written_back, schema("configuration"))
    assert Configuration.model_validate(written_back) == Configuration.model_validate(document)


def test_what_the_trainer_says_is_what_the_schemas_say():
    for name, said in {
        "progress": ProgressLine(time=NOW, attempt=1, stage="Training", step=3, dropped_rows={"noTrainableTokens": 2}),
        "heartbeat": Heartbeat(time=NOW, attempt=1, stage="Preparing", last_step=0, seconds_since=4.2),
        "termination": TerminationMessage(attempt=1, error_class=ErrorClass.DATA, message="line 3"),
    }.items():
        jsonschema.validate(json.loads(said.line()), schema(name))


@pytest.mark.parametrize("part", [{"unknown": 1}, {"training": {"learningrate": 1}}, {"model": {"revision": "main"}}])
def test_unknown_keys_are_refused_wherever_they_stand(part):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        a_configuration(**part)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merged(tiny_configuration(Path("/storage")), part), schema("configuration"))


def test_a_world_that_does_not_divide_the_batch_is_refused_with_the_sizes_that_do():
    with pytest.raises(ValidationError, match="with microBatch 2 it divides by 1, 2, 3, 4, 6, 12 processes"):
        a_configuration(training={"globalBatch": 24}, world={"pods": 5})


def test_a_micro_batch_that_never_divides_is_refused():
    with pytest.raises(ValidationError, match="does not divide it for any number of processes"):
        a_configuration(training={"globalBatch": 5})


@pytest.mark.parametrize(
    "storage",
    [
        {"jobPath": "/elsewhere/job-1"},
        {"outputPath": "/storage/output/job-1-a2"},
        {"outputPath": "/storage/../x/job-1-a1"},
    ],
)
def test_a_layout_that_the_finish_check_could_not_find_is_refused(storage):
    with pytest.raises(ValidationError):
        a_configuration(storage=storage)


def test_each_real_gpu_gets_one_process():
    with pytest.raises(ValidationError, match="give one process to each GPU"):
        a_configuration(world={"gpusPerPod": 8})
    a_configuration(world={"gpusPerPod": 8}, simulatedGPUs=True)


def test_one_rhythm_of_checkpoints():
    with pytest.raises(ValidationError, match="exactly one of everySteps and count"):
        a_configuration(checkpoints={"count": 3})


def test_the_hash_follows_the_outcome_and_not_the_hardware():
    base = a_configuration().config_hash()
    assert a_configuration(training={"learningRate": 0.5}).config_hash() != base
    assert a_configuration(training={"gradientAccumulation": 1}, world={"pods": 2}).config_hash() == base
    assert a_configuration(attempt=3, checkpoints={"everySteps": 7}).config_hash() == base


def test_every_class_has_one_code_and_every_code_one_class():
    assert {ending.code for ending in ENDINGS} == set(ExitCode)
    assert set(BY_CLASS) == set(ErrorClass)
    assert len(ENDINGS) == len(ExitCode)


@pytest.mark.parametrize("text", ["x" * 9000, "ä" * 9000, '"\n' * 9000])
def test_a_termination_message_always_fits(text):
    message = TerminationMessage(attempt=1, error_class=ErrorClass.DATA, message=text, path="/p" * 50)
    fitted = message.fitted()
    assert 3000 < len(fitted.encode()) <= 4096
    assert TerminationMessage.model_validate_json(fitted).path == message.path
