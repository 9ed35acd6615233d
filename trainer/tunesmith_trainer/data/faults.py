"""What is wrong with a row, and where: the words that a user mends the file by."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

NAMES_SHOWN = 8
Unit = Literal["line", "row"]


class BadRow(Exception):
    """A row that cannot be read. `part` names the place inside the row; `column` counts characters from 1."""

    def __init__(self, reason: str, *, part: str = "", column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.part = part
        self.column = column


@contextmanager
def within(part: str) -> Iterator[None]:
    """Puts the name of a part before the place of a bad row that is found inside of it."""
    try:
        yield
    except BadRow as bad:
        raise BadRow(bad.reason, part=f"{part}, {bad.part}" if bad.part else part, column=bad.column) from bad


@dataclass(frozen=True)
class Place:
    """Where a row stands in its file; lines and rows count from 1, empty lines too."""

    file: str
    number: int
    unit: Unit = "line"

    def __str__(self) -> str:
        return f"{self.file} {self.unit} {self.number}"


@dataclass(frozen=True)
class Fault:
    """A bad row and its place."""

    place: Place
    reason: str
    part: str = ""
    column: int | None = None

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column is not None else ""
        part = f", {self.part}" if self.part else ""
        return f"{self.place}{column}{part}: {self.reason}"

    @classmethod
    def of(cls, place: Place, bad: BadRow) -> "Fault":
        """The fault that a bad row is at its place."""
        return cls(place, bad.reason, bad.part, bad.column)


def refuse(fault: Fault) -> None:
    """Ends the reading at the first fault, as training must.

    Raises:
        TrainerError: of class data, always.
    """
    raise data_error(str(fault))


def data_error(message: str) -> TrainerError:
    """An error that the owner of the file mends."""
    return TrainerError(ErrorClass.DATA, message)


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    number = "a number" if isinstance(value, int | float) else f"of the type {type(value).__name__}"
    return names.get(type(value), number)


def listed(keys: Iterable[Any]) -> str:
    """Keys of a row, quoted and cut: they come from outside."""
    names = sorted(shown(str(key)) for key in keys)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (", ".join(f"'{name}'" for name in names[:NAMES_SHOWN]) or "none") + more


def shown(text: str) -> str:
    """A piece of a row as it may stand in a message: short, and nothing that a terminal or an encoder trips over."""
    cut = text[:40] + ("..." if len(text) > 40 else "")
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)
