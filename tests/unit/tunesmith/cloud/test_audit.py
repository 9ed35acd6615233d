"""Every write to the provider leaves two lines: one before it, one after it. They are read back as one."""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from tests.unit.canary import KEY
from tests.unit.tunesmith.cloud.clouds import FAR, a_cloud, a_transport, answering, failure_of

from tunesmith.cloud.audit import Purpose, acting_for, audit
from tunesmith.cloud.audit_reading import NOT_KNOWN, read_audit
from tunesmith.cloud.g0 import G0Cloud
from tunesmith.cloud.g2 import G2Cloud
from tunesmith.planning.decision import ErrorClass
from tunesmith.planning.orders import ClusterChanges, ClusterOrder, VolumeOrder
from tunesmith.serving.audit_log import AuditHandler, configure_audit
from tunesmith.serving.logs import Redactor

ORDER = ClusterOrder("ts-a", "r", "H100_SXM", 8)
CLUSTER = {"cluster_id": "c-1", "cluster_name": "ts-a"}
PURPOSE = Purpose("GPUCluster", "ml", "train", "uid-1", "nonce-1", Decimal("23.92"))


@pytest.fixture
def log(tmp_path):
    """The audit log as the operator writes it, in a file."""
    path = tmp_path / "audit.jsonl"
    handler = AuditHandler(Redactor(), path)
    level = audit.level
    audit.addHandler(handler)
    audit.setLevel(logging.INFO)
    yield path
    audit.removeHandler(handler)
    audit.setLevel(level)


def lines_of(log):
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


async def test_a_purchase_says_for_whom_under_which_intent_and_at_what_price(log):
    with acting_for(PURPOSE):
        await a_cloud(answering(200, CLUSTER)).create_cluster(ORDER, deadline=FAR)
    begun, ended = lines_of(log)
    for line in (begun, ended):
        assert datetime.fromisoformat(line["time"]).tzinfo == UTC
        assert line["resource"] == {"kind": "GPUCluster", "namespace": "ml", "name": "train", "uid": "uid-1"}
        assert (line["kind"], line["verb"], line["object"], line["name"]) == ("request", "create", "cluster", "ts-a")
        assert (line["intent"], line["usdPerHour"]) == ("nonce-1", "23.92")
    assert (begun["event"], begun["asks"]["num_gpus"]) == ("begun", 8)
    assert (ended["event"], ended["outcome"], ended["id"]) == ("ended", "ok", "c-1")
    assert begun["write"] == ended["write"]
    assert KEY not in log.read_text()


async def test_the_first_line_stands_before_the_request_leaves(log):
    seen = []

    def answer(request):
        seen.extend(line["event"] for line in lines_of(log))
        return httpx.Response(200, json=CLUSTER)

    await a_cloud(answer).create_cluster(ORDER, deadline=FAR)
    assert seen == ["begun"]


async def test_every_kind_of_write_is_told_and_no_read_is(log):
    cloud = a_cloud(answering(500))
    for write in (
        cloud.create_cluster(ORDER, deadline=FAR),
        cloud.create_volume(VolumeOrder("ts-v", "r", 1), deadline=FAR),
        cloud.change_cluster("c-1", ClusterChanges(gpus=16)),
        cloud.list_clusters(),
    ):
        await failure_of(write)
    cloud = a_cloud(answering(500))
    for write in (
        cloud.resize_volume("v-1", 2),
        cloud.delete_cluster("c-1"),
        cloud.delete_volume("v-1"),
        cloud.create_remediation("c-1", "i-1", "REBOOT_VM", "why"),
    ):
        await failure_of(write)
    cloud = a_cloud(answering(404))
    await failure_of(cloud.approve_remediation("c-1", "i-1", "r-1", ""))
    await failure_of(cloud.reject_remediation("c-1", "i-1", "r-1", ""))
    await failure_of(cloud.cancel_remediation("c-1", "i-1", "r-1"))
    await cloud.delete_cluster("c-9")
    assert [(write.line.verb, write.line.thing, write.line.id, write.outcome) for write in read_audit(log.open())] == [
        ("create", "cluster", "", "Ambiguous"),
        ("create", "volume", "", "Ambiguous"),
        ("change", "cluster", "c-1", "Unavailable"),
        ("change", "volume", "v-1", "Unavailable"),
        ("delete", "cluster", "c-1", "Unavailable"),
        ("delete", "volume", "v-1", "Unavailable"),
        ("create", "remediation", "", "Ambiguous"),
        ("approve", "remediation", "r-1", "NotFound"),
        ("reject", "remediation", "r-1", "NotFound"),
        ("cancel", "remediation", "r-1", "NotFound"),
        ("delete", "cluster", "c-9", "NotFound"),
    ]


@pytest.mark.parametrize("dialect", [G2Cloud, G0Cloud])
@pytest.mark.parametrize("content", ["", "{}", '"done"'])
async def test_a_create_whose_answer_is_not_understood_is_no_success(log, dialect, content):
    cloud = dialect(a_transport(lambda request: httpx.Response(200, text=content)))
    order = replace(ORDER, cuda_version="12.8", driver_version="570")
    for create in (
        cloud.create_cluster(order, deadline=FAR),
        cloud.create_volume(VolumeOrder("ts-v", "r", 1), deadline=FAR),
    ):
        assert (await failure_of(create)).error is ErrorClass.AMBIGUOUS
    assert [(write.outcome, write.line.id) for write in read_audit(log.open())] == [("Ambiguous", "")] * 2


async def test_what_was_not_sent_is_not_told(log):
    await failure_of(a_cloud(answering(200), clock=lambda: 9.0).create_cluster(ORDER, deadline=8.0))
    assert lines_of(log) == []


async def test_a_request_that_is_cut_off_by_the_end_of_the_process_is_told_as_cancelled(log):
    async def answer(request):
        await asyncio.sleep(3600)

    buying = asyncio.create_task(a_cloud(answer).create_cluster(ORDER, deadline=FAR))
    while not lines_of(log):
        await asyncio.sleep(0)
    buying.cancel()
    await asyncio.gather(buying, return_exceptions=True)
    assert [line.get("outcome") for line in lines_of(log)] == [None, "Cancelled"]


async def test_what_cannot_be_written_down_is_not_bought_but_given_back(tmp_path):
    handler, asked = AuditHandler(Redactor(), tmp_path / "absent" / "audit.jsonl"), []
    level = audit.level
    audit.addHandler(handler)
    audit.setLevel(logging.INFO)

    def answer(request):
        asked.append(request.method)
        return httpx.Response(200, json={})

    try:
        cloud = a_cloud(answer)
        assert (await failure_of(cloud.create_cluster(ORDER, deadline=FAR))).error is ErrorClass.NOT_SENT
        await failure_of(cloud.change_cluster("c-1", ClusterChanges(gpus=16)))
        await cloud.delete_cluster("c-1")
    finally:
        audit.removeHandler(handler)
        audit.setLevel(level)
    assert asked == ["DELETE"]


async def test_a_crash_in_between_leaves_a_write_whose_end_nobody_knows(log):
    with acting_for(PURPOSE):
        await a_cloud(answering(200, CLUSTER)).create_cluster(ORDER, deadline=FAR)
    first, _ = log.read_text().splitlines()
    (write,) = read_audit([first, '{"kind": "request", "ev'])
    assert (write.outcome, write.ended, write.line.intent) == (NOT_KNOWN, None, "nonce-1")


def test_lines_of_others_are_passed_over():
    assert read_audit(["", "INFO hello", "[1]", "7", '{"kind": "usage", "usd": "3"}', '{"kind": "request"}']) == ()


async def test_a_rotated_file_is_begun_anew(log):
    cloud = a_cloud(answering(200, {}))
    await cloud.delete_cluster("c-1")
    log.rename(log.with_suffix(".1"))
    await cloud.delete_cluster("c-2")
    assert {line["id"] for line in lines_of(log)} == {"c-2"}


@pytest.fixture
def configured():
    """Puts the logger back as it was."""
    before = (audit.handlers[:], audit.level, audit.propagate)
    yield configure_audit
    audit.handlers[:], audit.level, audit.propagate = before


async def test_without_a_path_the_lines_alone_go_to_standard_output_at_every_log_level(configured, capsys, caplog):
    configured(Redactor(), None)
    await a_cloud(answering(200, {})).delete_cluster("c-1")
    told = capsys.readouterr()
    assert [json.loads(line)["event"] for line in told.out.splitlines()] == ["begun", "ended"]
    assert (told.err, caplog.records) == ("", [])


def test_a_secret_in_a_line_is_hidden(log):
    redactor = Redactor()
    redactor.remember("a-very-secret-value")
    AuditHandler(redactor, log).emit(logging.LogRecord("x", 20, "", 1, '{"asks": "a-very-secret-value"}', (), None))
    assert "a-very-secret-value" not in log.read_text()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("train", True),
        ("ml/train", True),
        ("GPUCluster/ml/train", True),
        ("gpucluster/ml/train", True),
        ("uid-1", True),
        ("rain", False),
        ("other/train", False),
        ("SharedVolume/ml/train", False),
    ],
)
async def test_a_resource_is_found_by_as_much_of_its_name_as_is_given(log, wanted, found):
    with acting_for(PURPOSE):
        await a_cloud(answering(200, {})).delete_cluster("c-1")
    (write,) = read_audit(log.open())
    assert write.line.resource.is_named(wanted) is found
