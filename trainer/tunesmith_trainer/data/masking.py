"""Turns one row into token ids and labels; labels are -100 where nothing is to be learnt.

Works with any chat template whose rendering of a talk's beginning is the beginning of the rendering of the whole talk;
templates without that property (those that rewrite earlier turns) are found out row by row.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tunesmith_trainer.data.formats import Conversation, Instruction, Row, Text

IGNORED = -100

DropReason = Literal["noTrainableTokens", "unstableTemplate", "templateRefused"]


class Tokenizer(Protocol):
    """What masking needs of a fast tokenizer of transformers."""

    eos_token_id: int | None

    def __call__(self, text: str, **options: Any) -> Any:
        """Token ids, and offsets of characters when asked for."""

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: Any) -> Any:
        """The talk as the model sees it."""


@dataclass(frozen=True)
class MaskingRules:
    """How rows become labels. `context_length` in tokens."""

    context_length: int
    train_on_inputs: Literal["Auto", "Always", "Never"] = "Auto"
    on_unstable_template: Literal["Refuse", "TrainWhole"] = "Refuse"


@dataclass(frozen=True)
class Labelled:
    """One row ready for training; both lists have the same length, at most the context."""

    input_ids: list[int]
    labels: list[int]
    truncated: bool


class Dropped(Exception):
    """The row cannot be trained on."""

    def __init__(self, reason: DropReason) -> None:
        super().__init__(reason)
        self.reason = reason


def label(row: Row, tokenizer: Tokenizer, rules: MaskingRules) -> Labelled:
    """Token ids and labels of one row, cut at the context length.

    Raises:
        Dropped: when the template cannot render the row stably, or nothing learnable is left.
    """
    if isinstance(row, Conversation):
        ids, labels = _conversation(row, tokenizer, rules)
    elif isinstance(row, Instruction):
        ids, labels = _instruction(row, tokenizer, rules)
    else:
        ids, labels = _text(row, tokenizer)
    cut_ids, cut_labels = ids[: rules.context_length], labels[: rules.context_length]
    # The first token has no predecessor to predict it from, so its label never counts.
    if all(token == IGNORED for token in cut_labels[1:]):
        raise Dropped("noTrainableTokens")
    return Labelled(cut_ids, cut_labels, truncated=len(ids) > rules.context_length)


def _text(row: Text, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    ids = _ids(tokenizer, row.text, special=True) + _end(tokenizer)
    return ids, list(ids)


def _instruction(row: Instruction, tokenizer: Tokenizer, rules: MaskingRules) -> tuple[list[int], list[int]]:
    # Apart, because at inference the prompt is tokenised alone: no token may span the border.
    prompt = _ids(tokenizer, row.prompt, special=True)
    completion = _ids(tokenizer, row.completion, special=False) + _end(tokenizer)
    ids = prompt + completion
    if rules.train_on_inputs == "Always":
        return ids, list(ids)
    return ids, [IGNORED] * len(prompt) + completion


def _conversation(row: Conversation, tokenizer: Tokenizer, rules: MaskingRules) -> tuple[list[int], list[int]]:
    try:
        whole, answers = _rendered(row, tokenizer)
    except _UnstableTemplateError as unstable:
        if rules.on_unstable_template == "Refuse":
            raise Dropped("unstableTemplate") from unstable
        ids = _ids(tokenizer, unstable.whole, special=False)
        return ids, list(ids)
    encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    ids = list(encoded["input_ids"])
    everything = rules.train_on_inputs == "Always"
    learnt = [
        _weight_at(start, answers, outside=everything) if end > start else everything
        for start, end in encoded["offset_mapping"]
    ]
    return ids, [token if keep else IGNORED for token, keep in zip(ids, learnt, strict=True)]


@dataclass(frozen=True)
class _Answer:
    """Characters [start, end) of the rendering that an assistant message put there."""

    start: int
    end: int
    learnt: bool


class _UnstableTemplateError(Exception):
    def __init__(self, whole: str) -> None:
        super().__init__()
        self.whole = whole


def _rendered(row: Conversation, tokenizer: Tokenizer) -> tuple[str, list[_Answer]]:
    messages = [{"role": message.role, "content": message.content} for message in row.messages]
    whole = _render(tokenizer, messages)
    answers = []
    for index, message in enumerate(row.messages):
        if message.role != "assistant":
            continue
        before = _render(tokenizer, messages[:index], answer_follows=True)
        after = _render(tokenizer, messages[: index + 1])
        if not (whole.startswith(before) and whole.startswith(after) and len(before) <= len(after)):
            raise _UnstableTemplateError(whole)
        answers.append(_Answer(len(before), len(after), learnt=message.weight == 1))
    return whole, answers


def _render(tokenizer: Tokenizer, messages: list[dict[str, str]], *, answer_follows: bool = False) -> str:
    from jinja2 import TemplateError  # comes with transformers; the rest of this module needs neither

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer_follows))
    except TemplateError as error:
        raise Dropped("templateRefused") from error


def _weight_at(start: int, answers: list[_Answer], *, outside: bool) -> bool:
    for answer in answers:
        if answer.start <= start < answer.end:
            return answer.learnt
    return outside


def _ids(tokenizer: Tokenizer, text: str, *, special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def _end(tokenizer: Tokenizer) -> list[int]:
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
