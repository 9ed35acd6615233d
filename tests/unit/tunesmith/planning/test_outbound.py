"""The installation's proxy and certificates reach the pods that talk outside, and no others, in every cluster."""

import json
from dataclasses import replace

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    LOCAL,
    a_job,
    admitted,
    circumstances,
    deep,
    preparing,
    the_batch_job,
    the_pods,
    with_errand,
    with_workload,
)

from tunesmith.planning.actions import ApplyObject, CopyConfigMapKey, CopySecretKeys, RemoteCluster
from tunesmith.planning.circumstances import FailureRecord, Outbound
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.fine_tune_job import decide
from tunesmith.resources.conditions import find_condition

EVERYTHING = Outbound(no_proxy=".svc", proxy_secret="proxy", ca_config_map="trusted", ca_key="all.pem")
FETCHES = {
    "dataset": {
        "training": {"type": "HTTP", "configMap": None, "http": {"url": "https://example.org/a", "sha256": "c" * 64}}
    }
}
BUCKET = {"bucket": "copies", "credentialsSecretRef": {"name": "store"}}
MIRRORS = {"training": {"checkpoints": {"mirror": {"s3": BUCKET}}}}
SERVED = {"tracking": [{"type": "MLflow", "endpoint": "https://mlflow.example", "project": "p"}]}
IN_A_DIRECTORY = {"tracking": [{"type": "TensorBoard"}]}


def a_preparation(spec=FETCHES, outbound=EVERYTHING):
    return preparing(a_job(spec), files={}, around=circumstances(outbound=outbound, operator_namespace="admin"))


def an_attempt(spec=MIRRORS, outbound=EVERYTHING):
    return admitted(a_job(spec), around=circumstances(outbound=outbound, operator_namespace="admin"))


def the_pod(decision):
    [made] = [one.manifest for one in decision.actions if isinstance(one, ApplyObject) if one.manifest["kind"] == "Job"]
    return made["spec"]["template"]["spec"]


def environment(pod):
    return {one["name"]: one.get("value") or one["valueFrom"]["secretKeyRef"] for one in pod["containers"][0]["env"]}


def copies(decision):
    return [one for one in decision.actions if isinstance(one, CopySecretKeys | CopyConfigMapKey)]


def at_the_gate(seen):
    return with_errand(seen, gated=True, node=None, phase="Pending", started=False)


@pytest.mark.parametrize(
    "seen", [a_preparation(), an_attempt(), an_attempt(SERVED)], ids=["fetches", "mirror", "mlflow"]
)
def test_a_pod_that_talks_outside_knows_the_proxy_and_trusts_the_bundle(seen):
    pod = the_pod(decide(seen))
    found, name = environment(pod), pod["volumes"][1]["configMap"]["name"]
    assert found["HTTPS_PROXY"] == {"name": f"{name}-proxy", "key": "HTTPS_PROXY"}
    assert found["HTTP_PROXY"] == {"name": f"{name}-proxy", "key": "HTTP_PROXY"}
    assert found["NO_PROXY"] == ".svc"
    assert found["SSL_CERT_FILE"] == found["REQUESTS_CA_BUNDLE"] == "/etc/tunesmith-certificates/bundle.pem"
    assert {"name": "certificates", "configMap": {"name": f"{name}-certificates"}} in pod["volumes"]
    [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "certificates"]
    assert mount == {"name": "certificates", "mountPath": "/etc/tunesmith-certificates", "readOnly": True}


@pytest.mark.parametrize(
    "seen",
    [
        preparing(around=circumstances(outbound=EVERYTHING)),
        an_attempt({}),
        an_attempt(IN_A_DIRECTORY),
        a_preparation(outbound=Outbound(no_proxy=".svc")),
    ],
    ids=["fetches-nothing", "talks-to-nobody", "records-in-a-directory", "nothing-set"],
)
def test_other_pods_are_given_nothing(seen):
    pod = the_pod(decide(seen))
    assert not any("PROXY" in name or "CERT" in name for name in environment(pod))
    assert "certificates" not in {volume["name"] for volume in pod["volumes"]}


def test_addresses_without_a_password_need_no_secret():
    outbound = Outbound(https_proxy="http://proxy:3128", no_proxy=".svc")
    seen = a_preparation(outbound=outbound)
    found = environment(the_pod(decide(seen)))
    assert (found["HTTPS_PROXY"], found["NO_PROXY"]) == ("http://proxy:3128", ".svc")
    assert "HTTP_PROXY" not in found
    assert copies(decide(at_the_gate(seen))) == []


@pytest.mark.parametrize("local", [False, True], ids=["bought", "local"])
def test_both_are_copied_out_of_the_operators_namespace_before_the_pod_may_start(local):
    spec = deep(FETCHES, LOCAL) if local else FETCHES
    decision = decide(at_the_gate(a_preparation(spec)))
    certificates, proxy = copies(decision)
    assert {(one.namespace, one.owner_uid) for one in (certificates, proxy)} == {("admin", "uid-prepare-1")}
    assert (certificates.name, certificates.key, certificates.to_key) == ("trusted", "all.pem", "bundle.pem")
    assert (proxy.name, proxy.keys) == ("proxy", ("HTTP_PROXY", "HTTPS_PROXY"))
    where, namespace = (None, "team") if local else (RemoteCluster("team", "gpus"), "tunesmith-jobs")
    assert all((one.where, one.to_namespace) == (where, namespace) for one in (certificates, proxy))
    kinds = [type(one).__name__ for one in decision.actions]
    assert kinds.index("ReleasePod") > kinds.index("CopySecretKeys") > kinds.index("CopyConfigMapKey")


@pytest.mark.parametrize("kind", [CopyConfigMapKey, CopySecretKeys])
def test_what_the_administrator_forgot_is_named_and_the_pods_wait(kind):
    seen = an_attempt()
    gated = with_workload(seen, jobs=[the_batch_job(seen)], pods=the_pods(seen, gated=True, node=None, phase="Pending"))
    [copy] = [one for one in copies(decide(gated)) if isinstance(one, kind) and one.namespace == "admin"]
    record = FailureRecord(1, 0, Failure(ErrorClass.NOT_FOUND, "'admin/x' does not exist. Create it."))
    decision = decide(replace(gated, around=replace(gated.around, failures={copy.identity: record})))
    told = find_condition(decision.status.conditions, "PodsReady")
    assert told.reason == "OutboundSettingsMissing"
    assert "'admin/x' does not exist" in told.message


def test_two_preparations_of_the_same_job_have_copies_of_their_own():
    first = copies(decide(at_the_gate(a_preparation())))
    assert all(copy.to_name.endswith(("-p1-proxy", "-p1-certificates")) for copy in first)
    assert json.dumps([copy.to_name for copy in first]).count("tune") == 2
