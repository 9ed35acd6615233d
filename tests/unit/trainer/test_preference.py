"""Pairs of answers: the prompt is common and whole, the answers are what the model would have to say."""

import pytest
from datasets import Dataset

from tunesmith_trainer.data.encoding import Dropped, Encoder
from tunesmith_trainer.data.formats import read_rows
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.data.preference import pair
from tunesmith_trainer.data.prepare import prepare
from tunesmith_trainer.data.rows import Message, PreferenceTalk, PreferenceText
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.testing import conversations, preferences, write_rows

RULES = MaskingRules(context_length=128, method="DPO")
QUESTION = [{"role": "user", "content": "Where does the otter live?"}]
GOOD, BAD = "The otter lives near the river.", "I will not say."
PROVIDER = {
    "input": {"messages": QUESTION},
    "preferred_output": [{"role": "assistant", "content": GOOD}],
    "non_preferred_output": [{"role": "assistant", "content": BAD}],
}
TRL_TALK = {
    "prompt": QUESTION,
    "chosen": [{"role": "assistant", "content": GOOD}],
    "rejected": [{"role": "assistant", "content": BAD}],
}
TRL_PLAIN = {"prompt": "The otter", "chosen": " lives near the river.", "rejected": " will not say."}
TALK = PreferenceTalk((Message("user", QUESTION[0]["content"]),), Message("assistant", GOOD), Message("assistant", BAD))
REWRITING_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] if loop.last else message['content'][:3] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def rows_of(tmp_path, *rows):
    return list(read_rows(write_rows(tmp_path / "train.jsonl", rows)))


@pytest.mark.parametrize("row", [PROVIDER, TRL_TALK])
def test_the_providers_and_trls_talks_are_the_same_row(tmp_path, row):
    assert rows_of(tmp_path, row) == [TALK]


def test_plain_preferences_are_read(tmp_path):
    assert rows_of(tmp_path, TRL_PLAIN) == [PreferenceText(**TRL_PLAIN)]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({**PROVIDER, "input": QUESTION}, "'input' must be an object with 'messages', this is a list"),
        ({**PROVIDER, "input": {}}, "'input' has no 'messages'"),
        ({**PROVIDER, "input": {"messages": QUESTION, "x": 1}}, "the key 'x' in 'input' is not supported"),
        ({**PROVIDER, "preferred_output": []}, "'preferred_output' must be exactly one assistant message"),
        ({**PROVIDER, "non_preferred_output": QUESTION}, "must be of role 'assistant', this is 'user'"),
        ({**TRL_TALK, "prompt": TRL_TALK["chosen"]}, "message 1: role 'assistant' where 'user' is expected"),
        ({**TRL_TALK, "prompt": QUESTION + TRL_TALK["chosen"]}, "'prompt' must end with a message of role 'user'"),
        ({**TRL_TALK, "chosen": "yes"}, "'chosen' must be a list with one assistant message, this is a string"),
        ({**TRL_PLAIN, "chosen": 3}, "'chosen' must be a string, this is a number"),
        ({"chosen": "a", "rejected": "b"}, "has the keys 'chosen', 'rejected'; a row has exactly"),
    ],
)  # fmt: skip
def test_a_broken_pair_is_told_with_line_and_reason(tmp_path, row, told):
    with pytest.raises(TrainerError, match=told) as raised:
        rows_of(tmp_path, row)
    assert raised.value.message.startswith("train.jsonl line 1")


@pytest.fixture()
def encoder(tokenizer):
    return Encoder(tokenizer)


def test_prompt_and_answers_are_the_whole_rendering_of_either_talk(encoder, tokenizer):
    ready = pair(TALK, encoder, RULES)
    assert tokenizer.decode(ready.prompt_ids) == (
        "<|im_start|>user\nWhere does the otter live?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(ready.chosen_ids) == f"{GOOD}<|im_end|>\n"
    assert tokenizer.decode(ready.rejected_ids) == f"{BAD}<|im_end|>\n"
    assert not ready.truncated


def test_plain_answers_end_with_the_end_token_once(encoder, tokenizer):
    ready = pair(PreferenceText(**TRL_PLAIN), encoder, RULES)
    assert tokenizer.decode(ready.prompt_ids) == "The otter"
    assert tokenizer.decode(ready.chosen_ids) == " lives near the river.<|im_end|>"
    assert tokenizer.decode(ready.rejected_ids) == " will not say.<|im_end|>"


def test_a_long_answer_is_cut_at_its_end_and_the_prompt_is_not(encoder):
    whole = pair(TALK, encoder, RULES)
    cut = pair(TALK, encoder, MaskingRules(len(whole.prompt_ids) + 3, method="DPO"))
    assert cut.prompt_ids == whole.prompt_ids
    assert (cut.chosen_ids, cut.rejected_ids) == (whole.chosen_ids[:3], whole.rejected_ids[:3])
    assert cut.truncated


def test_a_prompt_that_leaves_no_room_drops_the_pair(encoder):
    room = len(pair(TALK, encoder, RULES).prompt_ids)
    with pytest.raises(Dropped, match="noTrainableTokens"):
        pair(TALK, encoder, MaskingRules(room, method="DPO"))


def test_equal_answers_have_nothing_to_prefer(encoder):
    with pytest.raises(Dropped, match="identicalAnswers"):
        pair(PreferenceText("a", "same", "same"), encoder, RULES)


def test_a_template_that_rewrites_the_prompt_drops_the_pair_or_learns_from_where_they_differ(tokenizer):
    kept, tokenizer.chat_template = tokenizer.chat_template, REWRITING_TEMPLATE
    try:
        with pytest.raises(Dropped, match="unstableTemplate"):
            pair(TALK, Encoder(tokenizer), RULES)
        whole = MaskingRules(128, method="DPO", on_unstable_template="TrainWhole")
        ready = pair(TALK, Encoder(tokenizer), whole)
    finally:
        tokenizer.chat_template = kept
    rendering = tokenizer.decode([*ready.prompt_ids, *ready.chosen_ids])
    assert rendering == f"<|im_start|>user\nWhe<|im_end|>\n<|im_start|>assistant\n{GOOD}<|im_end|>\n"


@pytest.mark.parametrize("packing", [False, True])
def test_prepared_pairs_have_their_three_columns_and_lines_and_are_never_packed(
    tmp_path, tokenizer, model_path, packing
):
    long = {"prompt": "otter " * 200, "chosen": "yes", "rejected": "no"}
    rows = [*preferences(10)]
    source = write_rows(tmp_path / "pairs.jsonl", rows)
    plain = write_rows(tmp_path / "plain.jsonl", [TRL_PLAIN, long])
    ready = prepare(source, tokenizer, model_path, RULES, packing=packing, cache=tmp_path / "prepared")
    data = Dataset.from_file(str(ready.rows))
    assert data.column_names == ["prompt_ids", "chosen_ids", "rejected_ids", "source_rows"]
    assert [row["source_rows"] for row in data] == [[line] for line in range(1, 11)]
    assert len(data) == ready.summary.trained == 10
    also = prepare(plain, tokenizer, model_path, RULES, packing=packing, cache=tmp_path / "prepared")
    assert also.summary.dropped == {"noTrainableTokens": 1}
    assert ready.summary.format == "preferred and non-preferred outputs"


@pytest.mark.parametrize(
    ("method", "rows", "needed"),
    [("DPO", conversations(2), "needs rows of preferred and non-preferred outputs"), ("SFT", [PROVIDER], "messages")],
)
def test_a_method_that_cannot_learn_from_the_format_says_what_it_needs(
    tmp_path, tokenizer, model_path, method, rows, needed
):
    source = write_rows(tmp_path / "train.jsonl", rows)
    with pytest.raises(TrainerError, match=f"the method {method} cannot learn: .*{needed}") as raised:
        prepare(source, tokenizer, model_path, MaskingRules(64, method=method), packing=False, cache=tmp_path / "c")
    assert raised.value.error_class is ErrorClass.DATA
