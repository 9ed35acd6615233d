"""What goes wrong while a file is fetched, and what becomes of it."""

import hashlib
import resource
import shutil
from collections import namedtuple
from dataclasses import replace

import pytest
from tests.unit.trainer.fetch_builders import IMPATIENT, Heard, an_object, fetched, model_files, web_file

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch.transfer import Patience
from tunesmith_trainer.fetch.web import shown
from tunesmith_trainer.testing_sources import Fault, Repository, ServedFiles, ServedHub, silent
from tunesmith_trainer.testing_store import ServedStore

ROWS = b"".join(b'{"text": "row %d"}\n' % number for number in range(200_000))
SHA256 = hashlib.sha256(ROWS).hexdigest()
KEYS = {"TUNESMITH_TRAINING_ACCESS_KEY_ID": "id", "TUNESMITH_TRAINING_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def web():
    with ServedFiles({"/rows.jsonl": ROWS}) as served:
        yield served


def rows_of(parts):
    return parts.datasets["training"].path.read_bytes()


def test_a_file_that_broke_off_is_gone_on_from_where_it_ended(tmp_path, web):
    web.faults.of = [Fault("rows", "cut", times=2, after_bytes=1_500_000)]
    # The first request only looks at the file's size and version, so it is not the one that breaks off.
    web.faults.of.insert(0, Fault("rows", "no ranges", times=1))
    assert rows_of(fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl"))) == ROWS
    asked = [request.headers.get("range") for request in web.asked]
    assert asked == [None, None, "bytes=1500000-", "bytes=3000000-"]
    assert all("if-range" in request.headers for request in web.asked[2:])


def test_a_file_that_changed_in_between_is_begun_anew(tmp_path, web):
    url = f"{web.url}/rows.jsonl"
    web.faults.of = [Fault("rows", "cut", after_bytes=1_500_000, times=1)]
    with pytest.raises(TrainerError):
        fetched(tmp_path, training=web_file(url, "0" * 64), patience=Patience(tries=1))
    web.files["/rows.jsonl"] = ROWS[::-1]
    digest = hashlib.sha256(ROWS[::-1]).hexdigest()
    (tmp_path / "datasets" / ("0" * 64 + ".partial")).rename(tmp_path / "datasets" / f"{digest}.partial")
    assert rows_of(fetched(tmp_path, training=web_file(url, digest))) == ROWS[::-1]
    assert web.asked[1].headers["range"] == "bytes=1500000-"


def test_a_server_without_ranges_is_asked_from_the_beginning(tmp_path, web):
    web.faults.of = [Fault("rows", "cut", times=1, after_bytes=1_500_000), Fault("rows", "no ranges")]
    assert rows_of(fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl", SHA256))) == ROWS


def test_a_corrupt_download_is_found_and_fetched_again(tmp_path, web):
    web.faults.of = [Fault("rows", "corrupt", times=1)]
    heard = Heard()
    assert rows_of(fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl", SHA256), heard=heard)) == ROWS
    assert len(web.asked) == 2
    assert heard.bytes[-1][0] == len(ROWS)


def test_a_file_that_is_wrong_twice_is_the_users_data_error(tmp_path, web):
    with pytest.raises(TrainerError, match="fetched twice and is wrong: its SHA-256 is") as ended:
        fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl", "0" * 64))
    assert ended.value.error_class is ErrorClass.DATA
    assert not list((tmp_path / "datasets").rglob("rows*"))


def test_a_corrupt_weight_file_is_found_by_the_hubs_hash(tmp_path):
    with ServedHub({"models/o/m": Repository(model_files())}) as hub:
        hub.content.faults.of = [Fault("", "corrupt", times=1)]
        path = fetched(tmp_path, model={"repo": "o/m", "endpoint": hub.url}).model.path
        assert (path / "model.safetensors").read_bytes() == model_files()["model.safetensors"]
        hub.faults.of = [Fault("tokenizer.json", "corrupt")]
        shutil.rmtree(tmp_path / "weights")
        with pytest.raises(TrainerError, match=r"'tokenizer.json'.*its git hash is") as ended:
            fetched(tmp_path, model={"repo": "o/m", "endpoint": hub.url})
        assert ended.value.error_class is ErrorClass.MODEL


def test_a_server_that_hangs_is_left_and_asked_again(tmp_path, web):
    web.faults.of = [Fault("rows", "hang", times=1)]
    assert rows_of(fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl", SHA256))) == ROWS


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("rows", "hang"), "did not answer in time"),
        (Fault("rows", "status", status=503, headers={"Retry-After": "0"}), "answered 503"),
        (Fault("rows", "status", status=429), "answered 429"),
        (Fault("rows", "cut", after_bytes=10), "incomplete|broke off|closed"),
    ],
)
def test_a_source_that_stays_broken_is_given_up_as_infrastructure(tmp_path, web, fault, why):
    web.faults.of = [fault]
    with pytest.raises(TrainerError, match=why) as ended:
        fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl", SHA256))
    assert ended.value.error_class is ErrorClass.INFRASTRUCTURE
    assert len(web.asked) == IMPATIENT.tries


def test_a_host_that_does_not_answer_is_infrastructure(tmp_path):
    with silent() as url, pytest.raises(TrainerError, match="could not be asked for after 3 tries") as ended:
        fetched(tmp_path, training=web_file(f"{url}/rows.jsonl"))
    assert ended.value.error_class is ErrorClass.INFRASTRUCTURE


def test_a_storm_of_faults_that_ends_is_survived(tmp_path, web):
    web.faults.of = [
        Fault("rows", "status", times=2, status=502),
        Fault("rows", "cut", times=1, after_bytes=2_000_000),
        Fault("rows", "status", times=2, status=500),
    ]
    patience = replace(IMPATIENT, tries=4)
    assert rows_of(fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl", SHA256), patience=patience)) == ROWS


@pytest.mark.parametrize(
    ("status", "error_class"),
    [(401, ErrorClass.CREDENTIALS), (403, ErrorClass.CREDENTIALS), (404, ErrorClass.DATA), (400, ErrorClass.DATA)],
)
def test_a_refusal_is_told_at_once_with_its_class(tmp_path, web, status, error_class):
    web.faults.of = [Fault("rows", "status", status=status)]
    with pytest.raises(TrainerError, match=rf"rows.jsonl.* answered {status}") as ended:
        fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl?X-Amz-Signature=abc"))
    assert ended.value.error_class is error_class
    assert "abc" not in ended.value.message
    assert len(web.asked) == 1


def test_an_address_is_said_without_what_may_be_secret():
    assert shown("https://user:pass@host:8443/a/b?sig=1#x") == "https://host:8443/a/b"


def test_what_does_not_fit_is_not_begun(tmp_path, web, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    with pytest.raises(TrainerError, match=r"0.00 GB are still to be written and 0.00 GB are free") as ended:
        fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl"))
    assert ended.value.error_class is ErrorClass.INFRASTRUCTURE
    assert len(web.asked) == 1


def test_a_storage_that_fills_up_ends_with_the_sizes_and_keeps_what_came(tmp_path, web):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        with pytest.raises(TrainerError, match="GB are free") as ended:
            fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ended.value.error_class is ErrorClass.INFRASTRUCTURE
    assert rows_of(fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl"))) == ROWS
    assert web.asked[-1].headers["range"].startswith("bytes=")


def test_asked_to_stop_it_stops_and_keeps_what_came(tmp_path, web):
    calls = iter([False] * 4)
    with pytest.raises(TrainerError) as ended:
        fetched(tmp_path, training=web_file(f"{web.url}/rows.jsonl"), stop=lambda: next(calls, True))
    assert ended.value.error_class is ErrorClass.PREEMPTED


def test_an_objects_store_that_fails_now_and_then_is_asked_again(tmp_path):
    with ServedStore("id", "secret") as store:
        store.put("bucket/rows.jsonl", ROWS)
        store.faults.of = [
            Fault("rows", "status", times=4, status=503),
            Fault("rows", "no ranges", times=1),
            Fault("rows", "status", times=2, status=503),
            Fault("rows", "cut", times=1, after_bytes=1_000_000),
        ]
        parts = fetched(tmp_path, training=an_object(store.url, "rows.jsonl"), secrets=KEYS, patience=Patience(tries=3))
        assert rows_of(parts) == ROWS


def test_an_object_that_came_corrupt_is_found_by_its_etag(tmp_path):
    with ServedStore("id", "secret") as store:
        store.put("bucket/rows.jsonl", ROWS)
        store.faults.of = [Fault("rows", "no ranges", times=1), Fault("rows", "corrupt", times=1)]
        assert rows_of(fetched(tmp_path, training=an_object(store.url, "rows.jsonl"), secrets=KEYS)) == ROWS


def test_an_etag_that_is_no_md5_is_no_fault(tmp_path):
    with ServedStore("id", "secret") as store:
        store.put("bucket/rows.jsonl", ROWS)
        store.etags["bucket/rows.jsonl"] = f'"{"ab" * 16}"'
        assert rows_of(fetched(tmp_path, training=an_object(store.url, "rows.jsonl"), secrets=KEYS)) == ROWS


def test_an_unusable_storage_is_infrastructure(tmp_path, web):
    with pytest.raises(TrainerError, match="is not mounted") as ended:
        fetched(tmp_path / "nowhere", training=web_file(f"{web.url}/rows.jsonl"))
    assert ended.value.error_class is ErrorClass.INFRASTRUCTURE
