"""The contract of a preparation: what its configuration may say, and how its end is told."""

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from tunesmith_trainer.architecture_facts import LARGEST_NUMBER, NAMES
from tunesmith_trainer.contract import PrepareConfiguration, PreparedSaid, TerminationMessage
from tunesmith_trainer.contract.preparation import secret_variable
from tunesmith_trainer.exit_codes import ErrorClass
from tunesmith_trainer.testing import tiny_preparation

CONTRACT = Path(__file__).parents[3] / "contract" / "v1"
HUB_MODEL = {"type": "HuggingFace", "huggingFace": {"repo": "owner/model"}}
WEB_FILE = {"type": "HTTP", "http": {"url": "https://example.org/rows.jsonl"}}


def schema(name):
    return json.loads((CONTRACT / f"{name}.schema.json").read_text())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": None, "fetch": {"model": HUB_MODEL}},
        {"data": {"training": None}, "fetch": {"datasets": {"training": WEB_FILE}}},
        {"fetch": {"datasets": {"validation": WEB_FILE}}},
        {"tuning": {"type": "LoRA", "rank": 8, "alpha": 16}},
        {"continueFrom": {"path": "/storage/outputs/first"}, "tuning": {"type": "Full"}},
    ],
)
def test_each_part_comes_from_the_storage_or_from_a_source(changes):
    document = tiny_preparation(Path("/storage"), **changes)
    jsonschema.validate(
        PrepareConfiguration.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True),
        schema("prepare"),
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"fetch": {"model": HUB_MODEL}}, "exactly one of model and fetch.model"),
        ({"model": None}, "exactly one of model and fetch.model"),
        ({"continueFrom": {"path": "/storage/outputs/first"}}, "give tuning together with continueFrom"),
        ({"fetch": {"datasets": {"training": WEB_FILE}}}, "exactly one of data.training"),
        (
            {"data": {"validation": {"path": "/storage/v.jsonl"}}, "fetch": {"datasets": {"validation": WEB_FILE}}},
            "at most one of data.validation",
        ),
        ({"fetch": {"datasets": {"validation": {**WEB_FILE, "type": "S3"}}}}, "type is S3"),
        ({"storage": {"jobPath": "/elsewhere/job"}}, "does not lie on the storage"),
        (
            {"model": None, "fetch": {"model": {"type": "HuggingFace", "huggingFace": {"repo": "../../etc"}}}},
            "should match pattern",
        ),
    ],
)
def test_two_places_or_none_are_refused(changes, why):
    with pytest.raises(ValidationError, match=why):
        PrepareConfiguration.model_validate(tiny_preparation(Path("/storage"), **changes))


def test_secrets_have_names_of_their_own_by_source():
    assert secret_variable("model", "TOKEN") == "TUNESMITH_MODEL_TOKEN"
    assert secret_variable("validation", "SECRET_ACCESS_KEY") == "TUNESMITH_VALIDATION_SECRET_ACCESS_KEY"


def test_what_was_prepared_fits_the_termination_message():
    prepared = PreparedSaid(
        model_path="/storage/weights/owner--model/" + "a" * 40,
        model_revision="a" * 40,
        training_path="/storage/datasets/" + "b" * 64 + "/train.jsonl",
        dataset_sha256={"training": "c" * 64},
        rows=3, trained=2, tokens=40, truncated=0, dropped={"noTrainableTokens": 1}, total_steps=5,
        formats={"training": "messages"}, model_facts=dict.fromkeys(NAMES, LARGEST_NUMBER),
    )  # fmt: skip
    said = TerminationMessage(attempt=1, error_class=ErrorClass.SUCCESS, prepared=prepared, message="x" * 9000).fitted()
    assert len(said.encode()) <= 4096
    assert TerminationMessage.model_validate_json(said).prepared == prepared
    jsonschema.validate(json.loads(said), schema("termination"))


def test_paths_too_long_to_fit_do_not_keep_the_ending_from_being_told():
    assert "..." in TerminationMessage(error_class=ErrorClass.SUCCESS, path="/p" * 4000, message="x" * 50).fitted()
