"""Messages of a talk, judged: roles in turn, text contents, and tools called and answered.

Keys and roles are those of the provider's conversational format; pictures, sound and other parts are refused by name.
"""

import json
from collections.abc import Sequence
from typing import Any

from tunesmith_trainer.data.faults import BadRow, kind, listed, shown, within
from tunesmith_trainer.data.rows import Conversation, Message, ToolCall, Tools
from tunesmith_trainer.data.strings import sound, sound_value

ROLES = ("system", "user", "assistant", "tool")
KEYS_BY_ROLE = {
    "system": frozenset({"role", "content", "name", "weight"}),
    "user": frozenset({"role", "content", "name", "weight"}),
    "assistant": frozenset({"role", "content", "name", "weight", "tool_calls", "refusal"}),
    "tool": frozenset({"role", "content", "name", "weight", "tool_call_id"}),
}


def conversation(fields: dict[str, Any]) -> Conversation:
    """A row of `messages`, perhaps with `tools`.

    Raises:
        BadRow: when a message is broken, roles are out of turn, or there is no answer to learn.
    """
    messages = _messages(fields["messages"], "messages")
    if not any(message.role == "assistant" for message in messages):
        raise BadRow("has no message of role 'assistant', so there is no answer to learn.")
    return Conversation(messages, tools_of(fields))


def prompt_of(value: Any, key: str) -> tuple[Message, ...]:
    """Messages that an assistant's answer follows.

    Raises:
        BadRow: when they are broken, or the next turn would not be the assistant's.
    """
    messages = _messages(value, key)
    if messages[-1].role not in ("user", "tool"):
        raise BadRow(
            f"'{key}' must end with a message of role 'user' or 'tool', because the answers follow; "
            f"it ends with '{messages[-1].role}'."
        )
    return messages


def one_answer(value: Any, key: str) -> Message:
    """The one assistant message of a preferred or non-preferred answer.

    Raises:
        BadRow: when it is not exactly one, or broken.
    """
    if not isinstance(value, list):
        raise BadRow(f"'{key}' must be a list with one assistant message, this is {kind(value)}.")
    if len(value) != 1:
        raise BadRow(f"'{key}' must be exactly one assistant message, these are {len(value)}.")
    with within(f"'{key}'"):
        message = _message(value[0])
        if message.role != "assistant":
            raise BadRow(f"the message must be of role 'assistant', this is '{message.role}'.")
    return message


def tools_of(fields: dict[str, Any]) -> Tools:
    """The `tools` of a row: a list of definitions, or the same as JSON in a string, as Parquet files hold it.

    Raises:
        BadRow: when they are neither, or a tool has no name.
    """
    value = fields.get("tools")
    if value is None:
        return ()
    if isinstance(value, str):
        value = _json_in(value, "tools")
    if not isinstance(value, list):
        raise BadRow(f"'tools' must be a list of tools, this is {kind(value)}.")
    tools = sound_value(value, "tools")
    for number, tool in enumerate(tools, 1):
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        with within(f"tool {number}"):
            if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
                raise BadRow('must be an object as {"type": "function", "function": {"name": ...}}.')
    return tuple(tools)


def _messages(value: Any, key: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise BadRow(f"'{key}' must be a list with at least one message.")
    messages = []
    for number, entry in enumerate(value, start=1):
        with within(f"message {number}"):
            messages.append(_message(entry))
    _ensure_in_turn(messages)
    return tuple(messages)


def _ensure_in_turn(messages: Sequence[Message]) -> None:
    may_follow: tuple[str, ...] = ("system", "user")
    for number, message in enumerate(messages, start=1):
        if message.role not in may_follow:
            expected = " or ".join(f"'{role}'" for role in may_follow if role != "system")
            raise BadRow(
                f"role '{message.role}' where {expected} is expected. Roles are an optional 'system' first, then "
                "'user' and 'assistant' in turn; 'tool' follows an assistant that called it.",
                part=f"message {number}",
            )
        may_follow = _followers(message)


def _followers(message: Message) -> tuple[str, ...]:
    if message.role == "system":
        return ("user",)
    if message.role == "user":
        return ("assistant",)
    if message.role == "tool":
        return ("tool", "assistant")
    return ("tool",) if message.tool_calls else ("user",)


def _message(value: Any) -> Message:
    if not isinstance(value, dict):
        raise BadRow(f"a message must be an object with 'role' and 'content', this is {kind(value)}.")
    if "role" not in value:
        raise BadRow("has no 'role'.")
    role = value["role"]
    if not isinstance(role, str) or role not in ROLES:
        was = f'"{shown(role)}"' if isinstance(role, str) else kind(role)
        raise BadRow(f"role must be 'system', 'user', 'assistant' or 'tool', this is {was}.")
    if unknown := value.keys() - KEYS_BY_ROLE[role]:
        raise BadRow(
            f"the key {listed(unknown)} is not supported in a message of role '{role}'. "
            f"Keys are {listed(KEYS_BY_ROLE[role] - {'refusal'})}."
        )
    if value.get("refusal") is not None:
        raise BadRow("'refusal' is not supported; write what is to be learnt into 'content'.")
    calls = _tool_calls(value.get("tool_calls"))
    weight = value.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or weight not in (0, 1):
        raise BadRow("'weight' must be 0 or 1.")
    return Message(
        role=role,
        content=_content(value, may_be_absent=bool(calls)),
        weight=int(weight),
        tool_calls=calls,
        tool_call_id=_optional_string(value, "tool_call_id"),
        name=_optional_string(value, "name"),
    )


def _content(value: dict[str, Any], *, may_be_absent: bool) -> str:
    content = value.get("content")
    if content is None and may_be_absent:
        return ""
    if "content" not in value:
        raise BadRow("has no 'content'.")
    if isinstance(content, str):
        return sound(content, "content")
    if not isinstance(content, list):
        raise BadRow(f"'content' must be a string or a list of text parts, this is {kind(content)}.")
    return "".join(_text_part(part, number) for number, part in enumerate(content, start=1))


def _text_part(part: Any, number: int) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise BadRow(f'part {number} of \'content\' must be {{"type": "text", "text": ...}}.')
    if part["type"] != "text":
        raise BadRow(
            f"part {number} of 'content' is of type '{shown(part['type'])}', which is not supported: only text is "
            "trained, no pictures, sound or files. Remove the part, or the row."
        )
    if part.keys() != {"type", "text"} or not isinstance(part["text"], str):
        raise BadRow(f"part {number} of 'content' must have exactly 'type' and a string 'text'.")
    return sound(part["text"], "text")


def _tool_calls(value: Any) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadRow(f"'tool_calls' must be a list, this is {kind(value)}.")
    calls = []
    for number, call in enumerate(value, start=1):
        with within(f"tool call {number}"):
            calls.append(_tool_call(call))
    return tuple(calls)


def _tool_call(value: Any) -> ToolCall:
    if not isinstance(value, dict) or not isinstance(value.get("function"), dict):
        raise BadRow('must be {"type": "function", "function": {"name": ..., "arguments": ...}}.')
    function = value["function"]
    _ensure_keys(value, ("id", "type", "function"))
    _ensure_keys(function, ("name", "arguments"))
    if value.get("type", "function") != "function":
        raise BadRow("'type' must be 'function'.")
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise BadRow("the function has no 'name'.")
    name, arguments = sound(function["name"], "name"), _arguments(function.get("arguments"))
    return ToolCall(name, arguments, _optional_string(value, "id"))


def _arguments(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = _json_in(value, "arguments") if value.strip() else {}
    if not isinstance(value, dict):
        raise BadRow(f"'arguments' must be an object, or one as JSON in a string, this is {kind(value)}.")
    return {sound(str(name), "arguments"): sound_value(part, "arguments") for name, part in value.items()}


def _ensure_keys(value: dict[str, Any], known: tuple[str, ...]) -> None:
    if unknown := value.keys() - set(known):
        raise BadRow(f"the key {listed(unknown)} is not supported. Keys are {listed(known)}.")


def _json_in(text: str, key: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise BadRow(f"'{key}' is nested too deeply.") from error
    except ValueError as error:
        raise BadRow(f"'{key}' is a string that is not JSON.") from error


def _optional_string(value: dict[str, Any], key: str) -> str | None:
    found = value.get(key)
    if found is None:
        return None
    if not isinstance(found, str):
        raise BadRow(f"'{key}' must be a string, this is {kind(found)}.")
    return sound(found, key)
