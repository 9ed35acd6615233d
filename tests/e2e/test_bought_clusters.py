"""Two bought clusters at once: what happens in the one is no matter of the other."""

import base64
import json
import os
import signal

import pytest
from tests.e2e.manifests import fine_tune_job, gpu_cluster, shared_volume, training
from tests.e2e.world import put_tiny_model

from tunesmith_demo.reader import Reader
from tunesmith_devcluster import processes

JOBS = "/api/v1/namespaces/tunesmith-jobs"


@pytest.fixture
def frozen(world):
    """Freezes the API servers of bought clusters: they accept connections and never answer, the worst of silences."""
    stopped = []

    def freeze(cluster_id):
        directory = world.stage.directory / "provider" / "clusters" / cluster_id
        server = processes.recorded(directory / "apiserver.pid")
        os.kill(server.pid, signal.SIGSTOP)
        stopped.append(server)

    yield freeze
    for server in stopped:
        if server.alive:
            os.kill(server.pid, signal.SIGCONT)


def on_cluster(name, **spec):
    """A job on a bought cluster, with its volume."""
    return fine_tune_job(
        f"on-{name}",
        placement={"type": "Cluster", "cluster": {"name": name}},
        storage={"type": "SharedVolume", "sharedVolume": {"name": f"of-{name}"}},
        **spec,
    )


def pull_secret(name):
    registry = {"auths": {"images.example": {"auth": base64.b64encode(b"user:word").decode()}}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(registry)},
    }


def inside(namespace, cluster):
    """A reader of the bought cluster, by the kubeconfig that the operator has put into its Secret."""
    stored = namespace.get("Secret", f"{cluster}-kubeconfig")["data"]["value"]
    return Reader(base64.b64decode(stored).decode())


def copied_pull_secrets(reader):
    return [it for it in reader.items(f"{JOBS}/secrets") if it["type"] == "kubernetes.io/dockerconfigjson"]


def test_a_cluster_that_is_silent_holds_up_neither_another_nor_its_own_end(world, namespace, frozen):
    for name in ("silent", "sound"):
        namespace.apply(shared_volume(f"of-{name}"), gpu_cluster(name, volumeRef={"name": f"of-{name}"}))
    namespace.with_rows()
    namespace.apply(pull_secret("pull"))
    for name in ("silent", "sound"):
        namespace.until_condition("GPUCluster", name, "Ready")
        for bought in (name, f"of-{name}"):
            assert namespace.times_told("Bought", bought) == 1
        volume_id = namespace.status("SharedVolume", f"of-{name}")["volumeID"]
        put_tiny_model(world.tiny_model, world.stage.directory / "provider" / "volumes" / volume_id)
    namespace.apply(on_cluster("silent", training=training(epochs=1000)))
    namespace.until("FineTuneJob", "on-silent", lambda it: it["status"].get("progress"), "it should train")
    frozen(namespace.status("GPUCluster", "silent")["clusterID"])

    namespace.apply(on_cluster("sound", imagePullSecretRefs=[{"name": "pull"}]))
    with inside(namespace, "sound") as sound:
        world.until(lambda: copied_pull_secrets(sound), lambda: "the pull secret should be copied to the cluster")
        namespace.until_succeeded("on-sound")
        namespace.delete("FineTuneJob", "on-sound")
        world.until(lambda: not copied_pull_secrets(sound), lambda: "the copy should go with the job")
    namespace.until_condition("GPUCluster", "silent", "Ready", "False", reason="ClusterUnreachable")

    for kind in ("FineTuneJob", "GPUCluster", "SharedVolume"):
        names = {"FineTuneJob": ["on-silent"], "GPUCluster": ["silent", "sound"]}.get(kind, ["of-silent", "of-sound"])
        world.stage.kubectl("delete", kind, *names, "--namespace", namespace.name, "--wait=false")
    for kind, name in (("FineTuneJob", "on-silent"), ("GPUCluster", "silent"), ("SharedVolume", "of-silent")):
        namespace.until_gone(kind, name)
    assert [it for it in world.clusters if namespace.name in it["cluster_name"]] == []


@pytest.mark.prove
def test_the_namespace_of_a_job_with_its_own_cluster_can_be_deleted_in_the_middle(world, namespace):
    template = {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1, "volumeRef": {"name": "volume"}}
    namespace.apply(shared_volume(bindingMode="Immediate"))
    namespace.with_rows()
    namespace.until_condition("SharedVolume", "volume", "Ready")
    volume_id = namespace.status("SharedVolume", "volume")["volumeID"]
    put_tiny_model(world.tiny_model, world.stage.directory / "provider" / "volumes" / volume_id)
    namespace.apply(
        fine_tune_job(
            placement={"type": "Template", "template": template},
            storage={"type": "SharedVolume", "sharedVolume": {"name": "volume"}},
            training=training(epochs=1000),
        )
    )
    namespace.until("FineTuneJob", "job", lambda it: it["status"].get("progress"), "it should train")
    cluster = namespace.status("FineTuneJob", "job")["clusterName"]
    world.stage.kubectl("delete", "namespace", namespace.name, "--wait=false")
    for kind, name in (("FineTuneJob", "job"), ("GPUCluster", cluster), ("SharedVolume", "volume")):
        namespace.until_gone(kind, name)
    assert [it for it in world.clusters if namespace.name in it["cluster_name"]] == []
    assert [it for it in world.volumes if namespace.name in it["volume_name"]] == []
