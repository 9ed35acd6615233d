"""Rows of large files are tokenised by several processes: the same rows in the same order, the same first fault."""

import gzip
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tunesmith_trainer.data import crew
from tunesmith_trainer.data.crew import Crew, ManyHands
from tunesmith_trainer.data.encoded import Counts, encoded
from tunesmith_trainer.data.encoding import Encoder
from tunesmith_trainer.data.formats import DatasetFile
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.data.prepare import prepare
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.testing import conversations, preferences, write_rows

LONG = {"messages": [{"role": "user", "content": "otter " * 100}, {"role": "assistant", "content": "Yes."}]}


@pytest.fixture()
def hands(tokenizer, model_path, monkeypatch):
    """Makes crews of threads, with small chunks."""
    monkeypatch.setattr(crew, "CHUNK_ROWS", 3)

    @contextmanager
    def made(rules):
        with ThreadPoolExecutor(2, initializer=crew.load, initargs=(model_path, rules)) as executor:
            yield ManyHands(executor, 2)

    return made


def gone_through(path, workers, rules):
    """Rows, counts and faults of a file, and how reading it ended."""
    counts, faults, rows, ended = Counts(), [], [], None
    try:
        read = encoded(DatasetFile(path), workers, counts, faults.append, method=rules.method)
        rows.extend(list(ready.prompt_ids if rules.method == "DPO" else ready.input_ids) for ready in read)
    except TrainerError as error:
        ended = error.message
    return rows, counts, [str(fault) for fault in faults], ended


TALKS = [*conversations(20), LONG, *conversations(5)]
FILES = {
    "good": (TALKS, "SFT"),
    "pairs": (preferences(10), "DPO"),
    "broken": ([*TALKS, {"text": "x"}, *TALKS, {"messages": 3}], "SFT"),
    "tokens": ([{"input_ids": [1, 2]}, {"input_ids": [1, 9999]}, {"input_ids": "x"}], "SFT"),
    "empty": ([], "SFT"),
}


@pytest.mark.parametrize("name", FILES)
def test_many_hands_come_to_the_same_as_one(tmp_path, tokenizer, hands, name):
    rows, method = FILES[name]
    path = write_rows(tmp_path / "train.jsonl", rows)
    rules = MaskingRules(96, method=method, vocabulary=384)
    with hands(rules) as many:
        assert gone_through(path, many, rules) == gone_through(path, Crew(Encoder(tokenizer), rules), rules)


def test_what_stands_before_a_damaged_place_is_done_first(tmp_path, tokenizer, hands):
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in TALKS * 20).encode())[:-60])
    rules = MaskingRules(64)
    with hands(rules) as many:
        told = gone_through(path, many, rules)
    assert told == gone_through(path, Crew(Encoder(tokenizer), rules), rules)
    assert told[0]
    assert "the gzip file is damaged" in told[3]


@pytest.mark.parametrize(
    ("limits", "processes"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"memory.max": str(4 << 30)}, 4),
        ({"memory.max": str(1 << 30)}, 1),
        ({"memory.max": "max", "cpu.max": "max"}, 8),
    ],
)
def test_as_many_processes_as_the_container_is_good_for(monkeypatch, limits, processes):
    monkeypatch.setattr(crew, "_control_group", limits.get)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert crew.usable_processes() == processes


def killed(path):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.prove
def test_processes_write_the_same_file_and_a_killed_one_is_told(tmp_path, tokenizer, model_path, monkeypatch):
    source = write_rows(tmp_path / "train.jsonl", [row for _ in range(30) for row in TALKS])
    rules = MaskingRules(64)
    alone = prepare(source, tokenizer, model_path, rules, packing=True, cache=tmp_path / "alone")
    monkeypatch.setattr(crew, "WORTHWHILE_BYTES", 0)
    monkeypatch.setattr(crew, "usable_processes", lambda: 2)
    together = prepare(source, tokenizer, model_path, rules, packing=True, cache=tmp_path / "together")
    assert together.rows.read_bytes() == alone.rows.read_bytes()
    assert together.summary == alone.summary
    monkeypatch.setattr(crew, "_outcomes", killed)
    with pytest.raises(TrainerError, match="A process that tokenised rows was killed") as raised:
        prepare(source, tokenizer, model_path, MaskingRules(65), packing=True, cache=tmp_path / "killed")
    assert raised.value.error_class is ErrorClass.OUT_OF_MEMORY
