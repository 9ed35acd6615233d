"""Dataset files of every badness: never a traceback, always the line or row and the reason."""

import gzip
import io
import json
import re
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith_trainer.data.check import Asked, check
from tunesmith_trainer.data.formats import DatasetFile
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

FEW = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(max_examples=4000, suppress_health_check=[HealthCheck.function_scoped_fixture])

TALK = [{"role": "user", "content": "otter é漢"}, {"role": "assistant", "content": "river", "weight": 1}]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": [1, 2.5, None]}}}
GOOD_ROWS = [
    {"text": "otter"},
    {"prompt": "otter", "completion": "river"},
    {"messages": TALK},
    {
        "messages": [TALK[0], {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "x"}, TALK[1]],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    },
    {"input": {"messages": TALK[:1]}, "preferred_output": TALK[1:], "non_preferred_output": TALK[1:]},
    {"prompt": TALK[:1], "chosen": TALK[1:], "rejected": TALK[1:]},
    {"input_ids": [1, 2, 3], "labels": [-100, 2, 3], "attention_mask": [1, 1, 1]},
]
NASTY = [
    b"\xff", b"\x00", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\n", b"{", b"}", b"[" * 3000, b"]", b'"', b"\\ud800",
    b"\\udfff\\ud800", b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"null", b"true", b"\\u0000", b"{}", b"[]",
]  # fmt: skip
PLACED = re.compile(r"^train\S* (line|row) [0-9]+(, [^:]+)?: .{4,}", re.DOTALL)
WHOLE_FILE = re.compile(r"has no rows\.$|cannot learn: it needs|has anything to learn from")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["user", "text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["messages", "role", "content", "text", "input_ids", "tool_calls", "function", "prompt"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@st.composite
def bent_rows(draw):
    """A good row with one value somewhere inside replaced, removed or doubled."""
    row = json.loads(json.dumps(draw(st.sampled_from(GOOD_ROWS))))
    part = row
    while True:
        key = draw(st.sampled_from(sorted(part) if isinstance(part, dict) else list(range(len(part)))))
        inner = part[key]
        if isinstance(inner, dict | list) and inner and draw(st.integers(0, 3)):
            part = inner
            continue
        if draw(st.booleans()):
            part[key] = draw(json_values)
        else:
            del part[key]
        return json.dumps(row).encode()


@st.composite
def spoilt(draw, data):
    """Bytes with some of them changed, cut out, put in, or the end cut off."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        put_in = draw(st.one_of(st.sampled_from(NASTY), st.binary(max_size=4)))
        data[at : at + draw(st.integers(0, 4))] = put_in
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@st.composite
def text_files(draw):
    lines = [
        draw(
            st.one_of(
                st.sampled_from(GOOD_ROWS).map(lambda row: json.dumps(row).encode()),
                bent_rows(),
                json_values.map(lambda value: json.dumps(value).encode()),
                st.binary(max_size=40),
            )
        )
        for _ in range(draw(st.integers(0, 4)))
    ]
    data = draw(st.sampled_from([b"\n", b"\r\n"])).join(lines)
    return draw(spoilt(data)) if draw(st.booleans()) else data


@st.composite
def gzip_files(draw):
    return draw(spoilt(gzip.compress(draw(text_files()), mtime=0)))


@st.composite
def parquet_files(draw):
    written = io.BytesIO()
    rows = [draw(st.sampled_from(GOOD_ROWS))] * draw(st.integers(1, 40))
    pq.write_table(pa.Table.from_pylist(rows), written, compression=draw(st.sampled_from(["snappy", "none", "gzip"])))
    return draw(spoilt(written.getvalue())) if draw(st.booleans()) else written.getvalue()


def training_reads_or_refuses_in_words(path):
    """What a training would do: the first bad row ends it, told with its place."""
    try:
        for _ in DatasetFile(path).read():
            pass
    except TrainerError as error:
        assert error.error_class is ErrorClass.DATA
        assert PLACED.match(error.message) or WHOLE_FILE.search(error.message), error.message
        error.message.encode()


def every_file_is_read_or_told(tmp_path, tokenizer, model_path, files, name):
    path = tmp_path / name

    @given(files)
    def holds(data):
        path.write_bytes(data)
        training_reads_or_refuses_in_words(path)
        try:
            report = check(DatasetFile(path), tokenizer, model_path, Asked(MaskingRules(64), any_method=True))
        except TrainerError as error:
            assert PLACED.match(error.message), error.message
            return
        assert report.line().encode()
        assert report.ok is (report.problem is None and not report.faults)
        assert report.rows == report.trained + sum(report.dropped.values()) + report.broken
        if report.problem is not None:
            assert PLACED.match(report.problem) or WHOLE_FILE.search(report.problem), report.problem

    return holds


FILES = [("train.jsonl", text_files()), ("train.jsonl.gz", gzip_files()), ("train.parquet", parquet_files())]


@pytest.mark.parametrize(("name", "files"), FILES, ids=[name for name, _ in FILES])
def test_a_bad_file_is_told_with_place_and_reason(tmp_path, tokenizer, model_path, name, files):
    FEW(every_file_is_read_or_told(tmp_path, tokenizer, model_path, files, name))()


@pytest.mark.prove
@pytest.mark.parametrize(("name", "files"), FILES, ids=[name for name, _ in FILES])
def test_thousands_of_bad_files_are_told_with_place_and_reason(tmp_path, tokenizer, model_path, name, files):
    MANY(every_file_is_read_or_told(tmp_path, tokenizer, model_path, files, name))()


def test_a_deflate_stream_with_wrong_bytes_inside_is_told(tmp_path):
    packed = bytearray(gzip.compress(b"\n".join(b'{"text": "%d"}' % (number * number) for number in range(3000))))
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(packed)
    with pytest.raises((zlib.error, gzip.BadGzipFile)):
        gzip.decompress(packed)
    with pytest.raises(TrainerError, match=r"^train\.jsonl\.gz line [0-9]+"):
        list(DatasetFile(path).read())
