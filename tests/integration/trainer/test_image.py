"""What the training image would run: an environment from its lock alone, unprivileged, that it cannot write to."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith_trainer.contract import Result
from tunesmith_trainer.testing import conversations, tiny_configuration, tiny_model, write_rows

ROOT = Path(__file__).parents[3]
NOBODY = 65532


def interpreter(directory):
    """A Python that anybody may run: this one, or a copy of it where it lies in somebody's own home."""
    here = Path(sys.base_prefix)
    if all(part.stat().st_mode & 0o001 for part in (here, *here.parents)):
        return here / "bin/python3"
    left_out = shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a")
    return shutil.copytree(here, directory / "python", symlinks=True, ignore=left_out) / "bin/python3"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The environment at a place of its own, as the first stage of the Dockerfile makes it."""
    directory = tmp_path_factory.mktemp("image")
    place = directory / "opt"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", interpreter(directory), place], check=True)
    # Named outright: by itself uv takes the environment of the Python that runs it, which is the tests' own.
    into = ["--quiet", "--python", place / "bin/python"]
    lock = ROOT / "requirements/trainer.lock"
    subprocess.run([*uv, "pip", "sync", *into, "--require-hashes", lock], check=True)
    source = shutil.copytree(ROOT / "trainer", place.with_name("source"))
    subprocess.run([*uv, "pip", "install", *into, "--no-deps", source], check=True)
    for path in (place.parent, *place.parent.parents):
        if path == Path("/tmp"):
            break
        path.chmod(0o755)
    yield place
    shutil.rmtree(directory)


def run(image, scratch, *arguments, **environment):
    own = {"PATH": f"{image}/bin:/usr/bin:/bin", "HOME": str(scratch), "TMPDIR": str(scratch)}
    # A copied interpreter looks for its library where it came from.
    own["LD_LIBRARY_PATH"] = str(image.with_name("python") / "lib")
    return subprocess.run(
        [image / "bin/tunesmith-trainer", *arguments],
        cwd=scratch,
        env=own | environment,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


def written_by_others(image):
    return [path for path in image.rglob("*") if path.lstat().st_uid == NOBODY]


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_the_lock_alone_trains_as_nobody_and_leaves_its_environment_as_it_was(image, tmp_path):
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    storage = tmp_path / "storage"
    tiny_model(storage / "model")
    write_rows(storage / "data" / "train.jsonl", conversations(16))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    document = tiny_configuration(storage, tracking=[{"type": "TensorBoard"}])
    (storage / "config.json").write_text(json.dumps(document))
    for path in (scratch, storage, *storage.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    helped = run(image, scratch, "--help")
    assert helped.returncode == 0, helped.stderr
    assert "usage: tunesmith-trainer" in helped.stdout
    trained = run(image, scratch, "launch", "--config", str(storage / "config.json"), OMP_NUM_THREADS="1")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    result = Result.model_validate_json((storage / "output/job-1-a1/result.json").read_bytes())
    assert result.steps == result.total_steps
    assert list((storage / "jobs/job-1/tensorboard").glob("events.*"))
    assert written_by_others(image) == []
