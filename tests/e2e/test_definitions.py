"""The generated definitions on the real API server: strict, explained, refusing, and honest before anybody looked."""

import json
import re
from pathlib import Path

import pytest
import yaml
from tests.e2e.kstatus import IN_PROGRESS, kstatus
from tests.e2e.manifests import API_VERSION, fine_tune_job, gpu_cluster, shared_volume
from tests.e2e.recorder import KINDS

from tunesmith.catalog.loader import bundled
from tunesmith_demo.kubectl import KubectlError
from tunesmith_demo.reader import condition

EXAMPLES = Path(__file__).parents[2] / "examples"


def examples():
    """Every manifest of ours under examples/, by file."""
    for file in sorted(EXAMPLES.rglob("*.yaml")):
        for number, manifest in enumerate(yaml.safe_load_all(file.read_text())):
            if manifest and manifest["apiVersion"] == API_VERSION:
                yield pytest.param(manifest, id=f"{file.relative_to(EXAMPLES)}#{number}")


@pytest.mark.parametrize("manifest", list(examples()))
def test_an_example_applies_strictly_and_again_without_a_difference(world, namespace, manifest):
    text = json.dumps({**manifest, "metadata": {**manifest["metadata"], "annotations": PAUSED}})
    where = ("--namespace", namespace.name)
    kubectl = world.stage.kubectl
    try:
        kubectl("apply", *where, "--validate=strict", "-f", "-", stdin=text)
        assert "unchanged" in kubectl("apply", *where, "--validate=strict", "-f", "-", stdin=text)
        assert kubectl.run(("diff", *where, "-f", "-"), stdin=text).stdout == ""
    finally:
        kubectl("delete", *where, "--wait=false", "-f", "-", stdin=text)


PAUSED = {"tunesmith.dev/paused": "true"}


@pytest.mark.parametrize("kind", KINDS.values())
def test_kubectl_explains_every_field(world, kind):
    explained = world.stage.kubectl("explain", kind, "--recursive")
    assert "FIELDS:" in explained
    schema = json.loads(world.stage.kubectl("get", "crd", f"{kind}.tunesmith.dev", "-o", "json"))
    for version in schema["spec"]["versions"]:
        assert undescribed(version["schema"]["openAPIV3Schema"], kind) == []


def test_kubectl_explains_a_field_deep_inside(world):
    assert "DESCRIPTION:" in world.stage.kubectl("explain", "ftj.spec.method.dpo")


REFUSED = {
    "a region cannot be changed": (
        gpu_cluster(),
        {"spec": {"region": "us-central-4"}},
        "may not be changed",
    ),
    "a volume does not shrink": (
        shared_volume(sizeTiB=2),
        {"spec": {"sizeTiB": 1}},
        "sizeTiB",
    ),
    "a job's model cannot be changed": (
        fine_tune_job(),
        {"spec": {"model": {"path": "weights/other"}}},
        "may not be changed",
    ),
}


@pytest.mark.parametrize(("manifest", "change", "word"), REFUSED.values(), ids=REFUSED)
def test_a_change_that_cannot_be_made_is_refused_at_once(world, namespace, manifest, change, word):
    paused = {**manifest, "metadata": {**manifest["metadata"], "annotations": PAUSED}}
    namespace.apply(paused)
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    with pytest.raises(KubectlError, match=word):
        world.stage.kubectl(
            "patch", kind, name, "--namespace", namespace.name, "--type=merge", "-p", json.dumps(change)
        )


UNIONS = {
    "two members of a union": (
        fine_tune_job(model={"type": "Path", "path": "weights/tiny", "catalog": {"name": "tiny"}}),
        "`catalog` must not be set unless `type` is 'Catalog'",
    ),
    "a local job on a cluster's terms": (
        fine_tune_job(placement={"type": "Cluster"}),
        "`cluster` must be set when `type` is 'Cluster'",
    ),
    "GPUs that do not divide": (
        fine_tune_job(resources={"gpus": 9, "gpusPerPod": 8}),
        "`gpus` must be a multiple of `gpusPerPod`",
    ),
    "an unknown field": (gpu_cluster(colour="blue"), 'unknown field "spec.colour"'),
    "no nodes": (gpu_cluster(nodes=0), "spec.nodes in body should be greater than or equal to 1"),
}


@pytest.mark.parametrize(("manifest", "words"), UNIONS.values(), ids=UNIONS)
def test_a_contradiction_is_refused_when_it_is_written(world, namespace, manifest, words):
    with pytest.raises(KubectlError, match=re.escape(words)):
        world.stage.kubectl(
            "apply", "--namespace", namespace.name, "--validate=strict", "-f", "-", stdin=json.dumps(manifest)
        )


@pytest.mark.parametrize("manifest", [gpu_cluster(), shared_volume(), fine_tune_job()], ids=lambda each: each["kind"])
def test_what_no_operator_has_looked_at_is_in_progress(world, namespace, manifest):
    namespace.apply({**manifest, "metadata": {**manifest["metadata"], "annotations": PAUSED}})
    found = namespace.get(manifest["kind"], manifest["metadata"]["name"])
    assert found["status"] == {"observedGeneration": -1}
    assert kstatus(found) == IN_PROGRESS


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_kubectl_says_ready_and_age(world, namespace, kind):
    namespaced = {"GPUCluster": gpu_cluster, "SharedVolume": shared_volume, "FineTuneJob": fine_tune_job}
    if kind in namespaced:
        manifest = namespaced[kind]()
        namespace.apply({**manifest, "metadata": {**manifest["metadata"], "annotations": PAUSED}})
        header, *rows = world.stage.kubectl(
            "get", KINDS[kind], "--namespace", namespace.name, "-o", "wide"
        ).splitlines()
        assert len(rows) == 1
        assert len(re.split(r"\s{2,}", header)) >= 4
    else:
        header = world.stage.kubectl("get", KINDS[kind], "-o", "wide").splitlines()[0]
    assert {"NAME", "READY", "AGE"} <= set(header.split())


def test_every_row_of_the_catalogue_that_is_shipped_is_there_and_ready(world):
    shipped = {row.as_resource()["metadata"]["name"] for row in bundled()}
    assert len(shipped) >= 84

    def not_ready():
        ready = {it["metadata"]["name"] for it in world.items("CatalogModel") if is_ready(it)}
        return sorted(shipped - ready)

    def is_ready(row):
        return condition(row, "Ready").get("status") == "True"

    world.until(lambda: not not_ready(), lambda: f"these rows are missing or not Ready: {not_ready()}", 60)


def undescribed(schema, path):
    """Paths of fields without a description."""
    found = []
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        if not field.get("description") and inner.count(".") > 1:
            found.append(inner)
        found += undescribed(field, inner)
    return found + (undescribed(schema["items"], f"{path}[]") if "items" in schema else [])
