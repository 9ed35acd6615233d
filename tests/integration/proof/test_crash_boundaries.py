"""SIGKILL at each boundary between two outside effects of create, scale, release and delete.

A first life records the boundaries; then one life for each of them, in which the operator dies there. Whatever the
moment: nothing is bought twice, and in the end nothing is left at the provider but what `Retain` keeps.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.integration.proof.stage import (
    ROOT,
    Installed,
    ManagementCluster,
    OperatorProcess,
    Provider,
    places_with_a_key,
    until,
)
from tests.integration.proof.story import NAMESPACE, Boundary, Life, Stage, World

KEY = "simulated-key-acme"
AT_ONCE = 24
DURATIONS = {
    "control_plane_node": {"scheduling_seconds": 0.1, "booting_seconds": 0.2, "bootstrapping_seconds": 0.1},
    "gpu_node": {"scheduling_seconds": 0.1, "booting_seconds": 0.3, "bootstrapping_seconds": 0.1},
    "subnet_seconds": 0.1,
    "shared_volume_seconds": 0.1,
    "drivers_seconds": 0.1,
    "acceptance_tests_seconds": 0.1,
    "deleting_seconds": 0.5,
    "node_leaving_seconds": 0.5,
    "volume_scheduled_seconds": 0.1,
    "volume_provisioning_seconds": 0.3,
    "volume_deleting_seconds": 0.3,
}
POLICIES = ("Delete", "Retain")
STAGES = ("create", "scale up", "scale down", "release", "reacquire", "delete")


@pytest.fixture
def stage(management: ManagementCluster, tmp_path: Path) -> Iterator[Stage]:
    """A provider whose light clusters have an inside, and an operator that can be told where to die."""
    inside_directory, proof = tmp_path / "inside", tmp_path / "proof"
    inside_directory.mkdir()
    (proof / "deaths").mkdir(parents=True)
    inside = subprocess.Popen([sys.executable, "-m", "tests.integration.proof.inside", inside_directory], cwd=ROOT)
    try:
        until((inside_directory / "port").exists, "the inside of clusters should answer")
        with Provider(tmp_path / "provider", scenario=_scenario(tmp_path, inside_directory)) as provider:
            (inside_directory / "provider-url").write_text(provider.url)
            # Lives share a credential, whose requests are limited: an order may stand in that line for seconds.
            more = (("idle_warn_after_seconds", "86400"), ("create_window_seconds", "5"), ("settle_seconds", "10"))
            installed = Installed(management.cluster.kubeconfig, provider.url, tmp_path, KEY, more)
            extra = {"PROOF_DIRECTORY": str(proof), "PROOF_LOCAL_SERVER": management.cluster.server}
            program = ("-m", "tests.integration.proof.deadly_operator")
            management.make_namespace(NAMESPACE)
            management.forget_lease()
            with OperatorProcess(installed, program=program, variables=extra) as operator:
                yield Stage(World(management, provider), operator, proof)
                complaints = operator.complaints()
                assert not complaints, complaints[0]
                assert places_with_a_key(management, operator, KEY) == []
            management.api.delete(f"/api/v1/namespaces/{NAMESPACE}")
            until(lambda: not management.api.exists(f"/api/v1/namespaces/{NAMESPACE}"), "the namespace should go")
    finally:
        inside.kill()
        inside.wait()


def _scenario(directory: Path, inside: Path) -> str:
    drivers = [{"id": "nvidia-570-22", "cuda_version": "12.8", "nvidia_driver_version": "570"}]
    document = {
        "accounts": [{"name": "acme", "key": KEY, "projects": ["proj-acme"]}],
        "regions": [{"name": "us-central-8", "stock": {"H100_SXM": 100_000}, "drivers": drivers}],
        "durations": DURATIONS,
        "kubeconfig_server": f"https://127.0.0.1:{(inside / 'port').read_text()}",
        "kubeconfig_authority": (inside / "authority.pem").read_text(),
    }
    file = directory / "scenario.yaml"
    file.write_text(yaml.safe_dump(document))
    return str(file)


def lived(stage: Stage, name: str, policy: str, *boundaries: Boundary) -> Life:
    return Life(stage.world, stage.directory, name, policy=policy, boundaries=boundaries)


def recorded(stage: Stage) -> dict[str, list[Boundary]]:
    """The boundaries of a life without any death, by the deletion policy."""
    stage.live([lived(stage, f"recorded-{policy.lower()}", policy) for policy in POLICIES], at_once=2)
    assert stage.kills == 0
    return {policy: stage.boundaries(f"recorded-{policy.lower()}") for policy in POLICIES}


def die_at(stage: Stage, chosen: list[tuple[str, Boundary]]) -> None:
    """One life for each, and a death in each. Where the story turns its page while an effect is under way, the effect
    belongs to either page, and to another one in each life: who missed it lives again, and dies of it on any of them.
    """
    lives = [lived(stage, f"dies-{number}", policy, boundary) for number, (policy, boundary) in enumerate(chosen)]
    stage.live(lives, at_once=AT_ONCE)
    again = [
        lived(stage, f"{life.name}-again", policy, *_with_pages_beside(boundary))
        for life, (policy, boundary) in zip(lives, chosen, strict=True)
        if not life.died
    ]
    stage.live(again, at_once=AT_ONCE)
    missed = [str(life) for life in again if not life.died]
    assert not missed, f"{len(missed)} of {len(lives)} boundaries were not met again: {missed}"
    assert stage.kills == len(chosen)


def _with_pages_beside(wanted: Boundary) -> tuple[Boundary, ...]:
    """The same effect a page before, on its own and a page after."""
    page = STAGES.index(wanted.stage)
    return tuple(Boundary(each, wanted.effect, wanted.when) for each in STAGES[max(0, page - 1) : page + 2])


def test_killed_around_a_purchase_a_scaling_and_a_delete(stage: Stage) -> None:
    chosen = [
        ("Delete", Boundary("create", "provider: POST clusters", "after")),
        ("Delete", Boundary("scale down", "provider: PUT clusters", "after")),
        ("Delete", Boundary("delete", "provider: DELETE clusters", "after")),
    ]
    die_at(stage, chosen)


@pytest.mark.prove
def test_killed_at_every_boundary_of_a_whole_life(stage: Stage) -> None:
    found = recorded(stage)
    effects = {f"{each.stage}: {each.effect}" for boundaries in found.values() for each in boundaries}
    assert effects >= {
        "create: provider: POST volumes",
        "create: provider: POST clusters",
        "scale up: provider: PUT clusters",
        "scale down: provider: PUT clusters",
        "release: provider: DELETE clusters",
        "reacquire: provider: POST clusters",
        "delete: provider: DELETE clusters",
        "delete: provider: DELETE volumes",
    }
    chosen = [(policy, boundary) for policy in POLICIES for boundary in found[policy]]
    die_at(stage, chosen)
    print(f"{len(chosen)} boundaries, {stage.kills} kills")


def test_the_two_watched_doors_are_the_only_ones() -> None:
    """The boundaries are all there are, because nothing else in the operator sends a request."""
    doors = {"call_api(": {"kube/transport.py"}, "AsyncClient(": {"cloud/transport.py"}, "ClientSession(": set()}
    package = ROOT / "operator" / "tunesmith"
    for sign, expected in doors.items():
        found = {str(file.relative_to(package)) for file in package.rglob("*.py") if sign in file.read_text()}
        assert found == expected, sign
