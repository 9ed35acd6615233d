"""The client for S3-compatible stores, against a store that checks every signature."""

import pytest

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.object_store import (
    PART_BYTES,
    ChangedError,
    NotStoredError,
    ObjectStore,
    StoreKeys,
    StoreLimits,
    bucket_region,
    region_of,
)  # fmt: skip
from tunesmith_trainer.testing_sources import Fault, silent
from tunesmith_trainer.testing_store import ServedStore

IMPATIENT = StoreLimits(connect_seconds=2, request_seconds=2, retries=1, retry_seconds=1)


@pytest.fixture
def served():
    with ServedStore("id", "secret") as store:
        yield store


def a_store(served, *, secret="secret", bucket="bucket"):
    return ObjectStore(served.url, bucket, StoreKeys("id", secret), IMPATIENT)


def test_a_file_goes_up_in_parts_and_comes_down_the_same(served, tmp_path):
    content = bytes(range(256)) * (PART_BYTES // 256 * 2 + 9)
    (tmp_path / "up").write_bytes(content)
    store = a_store(served)
    store.upload(tmp_path / "up", "a folder/large+1.bin")
    assert [request.method for request in served.asked].count("PUT") == 3
    found = store.head("a folder/large+1.bin")
    store.download(found, tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == content
    assert b"".join(store.parts(found, offset=100)) == content[100:]


def test_objects_are_listed_below_a_prefix_and_removed(served):
    store = a_store(served)
    for key in ("jobs/1/a", "jobs/1/b", "other"):
        store.write(key, key.encode())
    assert [(found.key, found.size_bytes) for found in store.list("jobs/1")] == [("jobs/1/a", 8), ("jobs/1/b", 8)]
    store.delete("jobs/1/a")
    assert [found.key for found in store.list()] == ["jobs/1/b", "other"]


def test_what_is_not_there_and_what_changed_have_errors_of_their_own(served):
    store = a_store(served)
    with pytest.raises(NotStoredError, match="'missing' does not exist in bucket 'bucket'"):
        store.head("missing")
    with pytest.raises(NotStoredError):
        a_store(served, bucket="elsewhere").head("missing")
    store.write("key", b"one")
    found = store.head("key")
    store.write("key", b"two")
    with pytest.raises(ChangedError):
        b"".join(store.parts(found))


def test_wrong_keys_are_credentials_and_are_not_said(served):
    with pytest.raises(TrainerError, match="refused 'key'") as ended:
        a_store(served, secret="a wrong secret").head("key")
    assert ended.value.error_class is ErrorClass.CREDENTIALS
    assert "wrong secret" not in ended.value.message


def test_a_store_that_fails_is_infrastructure(served):
    served.faults.of = [Fault("key", "status", status=500)]
    with pytest.raises(TrainerError, match="the store failed") as ended:
        a_store(served).head("key")
    assert ended.value.error_class is ErrorClass.INFRASTRUCTURE


def test_a_bucket_tells_its_region_even_to_those_whom_it_refuses(served):
    served.faults.of = [Fault("bucket", "status", status=403, headers={"x-amz-bucket-region": "eu-west-3"})]
    assert bucket_region(served.url, "bucket", IMPATIENT) == "eu-west-3"
    served.faults.of.clear()
    assert bucket_region(served.url, "bucket", IMPATIENT) is None
    with silent() as url:
        assert bucket_region(url, "bucket", IMPATIENT) is None


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("https://s3.amazonaws.com", "us-east-1"),
        ("https://minio.example.org:9000", "us-east-1"),
    ],
)
def test_amazons_region_stands_in_the_host(endpoint, region):
    assert region_of(endpoint) == region
