"""The kinds of rows that training learns from, once read and judged; nothing here knows of files or tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MethodType = Literal["SFT", "DPO"]
Tools = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ToolCall:
    """A function that the assistant calls; `arguments` as an object, however the file wrote them."""

    name: str
    arguments: Mapping[str, Any]
    id: str | None = None


@dataclass(frozen=True)
class Message:
    """One turn of a talk. Weight 0: not learnt, although an answer."""

    role: str
    content: str
    weight: int = 1
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Conversation:
    """A row of `messages`: perhaps a system message, then user, assistant and tools in turn."""

    messages: tuple[Message, ...]
    tools: Tools = ()


@dataclass(frozen=True)
class Instruction:
    """A row of `prompt` and `completion`."""

    prompt: str
    completion: str


@dataclass(frozen=True)
class Text:
    """A row of `text`: all of it is learnt."""

    text: str


@dataclass(frozen=True)
class Tokens:
    """A row of token ids made by the user; `labels` hold -100 where nothing is to be learnt. Padding is gone."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class PreferenceTalk:
    """A talk up to the user's last turn, with a better and a worse answer to it."""

    messages: tuple[Message, ...]
    chosen: Message
    rejected: Message
    tools: Tools = ()


@dataclass(frozen=True)
class PreferenceText:
    """A plain prompt, with a better and a worse continuation."""

    prompt: str
    chosen: str
    rejected: str


Example = Conversation | Instruction | Text | Tokens
Preference = PreferenceTalk | PreferenceText
Row = Example | Preference
