"""Datasets from the Hub, the web and object stores: which files they are, joined to one, and found again."""

import gzip
import hashlib

import pyarrow
import pyarrow.parquet
import pytest
from tests.unit.trainer.fetch_builders import a_hub_dataset, an_object, fetched, web_file

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch.dataset_files import files_of
from tunesmith_trainer.testing_sources import COMMIT, Repository, ServedFiles, ServedHub
from tunesmith_trainer.testing_store import ServedStore

KEYS = {"TUNESMITH_TRAINING_ACCESS_KEY_ID": "id", "TUNESMITH_TRAINING_SECRET_ACCESS_KEY": "secret"}
README = """---
configs:
- config_name: chat
  default: true
  data_files:
  - split: train
    path: "chat/train-*.jsonl"
  - split: test
    path: ["chat/test.jsonl"]
- config_name: code
  data_dir: code
  data_files: "**/*.parquet"
---
# About
"""
NAMES = ["chat/train-0.jsonl", "chat/train-1.jsonl", "chat/test.jsonl", "code/a.parquet", "code/x/b.parquet", "s.py"]


def a_parquet(path, rows):
    pyarrow.parquet.write_table(pyarrow.table({"text": rows}), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("names", "readme", "asked", "found"),
    [
        (NAMES, README, {}, ("chat/train-0.jsonl", "chat/train-1.jsonl")),
        (NAMES, README, {"splits": ("validation", "test")}, ("chat/test.jsonl",)),
        (NAMES, README, {"subset": "code"}, ("code/a.parquet", "code/x/b.parquet")),
        (["data/train-00000-of-00001.parquet", "data/test-0.parquet"], "", {}, ("data/train-00000-of-00001.parquet",)),
        (["rows.jsonl", "README.md"], "", {}, ("rows.jsonl",)),
        (["en/dev.jsonl", "de/dev.jsonl"], "", {"subset": "de", "splits": ("validation",)}, ("de/dev.jsonl",)),
        (["default/train/0000.parquet"], "---\na: [\n---", {"subset": "default"}, ("default/train/0000.parquet",)),
        (["t.jsonl"], "---\nconfigs:\n- data_files: ./t.jsonl\n---\n", {}, ("t.jsonl",)),
        (["t.jsonl"], "---\nconfigs:\n- data_files: {train: t.jsonl}\n---\n", {}, ("t.jsonl",)),
    ],
)  # fmt: skip
def test_the_files_of_a_split(names, readme, asked, found):
    assert files_of("o/d", names, readme, **{"subset": None, "splits": ("train",), **asked}) == found


@pytest.mark.parametrize(
    ("names", "readme", "asked", "why"),
    [
        (NAMES, README, {"subset": "nope"}, "has no subset 'nope'; its subsets are chat, code"),
        (NAMES, README, {"splits": ("dev",)}, "has no split 'dev'; it has test, train"),
        (NAMES, README.replace("default: true", "x: 1"), {}, "several subsets and none is its default"),
        (["load.py"], "", {}, r"no files that can be read.*refs/convert/parquet"),
        (["train.jsonl", "train.parquet"], "", {}, "files of several kinds"),
        (["train.jsonl"], "", {"subset": "de"}, "has no subset 'de'"),
    ],
)
def test_what_cannot_be_resolved_is_told_with_what_there_is(names, readme, asked, why):
    with pytest.raises(TrainerError, match=why) as ended:
        files_of("o/d", names, readme, **{"subset": None, "splits": ("train",), **asked})
    assert ended.value.error_class is ErrorClass.DATA


def test_pieces_of_lines_become_one_file(tmp_path):
    files = {
        "README.md": README.encode(),
        "chat/train-0.jsonl": b'{"text":"a"}',
        "chat/train-1.jsonl": b'{"text":"b"}\n',
    }
    with ServedHub({"datasets/o/d": Repository(files)}) as hub:
        part = fetched(tmp_path, training=a_hub_dataset("o/d", hub.url)).datasets["training"]
        assert part.path.read_bytes() == b'{"text":"a"}\n{"text":"b"}\n'
        assert (part.sha256, part.revision) == (hashlib.sha256(part.path.read_bytes()).hexdigest(), COMMIT)
        before = len(hub.bodies_asked("/resolve/")), part
        again = fetched(tmp_path, training=a_hub_dataset("o/d", hub.url), uid="job-2").datasets["training"]
        # Only the README is read again: what the subset means is written there.
        assert (len(hub.bodies_asked("/resolve/")) - 1, again) == before


def test_packed_pieces_become_one_packed_file(tmp_path):
    files = {f"train-{number}.jsonl.gz": gzip.compress(b'{"text":"%d"}' % number) for number in range(2)}
    with ServedHub({"datasets/o/d": Repository(files)}) as hub:
        path = fetched(tmp_path, training=a_hub_dataset("o/d", hub.url)).datasets["training"].path
    assert gzip.decompress(path.read_bytes()).split() == [b'{"text":"0"}', b'{"text":"1"}']
    assert path.name == "rows.jsonl.gz"


def test_pieces_of_parquet_become_one_file(tmp_path):
    files = {f"train-{number}.parquet": a_parquet(tmp_path / "p", [f"row {number}"]) for number in range(3)}
    with ServedHub({"datasets/o/d": Repository(files)}) as hub:
        path = fetched(tmp_path, training=a_hub_dataset("o/d", hub.url)).datasets["training"].path
    assert pyarrow.parquet.read_table(path).to_pydict() == {"text": ["row 0", "row 1", "row 2"]}


@pytest.mark.parametrize("broken", [b"PAR1 and no more", None])
def test_pieces_that_do_not_fit_are_a_data_error(tmp_path, broken):
    pyarrow.parquet.write_table(pyarrow.table({"other": [1]}), tmp_path / "other")
    second = broken or (tmp_path / "other").read_bytes()
    files = {"train-0.parquet": a_parquet(tmp_path / "p", ["row"]), "train-1.parquet": second}
    with ServedHub({"datasets/o/d": Repository(files)}) as hub, pytest.raises(TrainerError, match="pieces") as ended:
        fetched(tmp_path, training=a_hub_dataset("o/d", hub.url))
    assert ended.value.error_class is ErrorClass.DATA


def test_a_private_dataset_takes_its_own_token(tmp_path):
    repositories = {"datasets/o/d": Repository({"train.jsonl": b'{"text":"a"}\n'}, token="hf_data")}
    with ServedHub(repositories) as hub:
        source = a_hub_dataset("o/d", hub.url)
        with pytest.raises(TrainerError) as ended:
            fetched(tmp_path, training=source, secrets={"TUNESMITH_MODEL_TOKEN": "hf_data"})
        assert ended.value.error_class is ErrorClass.CREDENTIALS
        assert fetched(tmp_path, training=source, secrets={"TUNESMITH_TRAINING_TOKEN": "hf_data"}).datasets


def test_a_file_with_a_hash_needs_no_network_the_second_time(tmp_path):
    content = b'{"text":"a"}\n'
    with ServedFiles({"/f": content}) as web:
        source = web_file(f"{web.url}/f", hashlib.sha256(content).hexdigest())
        first = fetched(tmp_path, training=source)
        assert first.datasets["training"].path.parent.name == hashlib.sha256(content).hexdigest()
        assert fetched(tmp_path, training=source, uid="job-2") == first
        assert len(web.asked) == 1


def test_a_file_that_changed_at_its_source_gets_a_place_of_its_own(tmp_path):
    with ServedFiles({"/f": b'{"text":"a"}\n'}) as web:
        first = fetched(tmp_path, training=web_file(f"{web.url}/f")).datasets["training"]
        assert fetched(tmp_path, training=web_file(f"{web.url}/f"), uid="job-2").datasets["training"] == first
        web.files["/f"] = b'{"text":"b"}\n'
        second = fetched(tmp_path, training=web_file(f"{web.url}/f")).datasets["training"]
    assert (first.path.read_bytes(), second.path.read_bytes()) == (b'{"text":"a"}\n', b'{"text":"b"}\n')


def test_a_source_that_says_nothing_of_itself_is_shared_with_nobody(tmp_path):
    with ServedFiles({"/f": b'{"text":"a"}\n'}, marks=False) as web:
        one, other, again = (
            fetched(tmp_path, training=web_file(f"{web.url}/f"), uid=uid).datasets["training"].path
            for uid in ("job-1", "job-2", "job-1")
        )
    assert one == again != other


@pytest.mark.parametrize(
    ("content", "name"),
    [(gzip.compress(b"{}"), "rows.jsonl.gz"), (b"{}", "rows.jsonl")],
    ids=("gzip", "plain"),  # a gzip names its second, and both workers must collect the same
)
def test_a_file_is_named_by_what_it_is_and_not_by_its_address(tmp_path, content, name):
    with ServedFiles({"/download": content}) as web:
        assert fetched(tmp_path, training=web_file(f"{web.url}/download?id=3")).datasets["training"].path.name == name


def test_an_object_comes_by_its_own_keys(tmp_path):
    with ServedStore("id", "secret") as store:
        store.put("bucket/a folder/rows.jsonl", b'{"text":"a"}\n')
        source = an_object(store.url, "a folder/rows.jsonl")
        part = fetched(tmp_path, training=source, secrets=KEYS).datasets["training"]
        assert part.path.read_bytes() == b'{"text":"a"}\n'
        before = [request.method for request in store.asked].count("GET")
        assert fetched(tmp_path, training=source, secrets=KEYS, uid="job-2").datasets["training"] == part
        assert [request.method for request in store.asked].count("GET") == before


@pytest.mark.parametrize(
    ("key", "secret", "error_class"),
    [("missing", "secret", ErrorClass.DATA), ("rows", "wrong", ErrorClass.CREDENTIALS)],
)
def test_an_object_that_is_not_there_or_refused(tmp_path, key, secret, error_class):
    with ServedStore("id", "secret") as store, pytest.raises(TrainerError) as ended:
        store.put("bucket/rows", b"{}")
        keys = KEYS | {"TUNESMITH_TRAINING_SECRET_ACCESS_KEY": secret}
        fetched(tmp_path, training=an_object(store.url, key), secrets=keys)
    assert ended.value.error_class is error_class
