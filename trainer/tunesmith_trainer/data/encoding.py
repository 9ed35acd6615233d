"""A model's tokenizer and chat template, with what rows need of them and no surprises: no token spans a border that
inference would cut at, special tokens come once, and a template that leaves something out is found out.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from tunesmith_trainer.data.rows import Message, Tools
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

DropReason = Literal[
    "noTrainableTokens", "unstableTemplate", "templateRefused", "templateWithoutTools", "identicalAnswers"
]
# Whatever a template does to a row that it was not written for, besides refusing it in words.
TEMPLATE_FAILURES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class Tokenizer(Protocol):
    """What is needed of a fast tokenizer of transformers."""

    eos_token_id: int | None

    def __call__(self, text: str, **options: Any) -> Any:
        """Token ids, and offsets of characters when asked for."""

    def apply_chat_template(self, conversation: list[dict[str, Any]], **options: Any) -> Any:
        """The talk as the model sees it."""


class Dropped(Exception):
    """The row cannot be trained on. `whole_tokens` is its length where that is known."""

    def __init__(self, reason: DropReason, whole_tokens: int | None = None) -> None:
        super().__init__(reason)
        self.reason: DropReason = reason
        self.whole_tokens = whole_tokens


class Encoder:
    """Texts to token ids, talks to texts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Learns which special tokens the tokenizer puts before a text.

        Raises:
            TrainerError: of class model, when the tokenizer cannot say which characters a token stands for.
        """
        if not getattr(tokenizer, "is_fast", True):
            raise TrainerError(
                ErrorClass.MODEL,
                "The model's tokenizer has no tokenizer.json, without which answers cannot be told from questions. "
                "Use a model that has one, or convert its tokenizer.",
            )
        self._tokenizer = tokenizer
        self._before = _special_tokens_before(tokenizer)

    @property
    def end(self) -> list[int]:
        """The token that ends a text, if the model has one."""
        return [] if self._tokenizer.eos_token_id is None else [self._tokenizer.eos_token_id]

    def ids(self, text: str) -> list[int]:
        """Token ids of a text that stands inside of another."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def opening_ids(self, text: str) -> list[int]:
        """Token ids of a text that a sequence begins with."""
        return [*self._before, *self.ids(text)]

    def ids_and_spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids, and the characters [start, end) that each stands for; some tokenizers leave blanks out of it."""
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(encoded["input_ids"]), list(encoded["offset_mapping"])

    def continued(self, before: str, after: str) -> tuple[list[int], list[int]]:
        """Token ids of a text and of what follows it: the first as inference would cut it, with the prompt alone."""
        first, whole = self.ids(before), self.ids(before + after)
        # As one text where that makes no difference to the first: some tokenizers put a blank before every text.
        return first, whole[len(first) :] if whole[: len(first)] == first else self.ids(after)

    def continued_opening(self, before: str, after: str) -> tuple[list[int], list[int]]:
        """The same for a prompt that a sequence begins with."""
        first, rest = self.continued(before, after)
        return [*self._before, *first], rest

    def render(self, messages: Sequence[Message], tools: Tools, *, answer_follows: bool = False) -> str:
        """The talk as text.

        Raises:
            Dropped: when the template refuses the row, or fails at it.
        """
        from jinja2 import TemplateError  # comes with transformers; the rest of this module needs neither

        def rendered(arguments_as: Literal["object", "string"]) -> str:
            return str(
                self._tokenizer.apply_chat_template(
                    [_said(message, arguments_as) for message in messages],
                    tokenize=False,
                    add_generation_prompt=answer_follows,
                    **({"tools": [dict(tool) for tool in tools]} if tools else {}),
                )
            )

        try:
            return rendered("object")
        except TemplateError as error:
            raise Dropped("templateRefused") from error
        except TEMPLATE_FAILURES as error:
            if not any(message.tool_calls for message in messages):
                raise Dropped("templateRefused") from error
        try:
            # Some templates (DeepSeek's) join the arguments as a string.
            return rendered("string")
        except (TemplateError, *TEMPLATE_FAILURES) as error:
            raise Dropped("templateRefused") from error


def ensure_tools_rendered(rendering: str, messages: Sequence[Message], tools: Tools) -> None:
    """Templates that know nothing of tools leave them out without a word; a model must not learn from such rows.

    Raises:
        Dropped: when the name of a tool that is defined or called is not in the rendering.
    """
    names = [str(tool.get("function", tool)["name"]) for tool in tools]
    names += [call.name for message in messages for call in message.tool_calls]
    if not all(name in rendering for name in names):
        raise Dropped("templateWithoutTools")


def _said(message: Message, arguments_as: Literal["object", "string"]) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        said["name"] = message.name
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        said["tool_calls"] = [
            {
                **({} if call.id is None else {"id": call.id}),
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(call.arguments, ensure_ascii=False)
                    if arguments_as == "string"
                    else call.arguments,
                },
            }
            for call in message.tool_calls
        ]
    return said


def _special_tokens_before(tokenizer: Tokenizer) -> list[int]:
    plain = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    special = list(tokenizer("a", add_special_tokens=True)["input_ids"])
    starts = range(len(special) - len(plain) + 1)
    return next((special[:start] for start in starts if special[start : start + len(plain)] == plain), [])
