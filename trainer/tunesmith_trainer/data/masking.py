"""Turns one example into token ids and labels; labels are -100 where nothing is to be learnt.

Works with any chat template whose rendering of a talk's beginning is the beginning of the rendering of the whole talk;
templates without that property (those that rewrite earlier turns) are found out row by row.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith_trainer.data.encoding import Dropped, Encoder, ensure_tools_rendered
from tunesmith_trainer.data.rows import Conversation, Example, Instruction, MethodType, Text, Tokens
from tunesmith_trainer.data.tokens import IGNORED, ensure_known

__all__ = ["IGNORED", "Dropped", "Labelled", "MaskingRules", "label"]


@dataclass(frozen=True)
class MaskingRules:
    """How rows become labels. `context_length` in tokens; `vocabulary` is how many token ids the model knows."""

    context_length: int
    train_on_inputs: Literal["Auto", "Always", "Never"] = "Auto"
    on_unstable_template: Literal["Refuse", "TrainWhole"] = "Refuse"
    method: MethodType = "SFT"
    vocabulary: int | None = None


@dataclass(frozen=True)
class Labelled:
    """One row ready for training; both lists have the same length, at most the context.

    `whole_tokens` is the length before the cut; `number` the line or row of the file that it was made from.
    """

    input_ids: Sequence[int]
    labels: Sequence[int]
    whole_tokens: int
    number: int = 0

    @property
    def tokens(self) -> int:
        """Length of the sequence."""
        return len(self.input_ids)

    @property
    def learnt_tokens(self) -> int:
        """How many of them are learnt; the first has no predecessor to predict it from, so its label never counts."""
        return sum(token != IGNORED for token in self.labels[1:])

    @property
    def truncated(self) -> bool:
        """Whether the row was longer than the context."""
        return self.whole_tokens > self.tokens

    def compact(self) -> "Labelled":
        """The same in a sixth of the memory, for rows that wait."""
        return Labelled(array("i", self.input_ids), array("i", self.labels), self.whole_tokens, self.number)


def label(row: Example, encoder: Encoder, rules: MaskingRules) -> Labelled:
    """Token ids and labels of one row, cut at the context length.

    Raises:
        Dropped: when the template cannot render the row stably, or nothing learnable is left.
        BadRow: when a row of token ids is not for this model.
    """
    ids, labels = _whole(row, encoder, rules)
    labelled = Labelled(ids[: rules.context_length], labels[: rules.context_length], len(ids))
    if labelled.learnt_tokens == 0:
        raise Dropped("noTrainableTokens", len(ids))
    return labelled


def _whole(row: Example, encoder: Encoder, rules: MaskingRules) -> tuple[list[int], list[int]]:
    if isinstance(row, Conversation):
        return _conversation(row, encoder, rules)
    if isinstance(row, Instruction):
        return _instruction(row, encoder, rules)
    if isinstance(row, Text):
        return _text(row, encoder)
    return _tokens(row, rules)


def _text(row: Text, encoder: Encoder) -> tuple[list[int], list[int]]:
    ids = encoder.opening_ids(row.text) + encoder.end
    return ids, list(ids)


def _tokens(row: Tokens, rules: MaskingRules) -> tuple[list[int], list[int]]:
    if rules.vocabulary is not None:
        ensure_known(row, rules.vocabulary)
    ids = list(row.input_ids)
    return ids, list(ids) if rules.train_on_inputs == "Always" else list(row.labels)


def _instruction(row: Instruction, encoder: Encoder, rules: MaskingRules) -> tuple[list[int], list[int]]:
    prompt, answer = encoder.continued_opening(row.prompt, row.completion)
    completion = answer + encoder.end
    ids = prompt + completion
    if rules.train_on_inputs == "Always":
        return ids, list(ids)
    return ids, [IGNORED] * len(prompt) + completion


def _conversation(row: Conversation, encoder: Encoder, rules: MaskingRules) -> tuple[list[int], list[int]]:
    try:
        whole, answers = _rendered(row, encoder)
    except _UnstableTemplateError as unstable:
        if rules.on_unstable_template == "Refuse":
            raise Dropped("unstableTemplate") from unstable
        ids = encoder.ids(unstable.whole)
        return ids, list(ids)
    ids, spans = encoder.ids_and_spans(whole)
    everything = rules.train_on_inputs == "Always"
    learnt = [_learnt(start, end, answers, outside=everything) for start, end in spans]
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


def _rendered(row: Conversation, encoder: Encoder) -> tuple[str, list[_Answer]]:
    whole = encoder.render(row.messages, row.tools)
    ensure_tools_rendered(whole, row.messages, row.tools)
    answers = []
    for index, message in enumerate(row.messages):
        if message.role != "assistant":
            continue
        before = encoder.render(row.messages[:index], row.tools, answer_follows=True)
        after = encoder.render(row.messages[: index + 1], row.tools)
        if not (whole.startswith(before) and whole.startswith(after) and len(before) <= len(after)):
            raise _UnstableTemplateError(whole)
        answers.append(_Answer(len(before), len(after), learnt=message.weight == 1))
    return whole, answers


def _learnt(start: int, end: int, answers: list[_Answer], *, outside: bool) -> bool:
    # A token of blanks has no width where the tokenizer trims blanks off its spans: such a one ends where it stood.
    inside = end - 1 if start == end else start
    for answer in answers:
        if answer.start <= inside < answer.end:
            return answer.learnt
    return outside
