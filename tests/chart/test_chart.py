"""The chart renders what it promises, refuses what it does not know, and asks for no more than the operator needs."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tunesmith.kube.kinds import OWN_KINDS
from tunesmith.planning.deadlines import Stage
from tunesmith.settings import Settings

from .conftest import CHART, VALUES, Render, the

KUBERNETES = ("1.33", "1.37")
TWO_WEEKS_SECONDS = 1_209_600
"""Helm reads numbers of a file as floats, and prints those from a million on as 1.2096e+06 unless told otherwise."""
every_values = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)

Helm = Callable[..., subprocess.CompletedProcess[str]]


@every_values
def test_lint_has_nothing_to_say(helm: Helm, values: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(values))
    assert done.returncode == 0, done.stdout + done.stderr


@every_values
def test_two_renderings_are_the_same(render: Render, values: Path) -> None:
    assert render(values) == render(values)


@every_values
@pytest.mark.parametrize("version", KUBERNETES)
def test_what_is_rendered_is_valid_kubernetes(render: Render, values: Path, version: str) -> None:
    for rendered in render(values):
        if rendered["kind"] != "CustomResourceDefinition":
            kubernetes_validate.validate(rendered, version, strict=True)


@pytest.mark.parametrize(
    ("settings", "complains_of"),
    [
        ("nothingLikeIt=1", "nothingLikeIt"),
        ("developer.allowLoopbck=true", "allowLoopbck"),
        ("replicaCount=3", "replicaCount"),
        ("replicaCount=two", "replicaCount"),
        ("installationID=TooLong", "installationID"),
        ("image.digest=latest", "digest"),
        ("provider.baseURL=file:///etc/passwd", "baseURL"),
        ("provider.apiGeneration=G1", "apiGeneration"),
        ("audit.path=audit.jsonl", "path"),
        ("logLevel=LOUD", "logLevel"),
        ("outbound.proxy.https=http://user:secret@proxy:3128", "https"),
    ],
)
def test_values_that_the_chart_does_not_know_are_refused(helm: Helm, settings: str, complains_of: str) -> None:
    done = helm("template", "tunesmith", str(CHART), "--set", settings)
    assert done.returncode != 0
    assert complains_of in done.stderr


def test_every_value_has_a_schema_and_the_other_way_round() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(part: dict[str, Any], described: dict[str, Any], path: str) -> None:
        known = set(described["properties"]) - {"global"}
        assert set(part) in (known, set()), path  # an empty map: each of its members may be given, none must
        for name, inner in described["properties"].items():
            if "properties" in inner and part:
                compare(part[name], inner, f"{path}.{name}")

    compare(values, schema, "")


@every_values
def test_the_pod_meets_the_restricted_standard(render: Render, values: Path) -> None:
    pod = the(render(values), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC"))
    assert all(set(volume) <= {"name", "emptyDir", "secret", "persistentVolumeClaim"} for volume in pod["volumes"])
    assert {"startupProbe", "livenessProbe", "readinessProbe", "resources"} <= set(container)
    assert not container["image"].endswith(":latest")


def test_a_digest_wins_over_a_tag(render: Render) -> None:
    digest = "sha256:" + "a" * 64
    deployment = the(render(None, "--set", f"image.tag=v9,image.digest={digest}"), "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"tunesmith/operator@{digest}"


@every_values
def test_the_environment_is_one_that_the_operator_understands(
    render: Render, values: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = the(render(values), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    for variable in container["env"]:
        name = variable["name"].removeprefix("TUNESMITH_").lower()
        assert name in Settings.model_fields
        monkeypatch.setenv(variable["name"], variable.get("value", "127.0.0.1"))
    settings = Settings()
    given = yaml.safe_load(values.read_text())
    assert settings.installation_id == given.get("installationID")
    assert (settings.api_key_file is not None) == ("apiKey" in given)
    assert settings.allow_loopback == (values.stem == "developer")


def whole_numbers(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, int]]:
    """Every value of the chart that is a number of its own, with a large one that its schema allows."""
    for name, inner in schema.get("properties", {}).items():
        yield from whole_numbers(inner, f"{path}.{name}".lstrip("."))
    if schema.get("type") in ("integer", ["integer", "null"]) or "seconds" in schema.get("$ref", ""):
        yield path, min(TWO_WEEKS_SECONDS, schema.get("maximum", TWO_WEEKS_SECONDS))


def test_large_numbers_reach_the_operator_as_they_were_written(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"limits": {"service": {"enabled": True}}}
    for path, number in whole_numbers(json.loads((CHART / "values.schema.json").read_text())):
        *above, name = path.split(".")
        functools.reduce(lambda part, each: part.setdefault(each, {}), above, given)[name] = number
    given["replicaCount"] = 1
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(given))
    container = the(render(file), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    for variable in container["env"]:
        assert not re.search(r"\de\+\d", variable.get("value", "")), variable
        monkeypatch.setenv(variable["name"], variable.get("value", "127.0.0.1"))
    settings = Settings()
    assert settings.idle_delete_after_seconds == TWO_WEEKS_SECONDS
    assert settings.save_grace_seconds == TWO_WEEKS_SECONDS
    assert settings.settle_seconds == TWO_WEEKS_SECONDS
    assert settings.phase_deadline_seconds[Stage.QUEUED] == TWO_WEEKS_SECONDS


def test_the_api_key_comes_as_a_file_and_never_as_a_value(render: Render) -> None:
    pod = the(render(VALUES[-1]), "Deployment")["spec"]["template"]["spec"]
    mounted = {volume["name"]: volume for volume in pod["volumes"]}["api-key"]
    assert mounted["secret"]["items"] == [{"key": "token", "path": "token"}]
    text = json.dumps(pod)
    assert "secretKeyRef" not in text
    assert "/var/run/secrets/tunesmith/api-key/token" in text


@every_values
def test_no_role_has_a_wildcard_or_a_way_to_more_rights(render: Render, values: Path) -> None:
    rules = [rule for each in render(values) if each["kind"] in {"ClusterRole", "Role"} for rule in each["rules"]]
    asked = [word for rule in rules for part in rule.values() for word in part]
    assert not {"*", "escalate", "bind", "impersonate", "cluster-admin"} & set(asked)
    secrets = [verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]]
    assert not {"list", "watch", "deletecollection"} & set(secrets)


def test_the_roles_cover_all_own_kinds_and_their_statuses(render: Render) -> None:
    role = the(render(), "ClusterRole")
    covered = {resource for rule in role["rules"] for resource in rule["resources"]}
    for kind in OWN_KINDS:
        assert {kind.plural, f"{kind.plural}/status"} <= covered


def test_the_models_limits_are_served_only_if_they_are_asked_for_and_then_apart_from_the_metrics(
    render: Render,
) -> None:
    services = {each["metadata"]["name"]: each for each in render(VALUES[-1]) if each["kind"] == "Service"}
    (port,) = services["tunesmith-limits"]["spec"]["ports"]
    container = the(render(VALUES[-1]), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert port["port"] == 8000
    assert {"name": port["targetPort"], "containerPort": 8081} in container["ports"]
    assert {"name": "TUNESMITH_LIMITS_PORT", "value": "8081"} in container["env"]
    assert [each["metadata"]["name"] for each in render() if each["kind"] == "Service"] == ["tunesmith-metrics"]
    assert "TUNESMITH_LIMITS_PORT" not in json.dumps(the(render(), "Deployment"))


def test_two_replicas_get_a_disruption_budget_and_one_gets_none(render: Render) -> None:
    assert not [each for each in render() if each["kind"] == "PodDisruptionBudget"]
    assert the(render(None, "--set", "replicaCount=2"), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_the_definitions_are_kept_or_left_out_as_the_values_say(render: Render) -> None:
    definitions = [each for each in render() if each["kind"] == "CustomResourceDefinition"]
    assert {each["spec"]["names"]["plural"] for each in definitions} == {kind.plural for kind in OWN_KINDS}
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in definitions)
    assert not [each for each in render(None, "--set", "crds.enabled=false") if "CustomResource" in each["kind"]]
    kept = [each for each in render(None, "--set", "crds.keep=false") if "CustomResource" in each["kind"]]
    assert not any("helm.sh/resource-policy" in each["metadata"]["annotations"] for each in kept)


def test_the_chart_says_which_version_of_the_operator_it_installs() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (CHART.parents[1] / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    assert chart["appVersion"] == version


@every_values
def test_deletion_protection_is_the_api_servers_own_for_everything_that_bills(render: Render, values: Path) -> None:
    objects = render(values)
    policy, binding = the(objects, "ValidatingAdmissionPolicy"), the(objects, "ValidatingAdmissionPolicyBinding")
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["DELETE"], ["gpuclusters", "sharedvolumes"])
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    assert binding["spec"]["validationActions"] == ["Deny"]


def test_deletion_protection_by_the_api_server_can_be_left_out(render: Render) -> None:
    kinds = {rendered["kind"] for rendered in render(None, "--set", "deletionProtection.enabled=false")}
    assert not {kind for kind in kinds if kind.startswith("ValidatingAdmission")}
