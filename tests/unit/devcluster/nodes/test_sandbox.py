"""A container's private root, really made: with this user's own rights, and in a user namespace."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import tunesmith_devcluster
from tunesmith_devcluster.nodes.sandbox import Mount
from tunesmith_devcluster.nodes.shim import ShimOrder

PACKAGES = str(Path(tunesmith_devcluster.__file__).parents[1])
SCRIPT = "cat /mnt/shared/deep/x; hostname; echo own > /mnt/shared/deep/y; test ! -w /etc/tunesmith/x; echo $$"


def run_in_sandbox(place: Path, script: str, *, user_namespace: bool = False) -> tuple[list[dict], str]:
    for name in ("root", "volume"):
        (place / name).mkdir()
    (place / "volume/x").write_text("given\n")
    (place / "log").touch()
    mounts = [Mount(str(place / "volume"), "/mnt/shared/deep"), Mount(str(place / "volume"), "/etc/tunesmith", True)]
    environment = {"PATH": os.environ["PATH"]}
    order = ShimOrder(
        ["sh", "-c", script],
        environment,
        "/",
        "train-0",
        str(place / "root"),
        str(place / "log"),
        user_namespace or os.geteuid() != 0,
        mounts,
    )
    ended = subprocess.run(
        [sys.executable, "-S", "-m", "tunesmith_devcluster.nodes.shim"],
        env={"PYTHONPATH": PACKAGES, "PYTHONDONTWRITEBYTECODE": "1"},
        input=json.dumps(asdict(order)) + "\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    log = "".join(line.split(" ", 3)[3] for line in (place / "log").read_text().splitlines(keepends=True))
    return [json.loads(line) for line in ended.stdout.splitlines()], log


def test_mount_points_that_the_host_lacks_exist_inside_only(tmp_path):
    told, log = run_in_sandbox(tmp_path, SCRIPT)
    assert told[-1] == {"exit_code": 0, "signal": 0}
    assert log == "given\ntrain-0\n1\n"
    assert (tmp_path / "volume/y").read_text() == "own\n"
    assert not Path("/mnt/shared/deep").exists()
    assert not Path("/etc/tunesmith").exists()
    assert list((tmp_path / "root").iterdir()) == []


def test_a_user_namespace_does_the_same_without_root(tmp_path):
    told, log = run_in_sandbox(tmp_path, SCRIPT, user_namespace=True)
    assert told[-1] == {"exit_code": 0, "signal": 0}
    assert log == "given\ntrain-0\n1\n"


def test_the_end_of_a_program_is_the_end_of_its_children(tmp_path):
    told, log = run_in_sandbox(tmp_path, "sleep 1000 & echo left; exit 5")
    assert told[-1]["exit_code"] == 5
    assert log == "left\n"
