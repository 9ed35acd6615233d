"""Labels: answers are learnt, questions are not, and templates that rewrite earlier turns are found out."""

import pytest

from tunesmith_trainer.data.encoding import Encoder
from tunesmith_trainer.data.masking import IGNORED, Dropped, MaskingRules
from tunesmith_trainer.data.masking import label as label_with
from tunesmith_trainer.data.rows import Conversation, Instruction, Message, Text

TALK = Conversation(
    (
        Message("system", "Be short."),
        Message("user", "Where does the otter live?"),
        Message("assistant", "The otter lives near the river."),
        Message("user", "And the heron?"),
        Message("assistant", "The heron lives near the meadow."),
    )
)
RULES = MaskingRules(context_length=512)
REWRITING_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] if loop.last else message['content'][:3] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def label(row, tokenizer, rules):
    return label_with(row, Encoder(tokenizer), rules)


def learnt(labelled, tokenizer):
    return tokenizer.decode([token for token in labelled.labels if token != IGNORED])


@pytest.fixture()
def unstable(tokenizer):
    kept, tokenizer.chat_template = tokenizer.chat_template, REWRITING_TEMPLATE
    yield tokenizer
    tokenizer.chat_template = kept


def test_of_a_talk_exactly_the_answers_and_their_ends_are_learnt(tokenizer):
    assert learnt(label(TALK, tokenizer, RULES), tokenizer) == (
        "The otter lives near the river.<|im_end|>\nThe heron lives near the meadow.<|im_end|>\n"
    )


def test_the_tokens_are_those_of_the_whole_rendering(tokenizer):
    messages = [{"role": m.role, "content": m.content} for m in TALK.messages]
    labelled = label(TALK, tokenizer, RULES)
    assert tokenizer.decode(labelled.input_ids) == tokenizer.apply_chat_template(messages, tokenize=False)
    assert all(token in (IGNORED, wanted) for token, wanted in zip(labelled.labels, labelled.input_ids, strict=True))


def test_an_answer_of_weight_zero_is_not_learnt(tokenizer):
    first, second = Message("assistant", "No.", weight=0), Message("assistant", "Yes.")
    talk = Conversation((Message("user", "a"), first, Message("user", "b"), second))
    assert learnt(label(talk, tokenizer, RULES), tokenizer) == "Yes.<|im_end|>\n"


def test_always_learns_the_questions_too_but_not_what_has_weight_zero(tokenizer):
    talk = Conversation((Message("user", "a"), Message("assistant", "No.", weight=0)))
    text = learnt(label(talk, tokenizer, MaskingRules(512, train_on_inputs="Always")), tokenizer)
    assert "user\na" in text
    assert "No." not in text


@pytest.mark.parametrize(("rule", "wanted"), [("Auto", "out<|im_end|>"), ("Always", "in out<|im_end|>")])
def test_a_prompt_is_learnt_only_always(tokenizer, rule, wanted):
    labelled = label(Instruction("in ", "out"), tokenizer, MaskingRules(512, train_on_inputs=rule))
    assert learnt(labelled, tokenizer) == wanted


def test_all_of_a_text_is_learnt(tokenizer):
    assert learnt(label(Text("otter"), tokenizer, RULES), tokenizer) == "otter<|im_end|>"


def test_a_row_whose_answer_lies_beyond_the_context_has_nothing_to_learn(tokenizer):
    with pytest.raises(Dropped, match="noTrainableTokens"):
        label(TALK, tokenizer, MaskingRules(context_length=8))


def test_a_long_row_is_cut_and_says_so(tokenizer):
    labelled = label(TALK, tokenizer, MaskingRules(context_length=40))
    assert labelled.truncated
    assert len(labelled.input_ids) == len(labelled.labels) == 40


def test_a_template_that_rewrites_earlier_turns_drops_the_row(unstable):
    with pytest.raises(Dropped, match="unstableTemplate"):
        label(TALK, unstable, RULES)


def test_such_a_row_is_learnt_whole_on_request(unstable):
    labelled = label(TALK, unstable, MaskingRules(512, on_unstable_template="TrainWhole"))
    assert labelled.labels == labelled.input_ids


def test_a_template_that_refuses_the_row_drops_it(tokenizer):
    kept, tokenizer.chat_template = tokenizer.chat_template, "{{ raise_exception('no system message, please') }}"
    try:
        with pytest.raises(Dropped, match="templateRefused"):
            label(TALK, tokenizer, RULES)
    finally:
        tokenizer.chat_template = kept
