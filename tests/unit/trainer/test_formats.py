"""Dataset rows: what is read, and how each broken one is told."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunesmith_trainer.data.formats import DatasetFile, read_rows
from tunesmith_trainer.data.rows import Conversation, Instruction, Message, Text, Tokens, ToolCall
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

QUESTION, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
GOOD = {"messages": [QUESTION, ANSWER]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
TOOL_TALK = {
    "messages": [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1", "name": "weather"},
        ANSWER,
    ],
    "tools": [WEATHER],
}


def file_of(tmp_path, *lines):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return path


def a_talk(*messages):
    return {"messages": list(messages)}


def parquet_of(tmp_path, rows, **columns):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(columns) if columns else pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(
    ("row", "read"),
    [
        (GOOD, Conversation((Message("user", "q"), Message("assistant", "a")))),
        ({"prompt": "p", "completion": "c"}, Instruction("p", "c")),
        ({"text": "t"}, Text("t")),
        ({"input_ids": [5, 6, 7]}, Tokens((5, 6, 7), (5, 6, 7))),
        ({"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, Tokens((5, 6, 7), (-100, 6, 7))),
        ({"input_ids": [0, 5, 6, 0], "attention_mask": [0, 1, 1, 0]}, Tokens((5, 6), (5, 6))),
        ({"input_ids": [5, 6], "position_ids": [0, 1]}, Tokens((5, 6), (5, 6))),
    ],
)
def test_each_format_is_read_from_every_kind_of_file(tmp_path, row, read):
    line = json.dumps(row).encode()
    (tmp_path / "train.jsonl").write_bytes(line + b"\n\n  \r\n")
    (tmp_path / "train.jsonl.gz").write_bytes(gzip.compress(line))
    parquet_of(tmp_path, [row])
    for name in ("train.jsonl", "train.jsonl.gz", "train.parquet"):
        file = DatasetFile(tmp_path / name)
        assert [one.row for one in file.read()] == [read]
        assert file.bytes_read == file.bytes_total


def test_tools_and_their_calls_are_read_with_arguments_as_objects(tmp_path):
    (row,) = read_rows(file_of(tmp_path, TOOL_TALK))
    assert isinstance(row, Conversation)
    assert row.messages[1] == Message("assistant", "", tool_calls=(ToolCall("weather", {"city": "Oslo"}, "c1"),))
    assert row.messages[2] == Message("tool", "rain", tool_call_id="c1", name="weather")
    assert row.tools == (WEATHER,)


def test_parquet_gives_every_message_all_keys_and_they_are_not_mistaken_for_values(tmp_path):
    row = {**TOOL_TALK, "tools": json.dumps([WEATHER])}
    assert list(read_rows(parquet_of(tmp_path, [row]))) == list(read_rows(file_of(tmp_path, TOOL_TALK)))


def test_text_parts_are_joined(tmp_path):
    parts = [{"type": "text", "text": "How "}, {"type": "text", "text": "so?"}]
    (row,) = read_rows(file_of(tmp_path, a_talk({"role": "user", "content": parts}, ANSWER)))
    assert isinstance(row, Conversation)
    assert row.messages[0].content == "How so?"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n{"text": "b"}\r\n')
    assert list(read_rows(path)) == [Text("a"), Text("b")]


def nested(depth):
    return b'{"messages": ' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"text": "a"', "line 2, column 13: not JSON"),
        (b"\xff\xfe", "line 2: not UTF-8 at byte 1"),
        (b'{"text": NaN}', "line 2: NaN is not JSON"),
        (b'{"text": -Infinity}', "line 2: -Infinity is not JSON"),
        (b'{"text": ' + b"9" * 5000 + b"}", "line 2: a number in it has too many digits"),
        (b'{"text": "a", "text": "b"}', "line 2: the key 'text' stands twice"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "'content' has half of a surrogate pair"),
        (nested(100_000), "line 2: not a row, nested too deeply"),
        ([1], "line 2: a row must be a JSON object, this is a list"),
        ({"question": "q"}, "line 2: has the keys 'question'"),
        ({**GOOD, "extra": 1}, "line 2: has the keys 'extra', 'messages'; a row has exactly"),
        ({"text": "t"}, "line 2: a row of text, but the file began with rows of messages"),
        ({"messages": []}, "line 2: 'messages' must be a list with at least one message"),
        (a_talk("q"), "line 2, message 1: a message must be an object"),
        (a_talk({"role": "user"}), "line 2, message 1: has no 'content'"),
        (a_talk({"content": "x"}), "line 2, message 1: has no 'role'"),
        (a_talk({"role": "robot", "content": "x"}), 'line 2, message 1: role must be .* this is "robot"'),
        (a_talk({"role": ["user"], "content": "x"}), "role must be .* this is a list"),
        (a_talk(ANSWER), "message 1: role 'assistant' where 'user' is expected"),
        (a_talk(QUESTION, QUESTION), "message 2: role 'user' where 'assistant' is expected"),
        (a_talk(QUESTION, ANSWER, {"role": "tool", "content": "x"}), "message 3: role 'tool' where 'user' is expected"),
        (a_talk(QUESTION), "line 2: has no message of role 'assistant'"),
        (a_talk({"role": "user", "content": 3}), "line 2, message 1: 'content' must be a string"),
        (a_talk({**QUESTION, "weight": 2}), "'weight' must be 0 or 1"),
        (a_talk({**QUESTION, "weight": True}), "'weight' must be 0 or 1"),
        (a_talk({**QUESTION, "tool_calls": []}), "the key 'tool_calls' is not supported in a message of role 'user'"),
        (a_talk(QUESTION, {**ANSWER, "audio": {}}), "message 2: the key 'audio' is not supported"),
        (
            a_talk({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}),
            "part 1 of 'content' is of type 'image_url', which is not supported: only text is trained",
        ),
        (a_talk({"role": "user", "content": [{"type": "text"}]}), "part 1 of 'content' must have exactly"),
        (a_talk(QUESTION, {**ANSWER, "tool_calls": [{}]}), "message 2, tool call 1: must be"),
        (
            a_talk(QUESTION, {**ANSWER, "tool_calls": [{"function": {"name": "f", "arguments": "no"}}]}),
            "message 2, tool call 1: 'arguments' is a string that is not JSON",
        ),
        (
            a_talk(QUESTION, {**ANSWER, "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}),
            "'arguments' must be an object",
        ),
        (a_talk(QUESTION, {**ANSWER, "tool_calls": [CALL]}, QUESTION), "message 3: role 'user' where 'tool' is"),
        ({**GOOD, "tools": [{"name": 3}]}, "line 2, tool 1: must be an object as"),
        ({**GOOD, "tools": "{"}, "'tools' is a string that is not JSON"),
        ({**GOOD, "tools": json.loads("[" * 90 + "]" * 90)}, "'tools' is nested deeper than 64 levels"),
    ],
)  # fmt: skip
def test_a_broken_row_is_told_with_file_line_and_reason(tmp_path, line, told):
    with pytest.raises(TrainerError, match=told) as raised:
        list(read_rows(file_of(tmp_path, GOOD, line)))
    assert raised.value.error_class is ErrorClass.DATA
    assert raised.value.message.startswith("train.jsonl line 2")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"input_ids": []}, "'input_ids' is empty"),
        ({"input_ids": [1.5]}, "'input_ids' must hold whole numbers, place 1 is a number beyond 32 bits or with"),
        ({"input_ids": [2**40]}, "place 1 is a number beyond 32 bits"),
        ({"input_ids": [True]}, "place 1 is true or false"),
        ({"input_ids": [1, 2], "labels": [1]}, "'labels' has 1 values, 'input_ids' has 2"),
        ({"input_ids": [1, 2], "labels": [1, -7]}, "'labels' has -7 at place 2"),
        ({"input_ids": [1, 2], "attention_mask": [0, 0]}, "'attention_mask' is 0 everywhere"),
        ({"input_ids": [1, 2, 3], "attention_mask": [1, 0, 1]}, "'attention_mask' has a 0 between tokens"),
        ({"input_ids": [1, 2], "attention_mask": [1, 2]}, "'attention_mask' must hold 0 and 1 only"),
        ({"input_ids": [1, 2], "position_ids": [0, 0]}, "rows that are packed already are not supported"),
    ],
)
def test_a_broken_row_of_tokens_is_told(tmp_path, row, told):
    with pytest.raises(TrainerError, match=f"line 1: .*{told}"):
        list(read_rows(file_of(tmp_path, row)))


def test_a_line_without_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("tunesmith_trainer.data.files.LONGEST_LINE_BYTES", 1000)
    faults = []
    path = file_of(tmp_path, {"text": "a"}, {"text": "b" * 5000}, {"text": "c"})
    assert [read.row for read in DatasetFile(path).read(on_fault=faults.append)] == [Text("a"), Text("c")]
    assert [str(fault) for fault in faults] == ["train.jsonl line 2: longer than 0 MiB. Put one row on each line."]


def test_every_broken_row_is_told_to_whoever_asks_for_all(tmp_path):
    faults = []
    path = file_of(tmp_path, b"{", {"text": "a"}, {"text": 3}, GOOD, {"text": "b"})
    assert [read.row for read in DatasetFile(path).read(on_fault=faults.append)] == [Text("a"), Text("b")]
    assert [fault.place.number for fault in faults] == [1, 3, 4]


def test_a_missing_file_is_told_by_its_path(tmp_path):
    with pytest.raises(TrainerError, match=r"no-such\.jsonl' does not exist on the job's storage"):
        list(read_rows(tmp_path / "no-such.jsonl"))


def test_an_empty_file_is_told(tmp_path):
    with pytest.raises(TrainerError, match="has no rows"):
        list(read_rows(file_of(tmp_path, b"", b"")))


def test_a_gzip_file_that_was_cut_off_is_told_where_it_ends(tmp_path):
    lines = [json.dumps({"text": str(number) * 40}).encode() for number in range(2000)]
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines))[:-2000])
    with pytest.raises(TrainerError, match=r"train\.jsonl\.gz line [0-9]+: the gzip file is damaged or cut off here"):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("name", "told"),
    [("a.parquet", r"a\.parquet row 1: .*does not begin as one"), ("a.jsonl.gz", r"a\.jsonl\.gz line 1: the file is")],
)
def test_a_file_that_is_not_what_its_name_says_is_told(tmp_path, name, told):
    (tmp_path / name).write_bytes(b'{"text": "a"}')
    with pytest.raises(TrainerError, match=told):
        list(read_rows(tmp_path / name))


def test_a_damaged_parquet_file_is_told(tmp_path):
    path = parquet_of(tmp_path, [{"text": "a" * 100}] * 50)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TrainerError, match=r"train\.parquet row 1: the Parquet file is damaged"):
        list(read_rows(path))


def test_a_parquet_string_that_is_not_utf8_is_one_broken_row(tmp_path):
    texts = pa.array([b"good", b"\xff\xfe", b"fine"]).view(pa.string())
    faults = []
    path = parquet_of(tmp_path, [], text=texts)
    assert [read.row for read in DatasetFile(path).read(on_fault=faults.append)] == [Text("good"), Text("fine")]
    assert [str(fault.place) for fault in faults] == ["train.parquet row 2"]
