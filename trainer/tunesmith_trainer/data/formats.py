"""Reads dataset files row by row. A broken row is a user error that names the file, the line and what is wrong.

One format a file, told by the first row's keys; rows of the formats are JSON objects, one a line:
`{"messages": [{"role": ..., "content": ...}, ...]}`, `{"prompt": ..., "completion": ...}`, `{"text": ...}`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError


@dataclass(frozen=True)
class Message:
    """One turn of a talk. Weight 0: not learnt, although an answer."""

    role: str
    content: str
    weight: int = 1


@dataclass(frozen=True)
class Conversation:
    """A row of `messages`: perhaps a system message, then user and assistant in turn."""

    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Instruction:
    """A row of `prompt` and `completion`."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class Text:
    """A row of `text`: all of it is learnt."""

    text: str


Row = Conversation | Instruction | Text

FORMATS: Mapping[str, frozenset[str]] = {
    "messages": frozenset({"messages"}),
    "prompt and completion": frozenset({"prompt", "completion"}),
    "text": frozenset({"text"}),
}
MESSAGE_KEYS = frozenset({"role", "content", "weight"})


def read_rows(path: Path) -> Iterator[Row]:
    """Yields the rows of a JSONL file in order; empty lines are passed over.

    Raises:
        TrainerError: of class data, when the file is missing, is not UTF-8, or has a broken row.
    """
    if not path.is_file():
        what = "is a directory, not a file" if path.is_dir() else "does not exist on the job's storage"
        raise _data_error(f"The dataset file '{path}' {what}. Check the dataset's path and that its volume is right.")
    chosen: str | None = None
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            at = f"{path.name} line {number}"
            fields = _parsed(raw, at)
            chosen = _format_of(fields, at, chosen)
            yield _row(fields, chosen, at)
    if chosen is None:
        raise _data_error(f"The dataset file '{path}' has no rows.")


def _parsed(raw: bytes, at: str) -> dict[str, Any]:
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _data_error(f"{at}: not UTF-8 at byte {error.start + 1}. Save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise _data_error(
            f"{at}, column {error.colno}: not JSON ({error.msg}). Each line must be one object."
        ) from error
    except RecursionError as error:
        raise _data_error(f"{at}: not a row, nested too deeply.") from error
    if not isinstance(value, dict):
        raise _data_error(f"{at}: a row must be a JSON object, this is {_kind(value)}.")
    return value


def _format_of(fields: dict[str, Any], at: str, chosen: str | None) -> str:
    matching = next((name for name, keys in FORMATS.items() if keys == fields.keys()), None)
    if matching is None:
        raise _data_error(
            f"{at}: has the keys {_listed(fields)}; a row has exactly 'messages', or 'prompt' and 'completion', "
            "or 'text'. Remove other keys."
        )
    if chosen is not None and matching != chosen:
        raise _data_error(
            f"{at}: a row of {matching}, but the file began with rows of {chosen}. Use one format a file."
        )
    return matching


def _row(fields: dict[str, Any], chosen: str, at: str) -> Row:
    if chosen == "messages":
        return _conversation(fields["messages"], at)
    for key, value in fields.items():
        if not isinstance(value, str):
            raise _data_error(f"{at}: '{key}' must be a string, this is {_kind(value)}.")
    if chosen == "text":
        return Text(fields["text"])
    return Instruction(fields["prompt"], fields["completion"])


def _conversation(value: Any, at: str) -> Conversation:
    if not isinstance(value, list) or not value:
        raise _data_error(f"{at}: 'messages' must be a list with at least one message.")
    messages = tuple(_message(entry, f"{at}, message {number}") for number, entry in enumerate(value, start=1))
    expected = "user"
    for number, message in enumerate(messages, start=1):
        if number == 1 and message.role == "system":
            continue
        if message.role != expected:
            raise _data_error(
                f"{at}, message {number}: role '{message.role}' where '{expected}' is expected. Roles are an optional "
                "'system' first, then 'user' and 'assistant' in turn."
            )
        expected = "assistant" if expected == "user" else "user"
    if not any(message.role == "assistant" for message in messages):
        raise _data_error(f"{at}: has no message of role 'assistant', so there is no answer to learn.")
    return Conversation(messages)


def _message(value: Any, at: str) -> Message:
    if not isinstance(value, dict):
        raise _data_error(f"{at}: a message must be an object with 'role' and 'content', this is {_kind(value)}.")
    if missing := {"role", "content"} - value.keys():
        raise _data_error(f"{at}: has no {_listed(missing)}.")
    if unknown := value.keys() - MESSAGE_KEYS:
        raise _data_error(f"{at}: the key {_listed(unknown)} is not supported. Keys are 'role', 'content', 'weight'.")
    role, content, weight = value["role"], value["content"], value.get("weight", 1)
    if role not in ("system", "user", "assistant"):
        raise _data_error(f"{at}: role must be 'system', 'user' or 'assistant', this is {json.dumps(role)[:60]}.")
    if not isinstance(content, str):
        raise _data_error(f"{at}: 'content' must be a string, this is {_kind(content)}.")
    if isinstance(weight, bool) or weight not in (0, 1):
        raise _data_error(f"{at}: 'weight' must be 0 or 1.")
    return Message(role, content, int(weight))


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _listed(keys: Any) -> str:
    names = sorted(str(key)[:40] for key in keys)
    return ", ".join(f"'{name}'" for name in names[:8]) or "none"


def _data_error(message: str) -> TrainerError:
    return TrainerError(ErrorClass.DATA, message)
