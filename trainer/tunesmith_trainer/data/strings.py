"""Strings of rows, judged: they must survive tokenisers and encoders."""

from typing import Any

from tunesmith_trainer.data.faults import BadRow, kind

# Far more than any tool needs, and far less than the interpreter's stack.
DEEPEST = 64


def string_in(fields: dict[str, Any], key: str) -> str:
    """The string under a key.

    Raises:
        BadRow: when it is another kind of value, or not text.
    """
    value = fields[key]
    if not isinstance(value, str):
        raise BadRow(f"'{key}' must be a string, this is {kind(value)}.")
    return sound(value, key)


def sound(text: str, key: str) -> str:
    """The text itself, when it can be written as UTF-8.

    Raises:
        BadRow: when it has half of a surrogate pair; JSON lets them in, as `\\ud800`.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRow(
            f"'{key}' has half of a surrogate pair at character {error.start + 1}, which is no text. Remove it."
        ) from error
    return text


def sound_value(value: Any, key: str, depth: int = 0) -> Any:
    """A JSON value of any shape, when all its strings are text and it is not nested beyond all use.

    Raises:
        BadRow: otherwise.
    """
    if depth > DEEPEST:
        raise BadRow(f"'{key}' is nested deeper than {DEEPEST} levels.")
    if isinstance(value, str):
        return sound(value, key)
    if isinstance(value, dict):
        return {sound(str(name), key): sound_value(part, key, depth + 1) for name, part in value.items()}
    if isinstance(value, list):
        return [sound_value(part, key, depth + 1) for part in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    raise BadRow(f"'{key}' holds a value {kind(value)}, which JSON does not have.")
