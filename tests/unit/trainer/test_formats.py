"""Dataset rows: what is read, and how each broken one is told."""

import json

import pytest

from tunesmith_trainer.data.formats import read_rows
from tunesmith_trainer.data.rows import Conversation, Instruction, Message, Text
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

GOOD = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}


def file_of(tmp_path, *lines):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return path


def test_the_three_formats_are_read(tmp_path):
    assert list(read_rows(file_of(tmp_path, GOOD))) == [
        Conversation((Message("user", "q"), Message("assistant", "a"))),
    ]
    assert list(read_rows(file_of(tmp_path, {"prompt": "p", "completion": "c"}))) == [Instruction("p", "c")]
    assert list(read_rows(file_of(tmp_path, {"text": "t"}, b"", b"  "))) == [Text("t")]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"text": "a"', "line 2, column 13: not JSON"),
        (b"\xff\xfe", "line 2: not UTF-8 at byte 1"),
        ([1], "line 2: a row must be a JSON object, this is a list"),
        ({"question": "q"}, "line 2: has the keys 'question'"),
        ({"text": "t"}, "line 2: a row of text, but the file began with rows of messages"),
        ({"messages": []}, "line 2: 'messages' must be a list with at least one message"),
        ({"messages": [{"role": "user"}]}, "line 2, message 1: has no 'content'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 'line 2, message 1: role must be .* this is "robot"'),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "message 1: role 'assistant' where 'user' is expected"),
        ({"messages": [{"role": "user", "content": "x"}]}, "line 2: has no message of role 'assistant'"),
        ({"messages": [{"role": "user", "content": 3}]}, "line 2, message 1: 'content' must be a string"),
        ({"messages": [{"role": "user", "content": "x", "weight": 2}]}, "'weight' must be 0 or 1"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": []}]}, "the key 'tool_calls' is not supported"),
    ],
)
def test_a_broken_row_is_told_with_file_line_and_reason(tmp_path, line, told):
    with pytest.raises(TrainerError, match=told) as raised:
        list(read_rows(file_of(tmp_path, GOOD, line)))
    assert raised.value.error_class is ErrorClass.DATA
    assert raised.value.message.startswith("train.jsonl line 2")


def test_a_missing_file_is_told_by_its_path(tmp_path):
    with pytest.raises(TrainerError, match=r"no-such\.jsonl' does not exist on the job's storage"):
        list(read_rows(tmp_path / "no-such.jsonl"))


def test_an_empty_file_is_told(tmp_path):
    with pytest.raises(TrainerError, match="has no rows"):
        list(read_rows(file_of(tmp_path, b"", b"")))
