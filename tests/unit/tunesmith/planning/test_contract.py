"""The operator's side of the contract, held against the committed schemas."""

import json
from pathlib import Path

import jsonschema
import pytest

from tunesmith.planning.contract import (
    Heartbeat,
    Progress,
    Retry,
    ending_of,
    exit_code_table,
    read_line,
    read_termination,
)

CONTRACT = Path(__file__).parents[4] / "contract" / "v1"


def schema(name: str) -> dict:
    return json.loads((CONTRACT / f"{name}.schema.json").read_text())


def test_both_sides_read_the_same_table_of_exit_codes():
    rows = json.loads((CONTRACT / "exit-codes.json").read_text())["exitCodes"]
    assert [{k: row[k] for k in ("code", "errorClass", "retry")} for row in rows] == exit_code_table()


def test_an_unknown_exit_code_is_unclassified():
    assert ending_of(137).retry is Retry.UNCLASSIFIED


@pytest.mark.parametrize(
    ("name", "model"), [("progress", Progress), ("heartbeat", Heartbeat)], ids=["progress", "heartbeat"]
)
def test_lines_that_meet_the_schema_are_read(name, model):
    line = {
        "tunesmith": f"{name}/v1",
        "time": "2025-11-08T12:00:00Z",
        "attempt": 2,
        "stage": "Training",
        "step": 3,
        "lastStep": 3,
        "secondsSince": 1.5,
        "fromTheFuture": True,
    }
    jsonschema.validate(line, {**schema(name), "additionalProperties": True})
    assert isinstance(read_line(json.dumps(line)), model)


def test_every_field_that_we_read_exists_in_the_contract():
    for name, model in (("progress", Progress), ("heartbeat", Heartbeat)):
        ours = {field.alias or key for key, field in model.model_fields.items()}
        assert ours <= set(schema(name)["properties"])


@pytest.mark.parametrize("line", ["", "Loading weights...", "{", '{"tunesmith": "progress/v9"}', "[1]", '{"a": 1}'])
def test_lines_that_are_not_for_machines_are_passed_over(line):
    assert read_line(line) is None


def test_a_termination_message_of_the_contract_is_read():
    said = {
        "tunesmith": "termination/v1",
        "errorClass": "Success",
        "step": 9,
        "totalSteps": 9,
        "resultSHA256": "b" * 64,
        "path": "/storage/out/u-a1",
    }
    jsonschema.validate(said, schema("termination"))
    assert read_termination(json.dumps(said)).reached_the_end


@pytest.mark.parametrize(
    ("step", "stopped", "reached"), [(9, None, False), (6, 6, True), (5, 6, False), (20, None, True)]
)
def test_the_end_is_the_last_step_or_the_one_where_it_stopped_early(step, stopped, reached):
    said = {
        "tunesmith": "termination/v1",
        "errorClass": "Success",
        "step": step,
        "totalSteps": 20,
        "resultSHA256": "b" * 64,
        "path": "/storage/out/u-a1",
    } | ({"stoppedEarlyAtStep": stopped} if stopped else {})
    jsonschema.validate(said, schema("termination"))
    assert read_termination(json.dumps(said)).reached_the_end is reached
