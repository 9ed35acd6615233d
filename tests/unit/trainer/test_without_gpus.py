"""`prepare` before GPUs are held, and `finish` after an end that was lost: what each says at its end."""

import json
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tunesmith_trainer import endings
from tunesmith_trainer.cli import main
from tunesmith_trainer.contract import Configuration, Result, TerminationMessage
from tunesmith_trainer.contract.messages import DatasetSaid
from tunesmith_trainer.storage import said_files, sha256_of
from tunesmith_trainer.testing import conversations, tiny_configuration, tiny_preparation, write_rows


@pytest.fixture(autouse=True)
def signals():
    """A stage without GPUs listens for SIGTERM; the process of the tests does not."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def root(tmp_path, model_path) -> Path:
    """A storage with the tiny model."""
    (tmp_path / "model").symlink_to(model_path)
    return tmp_path


def run(root, command, configuration, monkeypatch) -> tuple[int, TerminationMessage]:
    """Exit code and termination message of one command."""
    file = root / "config.json"
    file.write_text(json.dumps(configuration))
    monkeypatch.delenv(endings.ENDINGS_DIRECTORY_VARIABLE, raising=False)
    monkeypatch.setenv(endings.TERMINATION_LOG_VARIABLE, str(root / "said"))
    code = main([command, str(file)])
    return code, TerminationMessage.model_validate_json((root / "said").read_text())


def test_a_preparation_says_paths_hashes_rows_and_steps(root, monkeypatch):
    source = write_rows(root / "data" / "train.jsonl", conversations(10))
    code, said = run(root, "prepare", tiny_preparation(root), monkeypatch)
    assert code == 0
    assert said.prepared.dataset_sha256.training == sha256_of(source)
    assert (said.prepared.rows, said.prepared.trained, said.prepared.total_steps) == (10, 10, 3)
    assert (said.prepared.training_path, said.prepared.model_path) == (str(source), f"{root}/model")


def test_a_broken_row_ends_a_preparation_by_file_and_line(root, monkeypatch):
    write_rows(root / "data" / "train.jsonl", conversations(1)).open("a").write("{broken\n")
    code, said = run(root, "prepare", tiny_preparation(root), monkeypatch)
    assert code == 10
    assert "train.jsonl line 2" in said.message
    assert said.prepared is None


def publish(root, configuration) -> Path:
    """A whole result of attempt 1, as an attempt leaves it."""
    directory = Path(configuration.storage.output_path)
    directory.mkdir(parents=True)
    (directory / "adapter_model.safetensors").write_bytes(b"weights")
    result = Result(
        attempt=1,
        config_hash=configuration.config_hash(),
        steps=3,
        total_steps=3,
        epochs=1.0,
        first_loss=2.0,
        final_loss=1.0,
        tokens=100,
        training=DatasetSaid(rows=10, trained=10, tokens=100),
        world_size=1,
        device="CPU",
        adapted_modules=1,
        files=said_files(directory),
        versions={},
        seconds={},
        finished_at=datetime.now(UTC),
    )
    (directory / "result.json").write_text(result.model_dump_json(by_alias=True))
    return directory


def test_a_published_result_is_found_read_again_and_told_as_the_attempt_would_have(root, monkeypatch):
    configuration = tiny_configuration(root)
    directory = publish(root, Configuration.model_validate(configuration))
    code, said = run(root, "finish", configuration, monkeypatch)
    assert (code, said.path, said.step, said.total_steps) == (0, str(directory), 3, 3)
    assert said.result_sha256 == sha256_of(directory / "result.json")
    assert said.result_bytes == sum(file.stat().st_size for file in directory.iterdir())


@pytest.mark.parametrize("damaged", [False, True])
def test_without_a_whole_result_the_check_succeeds_and_names_none(root, monkeypatch, damaged):
    configuration = tiny_configuration(root)
    if damaged:
        directory = publish(root, Configuration.model_validate(configuration))
        (directory / "adapter_model.safetensors").write_bytes(b"other")
    code, said = run(root, "finish", configuration, monkeypatch)
    assert (code, said.path, said.result_sha256) == (0, None, None)
    assert ("adapter_model.safetensors" in said.message) == damaged
