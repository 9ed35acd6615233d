"""Reads dataset files row by row. A broken row is a user error that names the file, the line and what is wrong.

One format a file, told by the first row's keys (`FORMATS`); other keys are refused, because what is written there would
be left out of the training in silence.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_trainer.data.faults import BadRow, Fault, Place, data_error, kind, listed, refuse
from tunesmith_trainer.data.files import DataSource, Fields
from tunesmith_trainer.data.messages import conversation, one_answer, prompt_of, tools_of
from tunesmith_trainer.data.rows import (
    Instruction,
    MethodType,
    PreferenceTalk,
    PreferenceText,
    Row,
    Text,
    Tokens,
)
from tunesmith_trainer.data.strings import string_in
from tunesmith_trainer.data.tokens import tokens

OnFault = Callable[[Fault], None]


@dataclass(frozen=True)
class Format:
    """One way to write rows: the keys that tell it, those that may be absent, and the method that learns from it."""

    name: str
    keys: frozenset[str]
    read: Callable[[Fields], Row]
    method: MethodType = "SFT"
    optional: frozenset[str] = frozenset()

    def has(self, keys: "set[str] | frozenset[str]") -> bool:
        """Whether a row with these keys is of this format."""
        return self.keys <= keys <= self.keys | self.optional


@dataclass(frozen=True)
class Read:
    """A good row and its place."""

    place: Place
    row: Row


class DatasetFile(DataSource):
    """A dataset file as rows of one format. `format` is known after the first good row."""

    format: Format | None = None

    def read(self, method: MethodType | None = None, on_fault: OnFault = refuse) -> Iterator[Read]:
        """The good rows in order; `on_fault` gets the others, and by default ends the reading.

        Raises:
            TrainerError: of class data, when the file cannot be read on, has no rows, or rows for another method.
        """
        some = False
        for place, fields in self.rows():
            some = True
            try:
                yield Read(place, self._row(fields, method))
            except BadRow as bad:
                on_fault(Fault.of(place, bad))
        if not some:
            raise data_error(f"The dataset file '{self.path}' has no rows.")

    def _row(self, fields: "Fields | Fault", method: MethodType | None) -> Row:
        if isinstance(fields, Fault):
            raise BadRow(fields.reason, part=fields.part, column=fields.column)
        matching = _format_of(fields)
        if self.format is not None and matching is not self.format:
            raise BadRow(f"a row of {matching.name}, but the file began with rows of {self.format.name}. "
                         "Use one format a file.")  # fmt: skip
        if method is not None and matching.method != method:
            raise data_error(_unfit(self.path, matching, method))
        row = matching.read(fields)
        self.format = matching
        return row


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file in order.

    Raises:
        TrainerError: of class data, when the file is missing, damaged, without rows, or has a broken row.
    """
    return (read.row for read in DatasetFile(path).read())


def _format_of(fields: Fields) -> Format:
    matching = next((one for one in FORMATS if one.has(fields.keys() | set())), None)
    if matching is not None:
        return matching
    known = "; or ".join(", ".join(f"'{key}'" for key in sorted(one.keys)) for one in FORMATS)
    raise BadRow(f"has the keys {listed(fields)}; a row has exactly {known}. Remove other keys.")


def _unfit(path: Path, found: Format, method: MethodType) -> str:
    wanted = " or ".join(one.name for one in FORMATS if one.method == method)
    other = "DPO" if method == "SFT" else "SFT"
    return (
        f"'{path.name}' has rows of {found.name}, from which the method {method} cannot learn: it needs rows of "
        f"{wanted}. Give such a file, or set the method to {other}."
    )


def _instruction(fields: Fields) -> Row:
    return Instruction(string_in(fields, "prompt"), string_in(fields, "completion"))


def _text(fields: Fields) -> Row:
    return Text(string_in(fields, "text"))


def _provider_preference(fields: Fields) -> Row:
    given = fields["input"]
    if not isinstance(given, dict):
        raise BadRow(f"'input' must be an object with 'messages', this is {kind(given)}.")
    if "messages" not in given:
        raise BadRow("'input' has no 'messages'.")
    if unknown := given.keys() - {"messages", "tools", "parallel_tool_calls"}:
        raise BadRow(f"the key {listed(unknown)} in 'input' is not supported. Keys are 'messages' and 'tools'.")
    return _preference_talk(
        given["messages"], fields, ("preferred_output", "non_preferred_output"), given, key="input.messages"
    )


def _trl_preference(fields: Fields) -> Row:
    names = ("chosen", "rejected")
    if not any(isinstance(fields[name], list) for name in ("prompt", *names)):
        if fields.get("tools") is not None:
            raise BadRow("'tools' need a 'prompt' of messages, this one is a string.")
        return PreferenceText(*(string_in(fields, name) for name in ("prompt", *names)))
    return _preference_talk(fields["prompt"], fields, names, fields, key="prompt")


def _preference_talk(messages: Any, fields: Fields, names: tuple[str, str], tools: Fields, *, key: str) -> Row:
    prompt = prompt_of(messages, key)
    chosen, rejected = (one_answer(fields[name], name) for name in names)
    return PreferenceTalk(prompt, chosen, rejected, tools_of(tools))


FORMATS: tuple[Format, ...] = (
    Format("messages", frozenset({"messages"}), conversation, optional=frozenset({"tools", "parallel_tool_calls"})),
    Format("prompt and completion", frozenset({"prompt", "completion"}), _instruction),
    Format("text", frozenset({"text"}), _text),
    Format(
        "input_ids", frozenset({"input_ids"}), tokens, optional=frozenset({"attention_mask", "labels", "position_ids"})
    ),
    Format(
        "preferred and non-preferred outputs",
        frozenset({"input", "preferred_output", "non_preferred_output"}),
        _provider_preference,
        method="DPO",
    ),
    Format(
        "prompt, chosen and rejected",
        frozenset({"prompt", "chosen", "rejected"}),
        _trl_preference,
        method="DPO",
        optional=frozenset({"tools"}),
    ),
)

__all__ = ["FORMATS", "DatasetFile", "Format", "Read", "Tokens", "read_rows"]
