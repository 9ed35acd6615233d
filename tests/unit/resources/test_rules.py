"""Every CEL rule takes what it should and refuses what it should, on the API server's side and in Python alike."""

import copy
from typing import Any

import cel
import pytest
from tests.unit.resources import rules_of_jobs, rules_of_what_is_bought

from tunesmith.resources.fine_tune_job import FineTuneJobSpec
from tunesmith.resources.kinds import kind_named
from tunesmith.resources.parsing import Invalid, parse
from tunesmith.resources.schema import camel_case

CREATE = [*rules_of_what_is_bought.CASES, *rules_of_jobs.CASES]


@pytest.mark.parametrize(("kind", "message", "refused", "taken"), CREATE)
def test_a_rule_refuses_one_manifest_and_takes_its_neighbour(api_server, good, kind, message, refused, taken):
    problems = api_server.problems(good(kind, **refused))
    assert any(message in problem for problem in problems), problems
    told = parse(good(kind, **refused))
    assert isinstance(told, Invalid)
    assert message in told.message
    assert api_server.problems(good(kind, **taken)) == []
    assert not isinstance(parse(good(kind, **taken)), Invalid)


def test_a_jobs_name_is_a_dns_label(api_server, good):
    job = good("FineTuneJob")
    for name, is_taken in (("a" * 63, True), ("a" * 64, False), ("a.b", False)):
        job["metadata"]["name"] = name
        assert (api_server.problems(job) == []) is is_taken
        assert isinstance(parse(job), Invalid) is not is_taken


# kind, part of the message, spec before, spec after that is refused, spec after that is taken
UPDATE: list[tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("SharedVolume", "`sizeTiB` must not become smaller", {"sizeTiB": 4}, {"sizeTiB": 3}, {"sizeTiB": 5}),
    ("FineTuneJob", "`dryRun` may not be turned on", {"dryRun": False}, {"dryRun": True}, {"dryRun": False}),
    ("FineTuneJob", "`dryRun` may not be turned on", {}, {"dryRun": True}, {"suspend": True}),
    (
        "FineTuneJob",
        "`queue.maxWaitSeconds` may not",
        {"queue": {"maxWaitSeconds": 5}},
        {"queue": {"maxWaitSeconds": 6}},
        {"queue": {"maxWaitSeconds": 5, "priorityClassName": "high"}},
    ),
    (
        "FineTuneJob",
        "`queue.maxWaitSeconds` may not",
        {},
        {"queue": {"maxWaitSeconds": 6}},
        {"queue": {"priorityClassName": "high"}},
    ),
    (
        "FineTuneJob",
        "`queue.maxWaitSeconds` may not",
        {"queue": {"maxWaitSeconds": 6}},
        {"queue": {}},
        {"queue": {"maxWaitSeconds": 6}},
    ),
    (
        "GPUCluster",
        "`capacityPool` may not be added",
        {},
        {"billing": {"capacityPool": {"id": "p", "nodes": 1}}},
        {"billing": {"preemptibleNodes": 1}, "projectID": None},
    ),
    (
        "GPUCluster",
        "`capacityPool` may not be added or removed",
        {"billing": {"capacityPool": {"id": "p", "nodes": 1}}},
        {},
        {"billing": {"capacityPool": {"id": "p", "nodes": 2}}},
    ),
    (
        "GPUCluster",
        "`acceptanceTests` may not be changed",
        {"acceptanceTests": {"dcgmLevel": "Long"}},
        {"acceptanceTests": {"dcgmLevel": "Short"}},
        {},
    ),
    (
        "GPUCluster",
        "`acceptanceTests` may not be changed",
        {},
        {"acceptanceTests": {"dcgmLevel": "Short"}},
        {},
    ),
]


@pytest.mark.parametrize(("kind", "message", "before", "refused", "taken"), UPDATE)
def test_a_change_is_refused_and_its_neighbour_taken(api_server, good, kind, message, before, refused, taken):
    problems = api_server.problems(good(kind, **refused), good(kind, **before))
    assert any(message in problem for problem in problems), problems
    after = api_server.problems(good(kind, **taken), good(kind, **before))
    assert not any(message in problem for problem in after), after


def test_alternatives_may_change_until_the_cluster_is_bought(api_server, good):
    changes = [good("GPUCluster"), good("GPUCluster", alternatives=[{"region": "a", "gpuType": "b"}])]
    for before, after in (changes, changes[::-1]):
        assert api_server.problems(after, before) == []
        bought = {**copy.deepcopy(before), "status": {"clusterID": "c-1"}}
        assert "may not be changed once" in " ".join(api_server.problems(after, bought))
        assert api_server.problems(before, bought) == []


def _all_rules(schema: dict[str, Any]) -> set[str]:
    found = {rule["message"] for rule in schema.get("x-kubernetes-validations", [])}
    below = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return found.union(*(_all_rules(inner) for inner in below if isinstance(inner, dict)))


def test_no_rule_is_without_a_case(api_server):
    tried = [message for _, message, *_ in [*CREATE, *UPDATE]]
    tried += [
        "`metadata.name` must be a DNS label",
        "`spec.alternatives` may not",
        "may not be changed, added or removed",
    ]
    every = set().union(*(_all_rules(schema) for schema in api_server.schemas.values()))
    assert {message for message in every if not any(part in message for part in tried)} == set()


def _immutable_fields(kind: str) -> list[tuple[str, str]]:
    rules = kind_named(kind).model.model_fields["spec"].annotation.all_rules()
    ours = [rule for rule in rules if "may not be changed, added or removed after creation:" in rule.message]
    return [(rule.message.split("`")[1], rule.cel) for rule in ours]


@pytest.mark.parametrize("kind", ["GPUCluster", "SharedVolume", "FineTuneJob"])
def test_an_immutable_field_does_not_change_nor_come_nor_go(kind):
    for name, expression in _immutable_fields(kind):
        one, other, none = {name: {"a": 1}}, {name: {"a": 2}}, {}
        assert cel.evaluate(expression, {"self": one, "oldSelf": one}) is True
        assert cel.evaluate(expression, {"self": other, "oldSelf": one}) is False
        if "has(" in expression:
            assert cel.evaluate(expression, {"self": none, "oldSelf": none}) is True
            assert cel.evaluate(expression, {"self": one, "oldSelf": none}) is False
            assert cel.evaluate(expression, {"self": none, "oldSelf": one}) is False


def test_only_the_named_fields_of_a_job_may_change():
    fields = {camel_case(name) for name in FineTuneJobSpec.model_fields}
    frozen = {name for name, _ in _immutable_fields("FineTuneJob")}
    assert fields - frozen == {
        "activeDeadlineSeconds",
        "budget",
        "dryRun",
        "onDelete",
        "queue",
        "retention",
        "suspend",
        "ttlSecondsAfterFinished",
    }


def test_billing_may_not_change_its_kind(api_server, good):
    reserved = good("GPUCluster", billing=rules_of_what_is_bought.RESERVED)
    assert "`type` may not be changed" in " ".join(api_server.problems(good("GPUCluster"), reserved))
    longer = good("GPUCluster", billing={**rules_of_what_is_bought.RESERVED, "durationDays": 4})
    assert "`durationDays` may not be changed" in " ".join(api_server.problems(longer, reserved))
