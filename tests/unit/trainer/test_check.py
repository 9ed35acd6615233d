"""`tunesmith-trainer check`: what training would make of a file, told to a person and to a program."""

import io
import json
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from tunesmith_trainer.cli import main
from tunesmith_trainer.contract import DatasetReport
from tunesmith_trainer.data import check_text
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.data.prepare import prepare
from tunesmith_trainer.testing import conversations, preferences, write_rows

LONG = {"messages": [{"role": "user", "content": "otter " * 100}, {"role": "assistant", "content": "Yes."}]}


@pytest.fixture()
def checked(tmp_path, model_path, capsys):
    def run(rows, *options, context=64):
        path = tmp_path / "train.jsonl"
        path.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))
        code = main(["check", str(path), "--model", str(model_path), "--context", str(context), *options])
        return code, capsys.readouterr().out

    return run


def report_of(run):
    code, out = run
    return code, DatasetReport.model_validate_json(out)


def test_a_good_file_is_told_with_what_one_epoch_is(checked):
    code, report = report_of(checked([*conversations(20), LONG], "--batch", "4", "--no-packing", "-o", "json"))
    assert code == 0
    assert report.ok
    assert (report.container, report.format, report.method) == ("JSONL", "messages", "SFT")
    assert (report.rows, report.trained, report.dropped) == (21, 20, {"noTrainableTokens": 1})
    assert (report.sequences, report.steps_per_epoch) == (20, 5)
    assert report.lengths is not None
    assert report.lengths.max > 64 >= report.lengths.p50
    assert report.duplicates is not None
    assert (report.duplicates.rows, report.duplicates.first, report.duplicates.repeats) == (12, 9, 1)


def test_packing_makes_fewer_sequences_the_same_number_as_training_makes(checked, tmp_path, tokenizer, model_path):
    from datasets import Dataset

    _, report = report_of(checked(conversations(40), "--method", "sft", "-o", "json"))
    assert report.packing
    ready = prepare(
        tmp_path / "train.jsonl", tokenizer, model_path, MaskingRules(64), packing=True, cache=tmp_path / "cache"
    )
    assert report.sequences == len(Dataset.from_file(str(ready.rows))) < 40
    assert (report.tokens, report.trained) == (ready.summary.tokens, ready.summary.trained)


def test_pairs_are_never_packed(checked):
    code, report = report_of(checked(preferences(5), "--batch", "2", "-o", "json", context=128))
    assert (code, report.method, report.packing) == (0, "DPO", False)
    assert (report.sequences, report.steps_per_epoch) == (5, 3)


def test_the_first_twenty_broken_rows_are_told_with_line_and_column(checked):
    code, report = report_of(checked([*conversations(2), *[b'{"messages": 1'] * 30, {"messages": 1}], "-o", "json"))
    assert code == 2
    assert not report.ok
    assert (report.rows, report.trained, report.broken, len(report.faults)) == (33, 2, 31, 20)
    first = report.faults[0]
    assert (first.number, first.unit, first.column) == (3, "line", 15)
    assert first.reason.startswith("not JSON")


@pytest.mark.parametrize(
    ("rows", "options", "told"),
    [
        (conversations(2), ("--method", "dpo"), "from which the method DPO cannot learn"),
        ([LONG], (), "None of the 1 rows of 'train.jsonl' has anything to learn from"),
        ([], (), "has no rows"),
    ],
)
def test_a_file_that_nothing_can_be_made_of_is_told(checked, rows, options, told):
    code, report = report_of(checked(rows, *options, "-o", "json"))
    assert (code, report.ok) == (2, False)
    assert told in (report.problem or "")


def test_a_person_reads_rows_lengths_what_is_dropped_and_what_is_broken(checked):
    code, out = checked([*conversations(20), LONG, b"{"], "--batch", "4")
    assert code == 2
    for part in (
        "20 of 22 are trained on",
        "12; the first is 9, which repeats 1",
        "steps of 4",
        "Tokens of a row, before any cut: half have at most",
        "███",
        "noTrainableTokens  the answers lie beyond the context length",
        "line 22, column 2  not JSON",
        "Training would not begin: it ends at the first broken row.",
    ):
        assert part in out


def test_a_file_that_is_fine_says_so(checked):
    assert checked(conversations(3))[1].endswith("\nTraining can begin.\n")


@pytest.mark.parametrize("missing", ["file", "model"])
def test_what_is_missing_is_told_in_words(tmp_path, model_path, capsys, missing):
    path = write_rows(tmp_path / "train.jsonl", conversations(2)) if missing == "model" else tmp_path / "none.jsonl"
    model = model_path if missing == "file" else tmp_path / "none"
    assert main(["check", str(path), "--model", str(model), "--context", "64"]) == 2
    assert "none" in capsys.readouterr().err


def test_a_context_of_nothing_is_refused_as_wrong_usage(checked):
    with pytest.raises(SystemExit, match="2"):
        checked(conversations(2), context=0)


def test_a_terminal_shows_how_far_the_check_of_a_large_file_is(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")  # one that calls itself dumb gets no bar
    monkeypatch.setattr(check_text, "Console", lambda **_: Console(file=screen, force_terminal=True, width=100))
    monkeypatch.setattr(check_text, "REFRESH_SECONDS", 0.01)
    file = SimpleNamespace(bytes_total=200_000_000, bytes_read=0)
    deadline = time.monotonic() + 60
    with check_text.working(file):
        file.bytes_read = 50_000_000
        while "50.0/200.0 MB" not in screen.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "50.0/200.0 MB" in screen.getvalue()


def test_where_nobody_looks_there_is_no_bar(tmp_path, model_path, capsys):
    path = write_rows(tmp_path / "train.jsonl", conversations(4))
    assert main(["check", str(path), "--model", str(model_path), "--context", "64"]) == 0
    assert capsys.readouterr().err == ""
