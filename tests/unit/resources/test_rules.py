"""Every CEL rule takes what it should and refuses what it should, on the API server's side and in Python alike.

Long because it is one table: each rule with what it takes and what it refuses.
"""

import copy
from typing import Any

import cel
import pytest

from tunesmith.resources.fine_tune_job import FineTuneJobSpec
from tunesmith.resources.kinds import kind_named
from tunesmith.resources.parsing import Invalid, parse
from tunesmith.resources.schema import camel_case

ADOPT = {"clusterID": "c-1"}
SCHEDULE = {"start": "0 8 * * *", "stop": "0 20 * * *"}
RESERVED = {"type": "Reserved", "durationDays": 3}
SCHEDULED = {
    "type": "ScheduledCapacity",
    "startTime": "2030-01-01T08:00:00+01:00",
    "endTime": "2030-01-01T08:00:00Z",
}
S3 = {"bucket": "rows", "key": "train.jsonl"}
PUBLISH_S3 = {"type": "S3", "s3": {"bucket": "results"}}
CATALOG = {"type": "Catalog", "catalog": {"name": "x/y"}}
TRAIN = {"type": "Path", "path": "a.jsonl"}
LOCAL = {"type": "Local"}
TEMPLATE = {"region": "r", "gpuType": "H100_SXM", "nodes": 1}

# kind, part of the message, a change that is refused for it, a neighbouring change that is taken
CREATE = [
    ("GPUCluster", "`region` must be set", {"region": None}, {"region": None, "adopt": ADOPT}),
    ("GPUCluster", "`gpuType` must be set", {"gpuType": None}, {"gpuType": None, "adopt": ADOPT}),
    ("GPUCluster", "`nodes` must be set", {"nodes": None}, {"nodes": None, "adopt": ADOPT}),
    (
        "GPUCluster",
        "`adopt` must be set",
        {"managementPolicy": "Observe"},
        {"managementPolicy": "Observe", "adopt": ADOPT},
    ),
    ("GPUCluster", "`schedule` must not be set with", {"adopt": ADOPT, "schedule": SCHEDULE}, {"adopt": ADOPT}),
    (
        "GPUCluster",
        "`recreatePolicy` must not",
        {"adopt": ADOPT, "recreatePolicy": "WhenGone"},
        {"adopt": ADOPT, "recreatePolicy": "Never"},
    ),
    (
        "GPUCluster",
        "`idle.reacquire` must not",
        {"adopt": ADOPT, "idle": {"reacquire": "WhenJobWaits"}},
        {"adopt": ADOPT, "idle": {"deleteAfterSeconds": 600}},
    ),
    (
        "GPUCluster",
        "`slurm` must be set",
        {"clusterType": "Slurm"},
        {"clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 64}},
    ),
    ("GPUCluster", "`slurm` must be set", {"slurm": {"sharedMemoryGiB": 64}}, {}),
    ("GPUCluster", "`maxNodes` must be at least", {"maxNodes": 1}, {"maxNodes": 2}),
    (
        "GPUCluster",
        "`projectID` must be set",
        {"billing": {"preemptibleNodes": 1}},
        {"billing": {"preemptibleNodes": 1}, "projectID": "p"},
    ),
    (
        "GPUCluster",
        "`billing.preemptibleNodes` must not be set with",
        {
            "billing": {"preemptibleNodes": 1},
            "projectID": "p",
            "nodes": 2,
            "clusterType": "Slurm",
            "slurm": {"sharedMemoryGiB": 64},
        },
        {"billing": {"preemptibleNodes": 1}, "projectID": "p", "nodes": 2},
    ),
    (
        "GPUCluster",
        "`billing.preemptibleNodes` must be fewer than `nodes`",
        {"billing": {"preemptibleNodes": 2}, "projectID": "p", "nodes": 2},
        {"billing": {"preemptibleNodes": 2}, "projectID": "p", "nodes": 3},
    ),
    (
        "GPUCluster",
        "`billing.reservedNodes` must not be more than",
        {"billing": {**RESERVED, "reservedNodes": 3}, "nodes": 2},
        {"billing": {**RESERVED, "reservedNodes": 2}, "nodes": 2},
    ),
    (
        "GPUCluster",
        "`billing.capacityPool.nodes` must not be more",
        {"billing": {"capacityPool": {"id": "pool", "nodes": 3}}, "nodes": 2},
        {"billing": {"capacityPool": {"id": "pool", "nodes": 2}}, "nodes": 2},
    ),
    (
        "GPUCluster",
        "`endTime` must be later than",
        {"billing": {**SCHEDULED, "endTime": SCHEDULED["startTime"]}},
        {"billing": SCHEDULED},
    ),
    (
        "GPUCluster",
        "`idle.deleteAfterSeconds` must not",
        {"billing": RESERVED, "idle": {"deleteAfterSeconds": 60}},
        {"billing": RESERVED, "idle": {"warnAfterSeconds": 60}},
    ),
    (
        "GPUCluster",
        "`expireAfterSeconds` must not",
        {"billing": RESERVED, "expireAfterSeconds": 60},
        {"expireAfterSeconds": 60},
    ),
    ("GPUCluster", "`schedule` must not", {"billing": RESERVED, "schedule": SCHEDULE}, {"schedule": SCHEDULE}),
    ("GPUCluster", "Exactly one of `versionID`", {"driver": {}}, {"driver": {"versionID": "v"}}),
    (
        "GPUCluster",
        "Exactly one of `versionID`",
        {"driver": {"versionID": "v", "cudaVersion": "12.8", "driverVersion": "570"}},
        {"driver": {"cudaVersion": "12.8", "driverVersion": "570"}},
    ),
    (
        "GPUCluster",
        "`cudaVersion` and `driverVersion` must be set together",
        {"driver": {"cudaVersion": "12.8"}},
        {"driver": {"cudaVersion": "12.8", "driverVersion": "570"}},
    ),
    ("GPUCluster", "`durationDays` must be set", {"billing": {"type": "Reserved"}}, {"billing": RESERVED}),
    (
        "GPUCluster",
        "`startTime` must be set when",
        {"billing": {"type": "ScheduledCapacity"}},
        {
            "billing": {
                "type": "ScheduledCapacity",
                "startTime": "2026-01-01T00:00:00Z",
                "endTime": "2026-02-01T00:00:00Z",
            }
        },
    ),
    (
        "GPUCluster",
        "`endTime` must be set when",
        {"billing": {"type": "ScheduledCapacity", "startTime": "2026-01-01T00:00:00Z"}},
        {"billing": {**RESERVED, "endTime": "2026-02-01T00:00:00Z"}},
    ),
    (
        "GPUCluster",
        "`endTime` must not be set when",
        {"billing": {"endTime": "2026-02-01T00:00:00Z"}},
        {"billing": {}},
    ),
    (
        "GPUCluster",
        "`reservedNodes` must not",
        {"billing": {"reservedNodes": 1}},
        {"billing": {**RESERVED, "reservedNodes": 1}},
    ),
    ("GPUCluster", "Exactly one of `clusterID`", {"adopt": {}}, {"adopt": {"clusterName": "old"}}),
    (
        "GPUCluster",
        "`maxUnavailable` and `maxUnavailablePercent`",
        {"repair": {"maxUnavailable": 1, "maxUnavailablePercent": 10}},
        {"repair": {"maxUnavailablePercent": 10}},
    ),
    ("SharedVolume", "`region` and `regions`", {"regions": ["a"]}, {"region": None, "regions": ["a"]}),
    ("SharedVolume", "`region` or `regions` must", {"region": None}, {"region": None, "adopt": {"volumeID": "v"}}),
    ("SharedVolume", "`sizeTiB` must be set", {"sizeTiB": None}, {"sizeTiB": None, "adopt": {"volumeID": "v"}}),
    (
        "SharedVolume",
        "`adopt` must be set",
        {"managementPolicy": "Observe"},
        {"managementPolicy": "Observe", "adopt": {"volumeName": "v"}},
    ),
    ("SharedVolume", "Exactly one of `volumeID`", {"adopt": {}}, {"adopt": {"volumeName": "v"}}),
    (
        "SharedVolume",
        "`growth.maxTiB` must",
        {"growth": {"whenUsedPercent": 80, "maxTiB": 1}},
        {"growth": {"whenUsedPercent": 80, "maxTiB": 2}},
    ),
    ("FineTuneJob", "`catalog` must be set", {"model": {"type": "Catalog"}}, {"model": CATALOG}),
    ("FineTuneJob", "`path` must be set", {"model": {"type": "Path"}}, {"model": {"type": "Path", "path": "m"}}),
    (
        "FineTuneJob",
        "`huggingFace` must be set",
        {"model": {"type": "HuggingFace"}},
        {"model": {"type": "HuggingFace", "huggingFace": {"repo": "a/b"}}},
    ),
    ("FineTuneJob", "`path` must not be set", {"model": {**CATALOG, "path": "m"}}, {}),
    ("FineTuneJob", "`huggingFace` must not", {"model": {**CATALOG, "huggingFace": {"repo": "a/b"}}}, {}),
    ("FineTuneJob", "`catalog` must not", {"model": {**CATALOG, "type": "Path", "path": "m"}}, {}),
    ("FineTuneJob", "`dpo` must not", {"method": {"dpo": {}}}, {"method": {"type": "DPO", "dpo": {}}}),
    ("FineTuneJob", "`sft` must not", {"method": {"type": "DPO", "sft": {}}}, {"method": {"sft": {}}}),
    (
        "FineTuneJob",
        "`rpoAlpha` and `simpoGamma`",
        {"method": {"type": "DPO", "dpo": {"rpoAlpha": "1", "simpoGamma": "1"}}},
        {"method": {"type": "DPO", "dpo": {"rpoAlpha": "1"}}},
    ),
    (
        "FineTuneJob",
        "`output.mergeModel` may not be true",
        {"tuning": {"type": "Full"}, "output": {"mergeModel": True}},
        {"output": {"mergeModel": True}},
    ),
    ("FineTuneJob", "`lora` must not", {"tuning": {"type": "Full", "lora": {}}}, {"tuning": {"type": "Full"}}),
    *(
        (
            "FineTuneJob",
            f"`{member}` must be set",
            {"dataset": {"training": {"type": kind}}},
            {"dataset": {"training": {"type": kind, member: value}}},
        )
        for kind, member, value in (
            ("Path", "path", "a.jsonl"),
            ("HuggingFace", "huggingFace", {"repo": "a/b"}),
            ("HTTP", "http", {"url": "https://example.com/a.jsonl", "sha256": "0" * 64}),
            ("S3", "s3", S3),
            ("ConfigMap", "configMap", {"name": "rows", "key": "a.jsonl"}),
        )
    ),
    *(
        ("FineTuneJob", f"`{member}` must not", {"dataset": {"training": {**TRAIN, member: value}}}, {})
        for member, value in (
            ("huggingFace", {"repo": "a/b"}),
            ("http", {"url": "https://example.com/a.jsonl", "sha256": "0" * 64}),
            ("s3", S3),
            ("configMap", {"name": "rows", "key": "a.jsonl"}),
        )
    ),
    (
        "FineTuneJob",
        "`path` must not",
        {"dataset": {"training": {"type": "S3", "s3": S3, "path": "a"}}},
        {"dataset": {"training": {"type": "S3", "s3": S3}}},
    ),
    (
        "FineTuneJob",
        "`cycles` must not",
        {"training": {"scheduler": {"type": "Linear", "cycles": "1"}}},
        {"training": {"scheduler": {"cycles": "1"}}},
    ),
    (
        "FineTuneJob",
        "`count` must be at least",
        {
            "training": {"evaluations": {"count": 3, "earlyStopping": {}}},
            "dataset": {"training": TRAIN, "validation": TRAIN},
        },
        {
            "training": {"evaluations": {"count": 4, "earlyStopping": {}}},
            "dataset": {"training": TRAIN, "validation": TRAIN},
        },
    ),
    (
        "FineTuneJob",
        "`dataset.validation` must",
        {"training": {"evaluations": {"count": 1}}},
        {"training": {"evaluations": {"count": 1}}, "dataset": {"training": TRAIN, "validation": TRAIN}},
    ),
    (
        "FineTuneJob",
        "`job` must be set",
        {"continueFrom": {"type": "Job"}},
        {"continueFrom": {"type": "Job", "job": {"name": "a"}}},
    ),
    (
        "FineTuneJob",
        "`path` must be set",
        {"continueFrom": {"type": "Path"}},
        {"continueFrom": {"type": "Path", "path": "a"}},
    ),
    ("FineTuneJob", "`job` must not", {"continueFrom": {"type": "Path", "path": "a", "job": {"name": "a"}}}, {}),
    ("FineTuneJob", "`path` must not", {"continueFrom": {"type": "Job", "path": "a", "job": {"name": "a"}}}, {}),
    ("FineTuneJob", "`sharedVolume` must be set", {"storage": {"type": "SharedVolume"}}, {}),
    (
        "FineTuneJob",
        "`claim` must be set",
        {"storage": {"type": "Claim"}, "placement": LOCAL},
        {"storage": {"type": "Claim", "claim": {"name": "c"}}, "placement": LOCAL},
    ),
    (
        "FineTuneJob",
        "`claim` must not",
        {"storage": {"type": "SharedVolume", "sharedVolume": {"name": "v"}, "claim": {"name": "c"}}},
        {},
    ),
    (
        "FineTuneJob",
        "`sharedVolume` must not",
        {"storage": {"type": "Claim", "sharedVolume": {"name": "v"}, "claim": {"name": "c"}}, "placement": LOCAL},
        {},
    ),
    (
        "FineTuneJob",
        "`storage.type` may not be 'Claim'",
        {"storage": {"type": "Claim", "claim": {"name": "c"}}},
        {"storage": {"type": "Claim", "claim": {"name": "c"}}, "placement": LOCAL},
    ),
    *(
        (
            "FineTuneJob",
            f"`{member}` must be set",
            {"output": {"publish": [{"type": kind}]}},
            {"output": {"publish": [{"type": kind, member: value}]}},
        )
        for kind, member, value in (
            ("S3", "s3", {"bucket": "results"}),
            ("OCI", "oci", {"reference": "registry.example.com/a:b"}),
            ("HuggingFace", "huggingFace", {"repo": "a/b"}),
        )
    ),
    ("FineTuneJob", "`oci` must not", {"output": {"publish": [{**PUBLISH_S3, "oci": {"reference": "a/b:c"}}]}}, {}),
    (
        "FineTuneJob",
        "`huggingFace` must not",
        {"output": {"publish": [{**PUBLISH_S3, "huggingFace": {"repo": "a/b"}}]}},
        {},
    ),
    (
        "FineTuneJob",
        "`s3` must not",
        {"output": {"publish": [{**PUBLISH_S3, "type": "OCI", "oci": {"reference": "a/b:c"}}]}},
        {"output": {"publish": [PUBLISH_S3]}},
    ),
    (
        "FineTuneJob",
        "multiple of `gpusPerPod`",
        {"resources": {"gpus": 9, "gpusPerPod": 8}},
        {"resources": {"gpus": 16, "gpusPerPod": 8}},
    ),
    (
        "FineTuneJob",
        "MLflow has no server",
        {"tracking": [{"type": "MLflow"}]},
        {"tracking": [{"type": "MLflow", "endpoint": "https://mlflow.example"}, {"type": "WandB"}]},
    ),
    (
        "FineTuneJob",
        "`type` is 'TensorBoard'",
        {"tracking": [{"type": "TensorBoard", "secretRef": {"name": "key"}}]},
        {"tracking": [{"type": "TensorBoard", "project": "otters"}]},
    ),
    (
        "FineTuneJob",
        "`value` must not",
        {"placement": {"type": "Local", "local": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}}},
        {"placement": {"type": "Local", "local": {"tolerations": [{"key": "a", "value": "b"}]}}},
    ),
    *(
        (
            "FineTuneJob",
            f"`{member}` must be set",
            {"placement": {"type": kind}},
            {"placement": {"type": kind, member: value}},
        )
        for kind, member, value in (
            ("Cluster", "cluster", {"name": "c"}),
            ("Selector", "selector", {"matchLabels": {"team": "a"}}),
            ("Template", "template", TEMPLATE),
        )
    ),
    *(
        ("FineTuneJob", f"`{member}` must not", {"placement": {"type": "Local", member: value}}, {"placement": LOCAL})
        for member, value in (
            ("cluster", {"name": "c"}),
            ("selector", {"matchLabels": {"team": "a"}}),
            ("template", TEMPLATE),
        )
    ),
    ("FineTuneJob", "`local` must not", {"placement": {"type": "Cluster", "cluster": {"name": "c"}, "local": {}}}, {}),
    (
        "CatalogModel",
        "at most `maxBatchSizeSFT`",
        {"limits": {"minBatchSize": 8, "maxBatchSizeSFT": 4}},
        {"limits": {"minBatchSize": 8, "maxBatchSizeSFT": 8}},
    ),
    (
        "CatalogModel",
        "at most `maxBatchSizeDPO`",
        {"limits": {"minBatchSize": 8, "maxBatchSizeDPO": 4}},
        {"limits": {"minBatchSize": 8, "maxBatchSizeDPO": 8}},
    ),
]


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
    reserved = good("GPUCluster", billing=RESERVED)
    assert "`type` may not be changed" in " ".join(api_server.problems(good("GPUCluster"), reserved))
    longer = good("GPUCluster", billing={**RESERVED, "durationDays": 4})
    assert "`durationDays` may not be changed" in " ".join(api_server.problems(longer, reserved))
