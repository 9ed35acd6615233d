"""The images: linted, unprivileged, offline, and saying truly what is in them. No engine builds them here."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILES = ("operator/Dockerfile", "trainer/Dockerfile")
LOCK = (ROOT / "requirements/trainer.lock").read_text()


def stages(path):
    """The instructions of each stage, by its name, with continued lines joined; a stage has those of its parent too."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / path).read_text())
    found, now = {}, ""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            now = name or "last"
            found[now] = list(found.get(base, []))
        found[now].append((word, rest))
    return found


def said(stage, word):
    return " ".join(rest for instruction, rest in stage if instruction == word)


def locked(package):
    return re.search(rf"^{re.escape(package)}==(\S+)", LOCK, re.MULTILINE)[1]


@pytest.mark.parametrize("path", DOCKERFILES)
def test_the_lint_has_nothing_to_say(path):
    hadolint = Path(sys.executable).with_name("hadolint")
    linted = subprocess.run([hadolint, "--no-color", ROOT / path], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES)
def test_packages_come_from_hashed_locks_in_the_first_stage_only(path):
    first, *others = stages(path).values()
    runs = [rest for word, rest in first if word == "RUN"]
    installs = [found for run in runs for found in re.findall(r"\bpip (?:install|wheel) ([^&]+)", run)]
    assert len(installs) == 4
    for options in installs:
        from_a_lock, from_the_tree = (
            "--require-hashes" in options,
            {"--no-index", "--no-build-isolation"} & {*options.split()},
        )
        assert from_a_lock or from_the_tree, options
        assert "--no-deps" in options
    assert all(said(stage, "RUN") == "" for stage in others)


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_both_targets_run_as_nobody_offline_and_without_telemetry(target):
    stage = stages("trainer/Dockerfile")[target]
    assert said(stage, "USER") == "65532:65532"
    environment = said(stage, "ENV")
    for setting in ("HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1", "PIP_NO_INDEX=1"):
        assert setting in environment
    assert said(stage, "ENTRYPOINT") == '["tunesmith-trainer"]'


def test_the_default_target_is_for_gpus_and_names_the_locked_cuda():
    *_, (name, stage) = stages("trainer/Dockerfile").items()
    assert name == "gpu"
    cuda = ".".join(locked("cuda-toolkit").split(".")[:2])
    assert f'dev.tunesmith.cuda="{cuda}"' in said(stage, "LABEL")
    assert 'dev.tunesmith.driver=">=580"' in said(stage, "LABEL")  # NVIDIA's least driver for every CUDA 13


def test_the_bill_of_materials_lists_the_whole_lock_with_its_hashes():
    bill = json.loads((ROOT / "trainer/sbom.cdx.json").read_text())
    listed = {(one["name"], one["version"]) for one in bill["components"]}
    assert listed == set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", LOCK, re.MULTILINE | re.IGNORECASE))
    hashes = set(re.findall(r"sha256:([0-9a-f]{64})", LOCK))
    assert hashes <= set(re.findall(r"[0-9a-f]{64}", json.dumps(bill)))


def test_the_lock_names_no_host():
    assert "://" not in LOCK
