"""`tunesmith orphans`: what bills without an owner, and no good news where nobody has looked."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from click.testing import CliRunner
from tests.unit.tunesmith.controllers.conftest import MemoryKube

from tunesmith.cli import orphans as command
from tunesmith.cli.main import main
from tunesmith.planning.name_book import Kept
from tunesmith.planning.orphan_report import REPORT_KEY, report_of
from tunesmith.planning.orphans import Found, Orphan
from tunesmith.resources.timestamps import format_time

NOW = datetime.now(UTC)
CLUSTER = Orphan(
    Found("GPUCluster", "c-1", "ts-prod01-a", "Ready", "us-central-8", "H100_SXM", 8, created=NOW - timedelta(days=3)),
    NOW - timedelta(days=1),
    hourly_usd=Decimal("31.92"),
    stays="this installation only reports",
)
VOLUME = Orphan(
    Found("SharedVolume", "v-1", "ts-prod01-b", "available", size_tib=2),
    NOW - timedelta(days=2),
    hourly_usd=Decimal("0.45"),
    stays="volumes are never deleted",
)
KEPT = replace(CLUSTER, found=replace(CLUSTER.found, id="c-2"), kept=Kept.RETAINED)


@pytest.fixture
def kube(monkeypatch):
    """A cluster that the command connects to."""
    found = MemoryKube()
    found.close = closed

    async def opened(kubeconfig):
        return found

    monkeypatch.setattr(command, "open_local", opened)
    return found


async def closed():
    """Nothing is open."""


def with_report(kube, *orphans, left_out=0):
    report = report_of(orphans, NOW - timedelta(hours=1)).model_copy(update={"left_out": left_out})
    data = {REPORT_KEY: report.model_dump_json(by_alias=True, exclude_none=True)}
    meta = {"name": "tunesmith-orphans", "namespace": "tunesmith-system"}
    kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})


def with_lease(kube, *, renewed=timedelta(0), holder="pod-1"):
    spec = {"holderIdentity": holder, "renewTime": format_time(datetime.now(UTC) - renewed)}
    meta = {"name": "tunesmith", "namespace": "tunesmith-system"}
    kube.put({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec})


def told(*arguments):
    return CliRunner().invoke(main, ["orphans", *arguments], env={"COLUMNS": "250"})


def test_the_table_shows_what_bills_since_when_at_what_cost_and_why_it_stays(kube):
    with_report(kube, CLUSTER, VOLUME, KEPT, left_out=3)
    with_lease(kube)
    done = told()
    assert done.exit_code == 0
    text = " ".join(done.output.split())
    first_seen = f"{VOLUME.since:%Y-%m-%d %H:%M} or before"
    for part in ("c-1", "8 x H100_SXM, us-central-8", first_seen, "3 more"):
        assert part in text
    for what, hourly, days in ((r"31\.92", "31.92", 3), (r"0\.45 at least", "0.45", 2)):
        so_far = Decimal(re.search(rf"{what} ([0-9.]+)", text)[1])
        assert 0 <= so_far - 24 * days * Decimal(hourly) <= Decimal(hourly), "an hour may pass while tests run"
    assert "c-2" not in text
    assert f"As of {NOW - timedelta(hours=1):%Y-%m-%d %H:%M}" in text


def test_json_tells_the_same_and_all_tells_what_is_kept_as_well(kube):
    with_report(kube, CLUSTER, VOLUME, KEPT)
    with_lease(kube)
    lines = json.loads(told("-o", "json").stdout)
    assert [(line["id"], line["costIsAtLeast"], line["kept"]) for line in lines] == [
        ("c-1", False, None),
        ("v-1", True, None),
    ]
    assert Decimal(lines[1]["costUSD"]) >= Decimal("21.60")
    assert (lines[1]["billedSince"], lines[1]["firstSeen"]) == (None, format_time(VOLUME.since))
    assert [line["kept"] for line in json.loads(told("--all", "-o", "json").stdout)] == [None, None, "Retained"]


def test_all_is_well_only_where_somebody_has_looked_and_still_does(kube):
    with_report(kube)
    with_lease(kube)
    done = told()
    assert (done.exit_code, "No orphans are known" in done.output) == (0, True)


def test_without_a_report_and_an_operator_it_says_where_it_looked_and_what_to_give(kube):
    done = told("--release", "other", "--namespace", "ops")
    assert done.exit_code == 1
    assert "ConfigMap 'other-orphans' in namespace 'ops'" in done.output
    assert "--release" in done.output
    assert "No orphans" not in done.output


def test_an_operator_that_has_not_looked_yet_is_no_good_news(kube):
    with_lease(kube)
    done = told()
    assert (done.exit_code, "has written no report" in done.output) == (1, True)


@pytest.mark.parametrize("lease", [None, {"renewed": timedelta(hours=2)}, {"holder": ""}])
@pytest.mark.parametrize("output", ["table", "json"])
def test_what_an_operator_knew_that_runs_no_more_is_told_as_old(kube, lease, output):
    with_report(kube, CLUSTER)
    if lease is not None:
        with_lease(kube, **lease)
    done = told("-o", output)
    assert done.exit_code == 1
    assert "c-1" in done.stdout
    assert "No operator runs" in done.stderr
    with_report(kube)
    done = told()
    assert (done.exit_code, "No orphans" in done.output) == (1, False)
