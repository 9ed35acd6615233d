"""`tunesmith cost`: living resources and usage records, by label, nothing counted twice."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from click.testing import CliRunner

from tunesmith.cli.cost_report import UNLABELLED, of_log, of_resource, report
from tunesmith.cli.main import main

NOBODY_ANSWERS = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""


def usage(record_id="u-1/1/c-1", *, uid="u-1", labels=None, **more):
    """One line of the audit log."""
    line = {
        "kind": "usage",
        "id": record_id,
        "resource": {"kind": "GPUCluster", "namespace": "ml", "name": "train", "uid": uid},
        "labels": {"team": "vision"} if labels is None else labels,
        "gpuHours": "80.0000",
        "computeUSD": "319.20",
        "idleUSD": "31.92",
        "uncertainUSD": "5.00",
        **more,
    }
    return json.dumps(line)


def a_living_cluster(uid="u-9", *, labels=None, usd="100.00", hourly="31.92"):
    return {
        "apiVersion": "tunesmith.dev/v1alpha1",
        "kind": "GPUCluster",
        "metadata": {"name": "live", "namespace": "ml", "uid": uid, "labels": labels or {"team": "vision"}},
        "spec": {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1},
        "status": {
            "cost": {
                "hourlyUSD": hourly,
                "computeUSD": usd,
                "account": {"total": {"computeUSD": usd, "heldHours": "25.06", "uncertainUSD": "1.50"}},
            }
        },
    }


def test_spending_is_grouped_by_a_label_and_the_dearest_comes_first():
    gone = of_log([usage(), usage("u-2/1/c-2", uid="u-2", labels={}, computeUSD="10.00")])
    groups = report([of_resource(a_living_cluster(labels={"team": "speech"}, usd="900.00"))], gone, "team")
    assert list(groups) == ["speech", "vision", UNLABELLED]
    assert groups["speech"].hourly_usd == Decimal("31.92")
    assert groups["vision"].idle_usd == Decimal("31.92")


def test_a_record_that_was_written_twice_counts_once():
    groups = report((), of_log([usage(), usage()]), "team")
    assert groups["vision"].compute_usd == Decimal("319.20")


def test_earlier_incarnations_of_what_lives_are_in_its_own_sums():
    groups = report([of_resource(a_living_cluster("u-1"))], of_log([usage()]), "team")
    assert groups["vision"].compute_usd == Decimal("100.00")


@pytest.mark.parametrize(
    "line", ["", "not json", "[]", '{"kind": "request"}', '{"kind": "usage"}', '{"kind": "usage", "resource": {}}']
)
def test_other_lines_of_the_log_pass(line):
    assert of_log([line]) == ()


def test_storage_stands_apart_from_compute():
    line = usage("v/1/v-1", tibHours="730.0000", storageUSD="163.84", gpuHours="0", computeUSD=None)
    (group,) = report((), of_log([line]), "namespace").values()
    assert (group.storage_usd, group.compute_usd, group.tib_hours) == (Decimal("163.84"), 0, Decimal("730.0000"))


def test_what_has_no_price_is_counted_as_such_and_not_as_nothing():
    (group,) = report((), of_log([usage(computeUSD=None)]), "team").values()
    assert (group.unpriced, group.gpu_hours) == (1, Decimal("80.0000"))


def run(tmp_path, *arguments):
    log = tmp_path / "audit.log"
    log.write_text(f"{usage()}\n{usage('u-2/1/c-2', uid='u-2', labels={'team': 'speech'})}\n", encoding="utf-8")
    return CliRunner().invoke(main, ["cost", "--offline", "--audit", str(log), "--by", "team", *arguments])


def test_csv_has_a_line_a_group_and_a_total(tmp_path):
    rows = list(csv.DictReader(io.StringIO(run(tmp_path, "-o", "csv").output)))
    assert [row["team"] for row in rows] == ["speech", "vision", "TOTAL"]
    assert (rows[-1]["totalUSD"], rows[-1]["uncertainUSD"]) == ("638.40", "10.00")


def test_json_says_the_date_of_the_default_prices(tmp_path):
    body = json.loads(run(tmp_path, "-o", "json").output)
    assert body["total"]["gpuHours"] == "160.00"
    assert "2026-09-21" in body["note"]


def test_the_table_has_totals_with_what_is_uncertain_apart(tmp_path):
    output = run(tmp_path).output
    assert "TOTAL" in output
    assert "2026-09-21" in output.replace("\n", " ")


def test_a_cluster_that_cannot_be_asked_is_said_with_the_ways_out(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(NOBODY_ANSWERS, encoding="utf-8")
    result = CliRunner().invoke(main, ["cost", "--kubeconfig", str(path)])
    assert result.exit_code == 1
    assert "--offline" in result.output
