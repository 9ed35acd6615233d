"""The official command line, as it is installed, does its work against the simulator."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

HOUR = 3600
TOGETHER = Path(sys.executable).with_name("together")
NEW_CLUSTER = [
    *("--name", "training", "--num-gpus", "16", "--region", "us-central-8", "--billing-type", "ON_DEMAND"),
    *("--nvidia-version-id", "nvidia-570-22", "--gpu-type", "H100_SXM"),
]


@pytest.fixture
def together(simulator, tmp_path):
    """Run a ``clusters`` command with a key; its standard output. Fails with what it said when it does."""

    async def run(*arguments: str, fails: bool = False) -> str:
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "COLUMNS": "200",
            "TOGETHER_API_KEY": simulator.key,
            "TOGETHER_BASE_URL": simulator.url,
            "TOGETHER_TELEMETRY_DISABLED": "1",
        }
        process = await asyncio.create_subprocess_exec(
            str(TOGETHER),
            "clusters",
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        told = out.decode() + error.decode()
        assert (process.returncode != 0) == fails, told
        return told if fails else out.decode()

    return run


@pytest.fixture
def as_json(together):
    """Run a command in its JSON mode, and read what it answers."""

    async def run(*arguments: str) -> Any:
        return json.loads(await together(*arguments, "--json"))

    return run


async def test_a_cluster_from_create_to_delete(together, as_json, clock, tmp_path):
    made = await as_json("create", *NEW_CLUSTER, "--headlamp-addon")
    cluster_id = made["cluster_id"]
    assert (made["status"], made["project_id"]) == ("WaitingForControlPlaneNodes", "proj-acme")
    assert "No kubeconfig found" in await together("get-credentials", cluster_id)
    clock.pass_seconds(HOUR)

    assert [each["status"] for each in (await as_json("list"))["clusters"]] == ["Ready"]
    assert "training" in await together("list")
    assert (await as_json("retrieve", cluster_id))["gpu_worker_nodes"][0]["status"] == "Running"
    assert (await as_json("get", cluster_id))["add_ons"][0]["name"] == "headlamp"
    assert (await as_json("update", cluster_id, "--num-gpus", "24"))["num_gpus"] == 24
    assert (await as_json("update", cluster_id, "--no-headlamp"))["add_ons"] == []

    file = tmp_path / "kubeconfig"
    await together("get-credentials", cluster_id, "--file", str(file), "--set-default-context")
    kube_config = yaml.safe_load(file.read_text())
    assert kube_config["current-context"] == kube_config["contexts"][0]["name"] == "training"
    assert file.stat().st_mode & 0o777 == 0o600

    assert (await as_json("delete", cluster_id)) == {"cluster_id": cluster_id}
    clock.pass_seconds(HOUR)
    assert (await as_json("list"))["clusters"] == []


@pytest.mark.prove
async def test_a_volume_from_create_to_delete(as_json, clock):
    made = await as_json("storage", "create", "--region", "us-central-8", "--size-tib", "1", "--volume-name", "data")
    volume_id = made["volume_id"]
    clock.pass_seconds(HOUR)
    assert [each["status"] for each in (await as_json("storage", "list"))["volumes"]] == ["available"]
    assert (await as_json("storage", "update", volume_id, "--size-tib", "2"))["size_tib"] == 2
    assert (await as_json("storage", "retrieve", volume_id))["size_tib"] == 2
    assert await as_json("storage", "delete", volume_id) == {"success": True}


@pytest.mark.prove
async def test_repairs_are_asked_for_found_and_cancelled(together, as_json, client, clock, an_order):
    cluster = await client.clusters.create(**an_order)
    clock.pass_seconds(HOUR)
    instance_id = (await client.clusters.retrieve(cluster.cluster_id)).gpu_worker_nodes[0].instance_id
    made = await as_json("remediations", "create", cluster.cluster_id, instance_id, "--mode", "REBOOT_VM")
    assert made["state"] == "PENDING"
    assert (await as_json("remediations", "retrieve", made["id"]))["mode"] == "REMEDIATION_MODE_REBOOT_VM"
    assert made["id"] in await together("remediations", "list", cluster.cluster_id, "--state", "PENDING")
    assert (await as_json("remediations", "cancel", made["id"]))["state"] == "CANCELLED"
    assert (await as_json("remediations", "list", cluster.cluster_id, "--state", "RUNNING"))["remediations"] == []
    assert "in state CANCELLED" in await together("remediations", "approve", made["id"], fails=True)


@pytest.mark.prove
async def test_regions_are_listed_and_refusals_are_told_in_words(together, as_json):
    assert {region["name"] for region in (await as_json("list-regions"))["regions"]} == {
        "us-central-8",
        "us-central-4",
    }
    assert "'ghost' not found" in await together("retrieve", "ghost", fails=True)
    too_many = [word.replace("16", "2048") for word in NEW_CLUSTER]
    assert "Out of stock" in await together("create", *too_many, "--json", fails=True)
