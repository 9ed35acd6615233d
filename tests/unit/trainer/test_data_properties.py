"""Masks, filtering, packing and steps against references that are slow and obvious."""

import json

import pytest
from datasets import Dataset
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tunesmith_trainer.data.encoding import Dropped, Encoder
from tunesmith_trainer.data.masking import IGNORED, Labelled, MaskingRules, label
from tunesmith_trainer.data.packing import packed
from tunesmith_trainer.data.preference import pair
from tunesmith_trainer.data.prepare import prepare
from tunesmith_trainer.data.rows import Conversation, Instruction, Message, PreferenceText, Text
from tunesmith_trainer.data.survey import LengthCounts, Repetitions

FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(max_examples=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])

words = st.text(alphabet="abcdefgh otriv\n.é漢🙂", max_size=30)
turns = st.lists(st.tuples(words, words, st.sampled_from([0, 1])), min_size=1, max_size=4)


@st.composite
def talks(draw):
    messages = [Message("system", draw(words))] if draw(st.booleans()) else []
    for question, answer, weight in draw(turns):
        messages += [Message("user", question), Message("assistant", answer, weight)]
    return Conversation(tuple(messages))


def rendered_with_owners(talk, everything):
    """The ChatML text of a talk, and of each character whether it is learnt; written out by hand."""
    text, learnt = "", []
    for message in talk.messages:
        head, body = f"<|im_start|>{message.role}\n", f"{message.content}<|im_end|>\n"
        answer = message.role == "assistant"
        text += head + body
        learnt += [everything] * len(head) + [message.weight == 1 if answer else everything] * len(body)
    return text, learnt


def expected_talk(talk, tokenizer, rules):
    text, learnt = rendered_with_owners(talk, rules.train_on_inputs == "Always")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    labels = [token if learnt[start] else IGNORED for token, (start, _) in pairs]
    return encoded["input_ids"][: rules.context_length], labels[: rules.context_length]


def expected_instruction(row, tokenizer, rules):
    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    prompt, together = ids(row.prompt), ids(row.prompt + row.completion)
    answer = together[len(prompt) :] if together[: len(prompt)] == prompt else ids(row.completion)
    all_ids = [*prompt, *answer, tokenizer.eos_token_id]
    hidden = 0 if rules.train_on_inputs == "Always" else len(prompt)
    return all_ids[: rules.context_length], ([IGNORED] * hidden + all_ids[hidden:])[: rules.context_length]


rules_of = st.builds(
    MaskingRules, context_length=st.integers(8, 120), train_on_inputs=st.sampled_from(["Auto", "Always", "Never"])
)


def masks_are_those_of_the_reference(tokenizer):
    encoder = Encoder(tokenizer)

    @given(st.one_of(talks(), st.builds(Instruction, words, words)), rules_of)
    def holds(row, rules):
        expected = expected_talk if isinstance(row, Conversation) else expected_instruction
        ids, labels = expected(row, tokenizer, rules)
        try:
            labelled = label(row, encoder, rules)
        except Dropped as dropped:
            assert dropped.reason == "noTrainableTokens"
            assert [one for one in labels[1:] if one != IGNORED] == []
            return
        assert (labelled.input_ids, labelled.labels) == (ids, labels)
        assert any(one != IGNORED for one in labels[1:])

    return holds


def packs_hold_every_row_once_and_fit():
    lengths = st.lists(st.integers(1, 64), max_size=200)

    @given(lengths, st.integers(64, 256))
    @example([64] * 3 + [1] * 10, 64)
    def holds(lengths, context):
        rows = [Labelled([number] * length, [number] * length, length) for number, length in enumerate(lengths)]
        packs = list(packed(rows, context))
        assert sorted(row.input_ids[0] for pack in packs for row in pack) == list(range(len(rows)))
        assert all(0 < sum(row.tokens for row in pack) <= context for pack in packs)
        # Two packs of which the one would have fitted into the other are never made by a best fit.
        fullness = sorted(sum(row.tokens for row in pack) for pack in packs)
        assert len(fullness) < 2 or fullness[0] + fullness[1] > context

    return holds


def pairs_are_those_of_the_reference(tokenizer):
    encoder = Encoder(tokenizer)

    @given(words, words, words, st.integers(8, 60))
    def holds(prompt, chosen, rejected, context):
        def sides(answer):
            ids, labels = expected_instruction(Instruction(prompt, answer), tokenizer, MaskingRules(context))
            return ids, [one for one in labels[0 if prompt else 1 :] if one != IGNORED]

        (good_ids, good), (bad_ids, bad) = sides(chosen), sides(rejected)
        try:
            ready = pair(PreferenceText(prompt, chosen, rejected), encoder, MaskingRules(context, method="DPO"))
        except Dropped as dropped:
            lost = not good or not bad
            assert dropped.reason == ("noTrainableTokens" if lost else "identicalAnswers")
            assert lost or good_ids == bad_ids
            return
        assert [*ready.prompt_ids, *ready.chosen_ids] == good_ids
        assert [*ready.prompt_ids, *ready.rejected_ids] == bad_ids

    return holds


def test_masks(tokenizer):
    FEW(masks_are_those_of_the_reference(tokenizer))()


def test_packs():
    FEW(packs_hold_every_row_once_and_fit())()


def test_pairs(tokenizer):
    FEW(pairs_are_those_of_the_reference(tokenizer))()


@pytest.mark.prove
def test_masks_packs_and_pairs_of_many_rows(tokenizer):
    MANY(masks_are_those_of_the_reference(tokenizer))()
    MANY(packs_hold_every_row_once_and_fit())()
    MANY(pairs_are_those_of_the_reference(tokenizer))()


@FEW
@given(st.lists(st.sampled_from(["kept", "long", "empty"]), min_size=1, max_size=30), st.integers(1, 5), st.booleans())
def test_what_is_written_is_what_was_kept_and_steps_are_batches_of_it(
    tmp_path_factory, tokenizer, model_path, kinds, batch, packing
):
    rows = {
        "kept": {"prompt": "otter", "completion": " river"},
        "long": {"prompt": "otter " * 60, "completion": " river"},
        "empty": {"messages": []},
    }
    lines = [json.dumps(rows[kind]) for kind in kinds if kind != "empty"] + [json.dumps(rows["kept"])]
    directory = tmp_path_factory.mktemp("steps")
    (directory / "train.jsonl").write_text("\n".join(lines))
    ready = prepare(
        directory / "train.jsonl", tokenizer, model_path, MaskingRules(16), packing=packing, cache=directory / "cache"
    )
    kept = kinds.count("kept") + 1
    assert (ready.summary.trained, ready.summary.dropped.get("noTrainableTokens", 0)) == (kept, kinds.count("long"))
    written = Dataset.from_file(str(ready.rows))
    whole = label(Instruction("otter", " river"), Encoder(tokenizer), MaskingRules(16)).input_ids
    in_one = max(1, 16 // len(whole)) if packing else 1
    assert [ids for row in written for ids in row["input_ids"]] == whole * kept
    good = [line for line, text in enumerate(lines, 1) if text == json.dumps(rows["kept"])]
    assert sorted(line for row in written for line in row["source_rows"]) == good
    batches = [list(range(kept))[start : start + in_one * batch] for start in range(0, kept, in_one * batch)]
    assert -(-len(written) // batch) == len(batches)


@given(st.lists(st.integers(1, 4095), min_size=1, max_size=200))
def test_percentiles_and_histogram_count_every_row(lengths):
    counts = LengthCounts()
    for length in lengths:
        counts.add(length)
    said = counts.said()
    assert said is not None
    ordered = sorted(lengths)
    assert (said.p50, said.max) == (ordered[-(-len(ordered) // 2) - 1], ordered[-1])
    for one in said.histogram:
        assert one.rows == sum(one.least <= length <= one.most for length in lengths)
    assert sum(one.rows for one in said.histogram) == len(lengths)


@given(st.lists(st.sampled_from("abcdef"), max_size=40))
def test_repetitions_are_counted(letters):
    repetitions = Repetitions()
    for number, letter in enumerate(letters, 1):
        repetitions.add(number, Text(letter))
    said = repetitions.said()
    repeating = [number for number, letter in enumerate(letters, 1) if letter in letters[: number - 1]]
    assert said.rows == len(repeating)
    assert said.first == (repeating[0] if repeating else None)
    assert said.repeats == (letters.index(letters[repeating[0] - 1]) + 1 if repeating else None)
