"""Nothing secret gets into a log line, whatever is logged."""

from __future__ import annotations

import json
import logging

import pytest

from tunesmith.controllers.context import Work, working_on
from tunesmith.controllers.controller import Key
from tunesmith.serving.logs import JsonLines, Redactor

CANARY = "canary-0123456789"


def written(message: str, *, error: BaseException | None = None, **extra: object) -> dict[str, object]:
    """The line that a call of a logger leads to."""
    redactor = Redactor()
    redactor.remember(CANARY)
    trace = (type(error), error, error.__traceback__) if error else None
    record = logging.getLogger("tunesmith.x").makeRecord(
        "tunesmith.x", logging.INFO, __file__, 1, message, (), trace, extra=extra
    )
    return json.loads(JsonLines(redactor).format(record))


@pytest.mark.parametrize(
    "text",
    [
        f"the key is {CANARY}",
        "Authorization: Bearer abcdefghijklmnop",
        "users:\n- user:\n    client-key-data: QUJDREVGR0hJSktMTU5PUA==",
        '{"token": "abcdefghijklmnop"}',
        "-----BEGIN PRIVATE KEY-----\nABCDEFGH\n-----END PRIVATE KEY-----",
    ],
)
def test_secrets_are_hidden_by_value_and_by_shape(text: str) -> None:
    redactor = Redactor()
    redactor.remember(CANARY)
    shown = redactor.redacted(text)
    assert "[hidden]" in shown
    for secret in (CANARY, "abcdefghijklmnop", "QUJDREVGR0hJSktMTU5PUA", "ABCDEFGH"):
        assert secret not in shown


def test_a_traceback_shows_no_secret_either() -> None:
    try:
        raise ValueError(f"refused {CANARY}")
    except ValueError as error:
        line = written("It failed.", error=error, detail=CANARY)
    assert CANARY not in json.dumps(line)
    assert "ValueError" in line["exc_info"]


def test_a_line_says_what_was_being_worked_on() -> None:
    token = working_on.set(Work(Key("GPUCluster", "team", "a"), "u1", 3))
    line = written("Bought.")
    working_on.reset(token)
    assert (line["kind"], line["key"], line["uid"], line["generation"]) == ("GPUCluster", "team/a", "u1", 3)
    assert (line["level"], line["message"]) == ("INFO", "Bought.")


def test_every_line_of_a_remembered_text_is_hidden() -> None:
    redactor = Redactor()
    redactor.remember("first-long-line\nsecond-long-line\nx")
    assert redactor.redacted("a second-long-line b x") == "a [hidden] b x"
