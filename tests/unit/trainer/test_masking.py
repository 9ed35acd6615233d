"""Labels: answers are learnt, questions are not, and templates that rewrite earlier turns are found out."""

from contextlib import contextmanager

import pytest
from tokenizers import processors

from tunesmith_trainer.data.encoding import Encoder
from tunesmith_trainer.data.faults import BadRow
from tunesmith_trainer.data.masking import IGNORED, Dropped, MaskingRules
from tunesmith_trainer.data.masking import label as label_with
from tunesmith_trainer.data.rows import Conversation, Instruction, Message, Text, Tokens, ToolCall

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


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
TOOL_TALK = Conversation(
    (
        Message("user", "Rain?"),
        Message("assistant", "", tool_calls=(ToolCall("weather", {"city": "Oslo"}),)),
        Message("tool", "yes", name="weather"),
        Message("assistant", "It rains."),
    ),
    tools=(WEATHER,),
)
TOOL_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<call>CALL</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
AS_OBJECT = TOOL_TEMPLATE.replace(
    "CALL", "{{ call.function.name }} {% for key in call.function.arguments.keys() %}{{ key }}{% endfor %}"
)
AS_STRING = TOOL_TEMPLATE.replace("CALL", "{{ call.function.name + ' ' + call.function.arguments }}")


@contextmanager
def template(tokenizer, text):
    kept, tokenizer.chat_template = tokenizer.chat_template, text
    try:
        yield
    finally:
        tokenizer.chat_template = kept


@pytest.mark.parametrize(
    ("text", "call"), [(AS_OBJECT, "weather city"), (AS_STRING, 'weather {"city": "Oslo"}')], ids=["object", "string"]
)
def test_of_a_talk_with_tools_calls_and_answers_are_learnt_and_what_tools_say_is_not(tokenizer, text, call):
    with template(tokenizer, text):
        labelled = label(TOOL_TALK, tokenizer, RULES)
    assert learnt(labelled, tokenizer) == f"<call>{call}</call><|im_end|>\nIt rains.<|im_end|>\n"
    assert '"name": "weather"' in tokenizer.decode(labelled.input_ids)


def test_a_template_that_leaves_tools_out_drops_the_row(tokenizer):
    with pytest.raises(Dropped, match="templateWithoutTools"):
        label(TOOL_TALK, tokenizer, RULES)


def test_a_template_that_fails_at_a_row_drops_it(tokenizer):
    with template(tokenizer, "{{ messages[0].content + 3 }}"), pytest.raises(Dropped, match="templateRefused"):
        label(TALK, tokenizer, RULES)


def test_tokens_are_taken_as_they_are_unless_all_is_to_be_learnt(tokenizer):
    row = Tokens((5, 6, 7, 8), (IGNORED, IGNORED, 7, 8))
    assert label(row, tokenizer, RULES).labels == [IGNORED, IGNORED, 7, 8]
    assert label(row, tokenizer, MaskingRules(512, train_on_inputs="Always")).labels == [5, 6, 7, 8]


@pytest.mark.parametrize("row", [Tokens((5, 400), (5, 6)), Tokens((5, 6), (5, 400)), Tokens((5, -3), (5, 6))])
def test_a_token_that_the_model_does_not_know_is_a_broken_row(tokenizer, row):
    with pytest.raises(BadRow, match="at place 2; the model knows 0 to 399"):
        label(row, tokenizer, MaskingRules(512, vocabulary=400))


def test_blanks_of_an_answer_are_learnt_where_the_tokenizer_trims_them_off_its_spans(tokenizer):
    backend = tokenizer.backend_tokenizer
    kept, backend.post_processor = backend.post_processor, processors.ByteLevel(trim_offsets=True)
    try:
        labelled = label(
            Conversation((Message("user", "a  b"), Message("assistant", "if  x:\n        y"))), tokenizer, RULES
        )
    finally:
        backend.post_processor = kept or processors.Sequence([])
    assert learnt(labelled, tokenizer) == "if  x:\n        y<|im_end|>\n"


def test_special_tokens_stand_once_at_the_ends_however_the_tokenizer_adds_them(tokenizer):
    backend, end = tokenizer.backend_tokenizer, tokenizer.eos_token_id
    first = tokenizer.convert_tokens_to_ids("<|im_start|>")
    kept, backend.post_processor = (
        backend.post_processor,
        processors.TemplateProcessing(
            single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", first), ("<|im_end|>", end)]
        ),
    )
    try:
        text = label(Text("otter"), tokenizer, RULES).input_ids
        instruction = label(Instruction("otter", " river"), tokenizer, RULES).input_ids
    finally:
        backend.post_processor = kept or processors.Sequence([])
    for ids in (text, instruction):
        assert (ids.count(first), ids[0], ids.count(end), ids[-1]) == (1, first, 1, end)
