"""The prepare stage: dropped rows are counted before packing, and nothing is prepared twice."""

import pytest
from datasets import Dataset

from tunesmith_trainer.checkpoints import Memory
from tunesmith_trainer.data.masking import IGNORED, MaskingRules
from tunesmith_trainer.data.prepare import prepare
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.job_rows import Datasets, ensure_the_same
from tunesmith_trainer.testing import conversations, write_rows

RULES = MaskingRules(context_length=64)


def overlong_rows(count):
    return [
        {"messages": [{"role": "user", "content": "otter " * 100}, {"role": "assistant", "content": "Yes."}]}
        for _ in range(count)
    ]


def prepared(tmp_path, tokenizer, model_path, rows, *, packing=False, rules=RULES):
    source = write_rows(tmp_path / "train.jsonl", rows)
    return prepare(source, tokenizer, model_path, rules, packing=packing, cache=tmp_path / "prepared")


@pytest.mark.parametrize("packing", [False, True])
def test_rows_with_nothing_to_learn_are_dropped_and_counted(tmp_path, tokenizer, model_path, packing):
    ready = prepared(tmp_path, tokenizer, model_path, overlong_rows(3) + conversations(9), packing=packing)
    assert (ready.summary.rows, ready.summary.trained) == (12, 9)
    assert ready.summary.dropped == {"noTrainableTokens": 3}
    rows = Dataset.from_file(str(ready.rows))
    assert sum(len(row["input_ids"]) for row in rows) == ready.summary.tokens
    assert all(any(token != IGNORED for token in row["labels"][1:]) for row in rows)


def test_packs_hold_several_rows_and_none_is_longer_than_the_context(tmp_path, tokenizer, model_path):
    ready = prepared(tmp_path, tokenizer, model_path, conversations(40), packing=True)
    rows = Dataset.from_file(str(ready.rows))
    assert len(rows) < 40
    assert sum(len(row["seq_lengths"]) for row in rows) == 40
    assert max(len(row["input_ids"]) for row in rows) <= RULES.context_length


def test_nothing_left_to_learn_is_a_user_error_with_the_counts(tmp_path, tokenizer, model_path):
    with pytest.raises(TrainerError, match=r"None of the 3 rows .*noTrainableTokens: 3") as raised:
        prepared(tmp_path, tokenizer, model_path, overlong_rows(3))
    assert raised.value.error_class is ErrorClass.DATA
    assert list((tmp_path / "prepared").iterdir()) == []


def test_what_was_prepared_once_is_found_again(tmp_path, tokenizer, model_path):
    first = prepared(tmp_path, tokenizer, model_path, conversations(4))
    written = first.rows.stat().st_mtime_ns
    assert prepared(tmp_path, tokenizer, model_path, conversations(4)) == first
    assert first.rows.stat().st_mtime_ns == written


def test_rows_that_are_others_than_when_the_job_began_are_refused(tmp_path, tokenizer, model_path):
    began, goes_on = (
        Datasets(ready, None, rows=4, total_steps=1)
        for count in (4, 5)
        for ready in [prepared(tmp_path, tokenizer, model_path, conversations(count))]
    )
    memory = Memory(dataset_sha256=began.training.summary.sha256)
    ensure_the_same(memory, began, "/data/train.jsonl")
    ensure_the_same(Memory(), goes_on, "/data/train.jsonl")
    with pytest.raises(TrainerError, match=r"'/data/train.jsonl' is another file than when this job began") as raised:
        ensure_the_same(memory, goes_on, "/data/train.jsonl")
    assert raised.value.error_class is ErrorClass.DATA


def test_other_data_or_other_rules_are_prepared_anew(tmp_path, tokenizer, model_path):
    first = prepared(tmp_path, tokenizer, model_path, conversations(4))
    longer = prepared(tmp_path, tokenizer, model_path, conversations(4), rules=MaskingRules(context_length=128))
    more = prepared(tmp_path, tokenizer, model_path, conversations(5))
    assert len({first.rows, longer.rows, more.rows}) == 3
