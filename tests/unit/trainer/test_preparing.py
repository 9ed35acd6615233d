"""A whole preparation: model and data from a served Hub, rows made ready, and one message that says it all."""

import hashlib
import json
import logging
import os
import shutil
import signal
import time
from pathlib import Path
from typing import ClassVar

import pytest
from tests.unit.trainer.fetch_builders import a_hub_dataset

from tunesmith_trainer.cli import main
from tunesmith_trainer.contract import Configuration, TerminationMessage
from tunesmith_trainer.exit_codes import ErrorClass, ExitCode
from tunesmith_trainer.fetch.secrets import HidingFormatter, Secrets
from tunesmith_trainer.testing import tiny_configuration, tiny_model, tiny_preparation
from tunesmith_trainer.testing_sources import COMMIT, Repository, ServedHub

A_MIXTURE = {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_experts": 4}
LORA = {"type": "LoRA", "rank": 4, "alpha": 8}
ROWS = b"".join(b'{"prompt": "say %d", "completion": "it is %d"}\n' % (n, n) for n in range(10)) + (
    b'{"prompt": "' + b"much too long " * 90 + b'", "completion": "never reached"}\n'
)


@pytest.fixture(autouse=True)
def as_before():
    """The command is made for a process of its own: it takes SIGTERM, logging and the environment over."""
    handler, handlers, environment = signal.getsignal(signal.SIGTERM), logging.root.handlers[:], dict(os.environ)
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.root.handlers[:] = handlers
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def hub(model_path):
    files = {path.name: path.read_bytes() for path in model_path.iterdir() if path.is_file()}
    repositories = {
        "models/o/tiny": Repository(files, token="hf_model"),
        "datasets/o/rows": Repository({"train.jsonl": ROWS, "test.jsonl": ROWS[:60].split(b"\n")[0] + b"\n"}),
    }
    with ServedHub(repositories) as served:
        yield served


def prepared(tmp_path, monkeypatch, command="prepare", **changes):
    root = tmp_path / "storage"
    root.mkdir(exist_ok=True)
    (tmp_path / "config.json").write_text(json.dumps(tiny_preparation(root, **changes)))
    monkeypatch.setenv("TUNESMITH_TERMINATION_LOG", str(tmp_path / "termination"))
    code = main([command, str(tmp_path / "config.json")])
    return code, TerminationMessage.model_validate_json((tmp_path / "termination").read_text())


def from_hub(hub):
    return {
        "model": None,
        "data": {"training": None},
        "training": {"epochs": 3, "globalBatch": 4},
        "fetch": {
            "model": {"type": "HuggingFace", "huggingFace": {"repo": "o/tiny", "endpoint": hub.url}},
            "datasets": {
                "training": a_hub_dataset("o/rows", hub.url),
                "validation": a_hub_dataset("o/rows", hub.url),
            },
        },
    }


def test_everything_fetched_and_made_ready_and_told_in_one_message(tmp_path, monkeypatch, hub, capsys):
    monkeypatch.setenv("TUNESMITH_MODEL_TOKEN", "hf_model")
    code, said = prepared(tmp_path, monkeypatch, **from_hub(hub))
    assert (code, said.error_class) == (0, ErrorClass.SUCCESS)
    done = said.prepared
    assert done.model_path == str(tmp_path / "storage" / "weights" / "o--tiny" / COMMIT)
    assert (done.model_revision, done.rows, done.trained, done.total_steps) == (COMMIT, 11, 10, 9)
    assert done.dropped == {"noTrainableTokens": 1}
    assert done.dataset_sha256.training == hashlib.sha256(ROWS).hexdigest()
    assert done.formats.training == done.formats.validation
    written = json.loads(Path(done.model_path, "config.json").read_text())
    assert {"hidden_size", "vocab_size"} <= done.model_facts.keys()
    assert done.model_facts.items() <= written.items()
    stages = [json.loads(line)["stage"] for line in capsys.readouterr().out.splitlines()]
    assert list(dict.fromkeys(stages)) == ["Starting", "Fetching", "Preparing", "Finished"]

    # What training prepares at its beginning is found made: the same key, the same cache.
    from tunesmith_trainer.job_rows import rows_of_job
    from tunesmith_trainer.model import load_tokenizer

    cached = sorted(path.name for path in (tmp_path / "storage" / "prepared").iterdir())
    document = tiny_configuration(
        tmp_path / "storage",
        model={"path": done.model_path},
        data={"training": {"path": done.training_path}, "validation": {"path": done.validation_path}},
        training={"epochs": 3},
    )
    configuration = Configuration.model_validate(document)
    rows = rows_of_job(configuration, load_tokenizer(Path(done.model_path)))
    assert rows.total_steps == done.total_steps
    assert sorted(path.name for path in (tmp_path / "storage" / "prepared").iterdir()) == cached

    before = len(hub.content.asked)
    assert prepared(tmp_path, monkeypatch, **from_hub(hub))[1].prepared == done
    assert len(hub.content.asked) == before


def test_what_lies_on_the_storage_is_only_looked_at(tmp_path, monkeypatch, model_path):
    (tmp_path / "rows.jsonl").write_bytes(ROWS)
    code, said = prepared(
        tmp_path, monkeypatch, model={"path": str(model_path)}, data={"training": {"path": f"{tmp_path}/rows.jsonl"}}
    )
    assert (code, said.prepared.model_revision) == (0, None)
    assert said.prepared.dataset_sha256.training == hashlib.sha256(ROWS).hexdigest()


def test_at_its_end_it_clears_away_what_was_given_up_and_says_so(tmp_path, monkeypatch, model_path, capsys):
    (tmp_path / "rows.jsonl").write_bytes(ROWS)
    partial = tmp_path / "storage" / "datasets" / f"{'a' * 64}.partial"
    partial.mkdir(parents=True)
    monkeypatch.setattr("tunesmith_trainer.clean_up.clock_of", lambda root: time.time() + 8 * 24 * 3600)
    code, _ = prepared(
        tmp_path, monkeypatch, model={"path": str(model_path)}, data={"training": {"path": f"{tmp_path}/rows.jsonl"}}
    )
    assert code == 0
    assert not partial.exists()
    assert f"'{partial}' was left alone for long and is removed" in capsys.readouterr().out


def test_a_gated_model_without_a_token_ends_before_anything_is_prepared(tmp_path, monkeypatch, hub):
    code, said = prepared(tmp_path, monkeypatch, **from_hub(hub))
    assert (code, said.error_class, said.prepared) == (13, ErrorClass.CREDENTIALS, None)
    assert "No token was given" in said.message


class TestWhatIsContinued:
    """An earlier result or checkpoint that does not fit is found while no GPU is held."""

    LORA: ClassVar = {"type": "LoRA", "rank": 4, "alpha": 8, "targetModules": ["all-linear"]}

    def adapter(self, place, base, **changes):
        place.mkdir()
        described = {"r": 4, "lora_alpha": 8, "base_model_name_or_path": str(base), **changes}
        (place / "adapter_config.json").write_text(json.dumps(described))
        return place

    def going_on(self, tmp_path, model_path, path, tuning=LORA, **changes):
        (tmp_path / "rows.jsonl").write_bytes(ROWS)
        return {
            "model": {"path": str(model_path)},
            "data": {"training": {"path": f"{tmp_path}/rows.jsonl"}},
            "continueFrom": {"path": str(path)},
            "tuning": tuning,
            **changes,
        }

    def test_what_fits_is_only_looked_at(self, tmp_path, monkeypatch, model_path):
        path = self.adapter(tmp_path / "first", model_path)
        code, _ = prepared(tmp_path, monkeypatch, **self.going_on(tmp_path, model_path, path))
        assert code == 0

    @pytest.mark.parametrize(
        ("changes", "tuning", "why"),
        [
            ({"r": 8}, LORA, "has r 8, the job's has 4"),
            ({}, {"type": "Full"}, "it is an adapter, and this job trains all weights"),
            ({"use_dora": True}, LORA, "use_dora"),
        ],
        ids=["rank", "kind", "made otherwise"],
    )
    def test_what_is_of_another_kind_is_the_users_error(self, tmp_path, monkeypatch, model_path, changes, tuning, why):
        path = self.adapter(tmp_path / "first", model_path, **changes)
        code, said = prepared(tmp_path, monkeypatch, **self.going_on(tmp_path, model_path, path, tuning))
        assert (code, said.error_class) == (11, ErrorClass.MODEL)
        assert why in said.message
        assert not (tmp_path / "storage" / "prepared").exists(), "before any row is read"

    def test_an_adapter_of_another_base_is_the_users_error(self, tmp_path, monkeypatch, model_path):
        path = self.adapter(tmp_path / "first", tiny_model(tmp_path / "other", initializer_range=0.05))
        code, said = prepared(tmp_path, monkeypatch, **self.going_on(tmp_path, model_path, path))
        assert (code, said.error_class) == (11, ErrorClass.MODEL)
        assert "trained on another base model" in said.message

    @pytest.mark.parametrize("name", ["nothing", "checkpoint-30"])
    def test_what_is_not_there_or_not_whole_ends_before_anything_is_fetched(
        self, tmp_path, monkeypatch, model_path, hub, name
    ):
        if name == "checkpoint-30":
            self.adapter(tmp_path / name, model_path)
        going_on = self.going_on(tmp_path, model_path, tmp_path / name)
        monkeypatch.setenv("TUNESMITH_MODEL_TOKEN", "hf_model")
        code, said = prepared(tmp_path, monkeypatch, **{**going_on, **from_hub(hub)})
        assert (code, said.error_class) == (11, ErrorClass.MODEL)
        assert ("no directory" if name == "nothing" else "was not finished") in said.message
        assert hub.asked == []


@pytest.mark.parametrize(
    ("rows", "why"),
    [(b'{"prompt": "x"}\n', "line 1"), (b"", "no rows"), (None, "does not exist")],
)
def test_broken_data_is_the_users_data_error(tmp_path, monkeypatch, model_path, rows, why):
    if rows is not None:
        (tmp_path / "rows.jsonl").write_bytes(rows)
    code, said = prepared(
        tmp_path, monkeypatch, model={"path": str(model_path)}, data={"training": {"path": f"{tmp_path}/rows.jsonl"}}
    )
    assert (code, said.error_class) == (10, ErrorClass.DATA)
    assert why in said.message


@pytest.mark.parametrize(
    ("said", "tuning", "ends", "why"),
    [
        ({"architectures": ["Llama4ForConditionalGeneration"]}, LORA, ErrorClass.MODEL, "cannot be trained"),
        ({"quantization_config": {"quant_method": "gptq"}}, LORA, ErrorClass.MODEL, "quantised with 'gptq'"),
        (
            {"quantization_config": {"quant_method": "mxfp4"}},
            {**LORA, "baseQuantization": "NF4"},
            ErrorClass.LIMITS,
            "NF4 cannot be put on weights that are quantised already",
        ),
        ({}, {**LORA, "targetModules": ["nothing_proj"]}, ErrorClass.LIMITS, "has no module 'nothing_proj'"),
        (A_MIXTURE, {**LORA, "dropout": 0.1}, ErrorClass.LIMITS, "cannot be adapted with a dropout"),
        (
            A_MIXTURE,
            {**LORA, "dropout": 0.1, "targetModules": ["q_proj", "down_proj"]},
            ErrorClass.LIMITS,
            "do not fit this model",
        ),
    ],
)
def test_a_model_that_training_would_refuse_is_refused_before_a_gpu_is_held(
    tmp_path, monkeypatch, model_path, said, tuning, ends, why
):
    model = tmp_path / "storage" / "model"
    shutil.copytree(model_path, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | said))
    (tmp_path / "storage" / "train.jsonl").write_bytes(ROWS)
    data = {"training": {"path": str(tmp_path / "storage" / "train.jsonl")}}
    code, ending = prepared(tmp_path, monkeypatch, model={"path": str(model)}, data=data, tuning=tuning)
    assert (ExitCode(code).name, ending.error_class) == (ends.name, ends)
    assert why in ending.message


def test_a_configuration_that_is_not_valid_is_told_by_its_paths(tmp_path, monkeypatch):
    code, said = prepared(tmp_path, monkeypatch, training={"globalbatch": 1})
    assert (code, said.error_class) == (14, ErrorClass.CONFIGURATION)
    assert "training.globalbatch" in said.message


def test_tracebacks_are_formatted_without_secrets():
    formatter = HidingFormatter(Secrets({"TUNESMITH_MODEL_TOKEN": "hf_secret"}), "%(message)s")
    try:
        raise ValueError("refused hf_secret")
    except ValueError:
        import sys

        record = logging.LogRecord("x", logging.ERROR, "x", 1, "with %s", ("hf_secret",), sys.exc_info())
    text = formatter.format(record)
    assert "ValueError" in text
    assert "hf_secret" not in text
    assert "hf_secret" not in repr(Secrets({"TUNESMITH_MODEL_TOKEN": "hf_secret"}))
