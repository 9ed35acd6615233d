"""`up` gives a kubeconfig by the first way that is possible, and remembers which; `down` undoes exactly that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tunesmith_devcluster import binaries, kind, processes, tools
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.nodes.spec import NodeSpec
from tunesmith_devcluster.progress import Lines

RECORD = "up.json"


class Origin(StrEnum):
    """Where the cluster comes from."""

    GIVEN = "given"
    KIND = "kind"
    BINARIES = "binaries"


@dataclass(frozen=True)
class Choice:
    """Which way, and the reason as a sentence."""

    origin: Origin
    why: str


@dataclass(frozen=True)
class Up:
    """What is up: its origin, why that, and the kubeconfig to use it by."""

    origin: Origin
    why: str
    kubeconfig: str


def choose(
    given: Path | None,
    environment: Mapping[str, str],
    *,
    docker_answers: Callable[[], bool],
    find_program: Callable[[str], str | None],
) -> Choice:
    """The first way that is possible. Nothing is started."""
    if given is not None:
        return Choice(Origin.GIVEN, "--kubeconfig names it")
    if environment.get("KUBECONFIG"):
        return Choice(Origin.GIVEN, "KUBECONFIG names it")
    if not docker_answers():
        return Choice(Origin.BINARIES, "no kubeconfig was given and no Docker engine answers")
    if find_program("kind") is None:
        return Choice(Origin.BINARIES, "no kubeconfig was given; a Docker engine answers, but kind is not on PATH")
    return Choice(Origin.KIND, "no kubeconfig was given, a Docker engine answers, and kind is on PATH")


def without_our_own(environment: Mapping[str, str], directory: Path) -> Mapping[str, str]:
    """The environment, but a KUBECONFIG of an earlier cluster of this directory is nobody's choice.

    It is what `up` had told to export; the cluster that it spoke of has ended, or nobody would ask.
    """
    named = environment.get("KUBECONFIG")
    if not named or not Path(named).resolve().is_relative_to(directory.resolve()):
        return environment
    return {name: value for name, value in environment.items() if name != "KUBECONFIG"}


def up(directory: Path, *, given: Path | None, nodes: int, progress: Lines) -> Up:
    """Have a cluster up; if one is up already in this directory, that one, unless it and another were given."""
    before, environment = recorded(directory), without_our_own(os.environ, directory)
    is_given_anew = given is not None or bool(environment.get("KUBECONFIG"))
    if before is not None and is_alive(directory, before) and not (before.origin is Origin.GIVEN and is_given_anew):
        progress.say(f"up already ({before.origin}: {before.why})")
        return before
    choice = choose(given, environment, docker_answers=kind.docker_answers, find_program=shutil.which)
    progress.say(f"Kubernetes: {choice.origin}, because {choice.why}")
    if choice.origin is Origin.BINARIES:
        specs = [NodeSpec(f"gpu-{number}") for number in range(1, nodes + 1)]
        programs = binaries.ensure(progress)
        tools.ensure(progress)
        cluster = Cluster.create(directory, name="tunesmith", nodes=specs, say=progress.say, programs=programs)
        kubeconfig = cluster.kubeconfig
    else:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        kubeconfig = kind.create(directory, workers=nodes) if choice.origin is Origin.KIND else _given(given)
        _check(kubeconfig, progress)
    result = Up(choice.origin, choice.why, str(kubeconfig.resolve()))
    processes.write_atomically(directory / RECORD, json.dumps(asdict(result)))
    return result


def down(directory: Path) -> str:
    """End what `up` started here and say what was done. A given cluster is left alone."""
    known = recorded(directory)
    # An `up` that was killed half-way has left processes, or a cluster of kind, and no record.
    left = Origin.KIND if kind.is_left_in(directory) else Origin.BINARIES if Cluster.is_left_in(directory) else None
    origin = left if known is None else known.origin
    if origin is None:
        return f"nothing is up in {directory}"
    if origin is Origin.BINARIES:
        Cluster.end(directory)
    if origin is Origin.KIND:
        kind.delete(directory)
    (directory / RECORD).unlink(missing_ok=True)
    return "the given cluster is left as it is" if origin is Origin.GIVEN else "ended all that 'up' had started"


def recorded(directory: Path) -> Up | None:
    """What `up` last did here, or None after `down`."""
    try:
        fields = json.loads((directory / RECORD).read_text())
    except FileNotFoundError:
        return None
    return Up(Origin(fields["origin"]), fields["why"], fields["kubeconfig"])


def is_alive(directory: Path, known: Up) -> bool:
    """Whether what was brought up can still be there: its processes run, or somebody else looks after it."""
    return known.origin is not Origin.BINARIES or Cluster.runs_in(directory)


def _given(kubeconfig: Path | None) -> Path:
    path = kubeconfig or Path(os.environ["KUBECONFIG"].split(os.pathsep)[0])
    if not path.is_file():
        raise DevclusterError(f"The given kubeconfig {path} is not there. Name another, or unset KUBECONFIG.")
    return path


def _check(kubeconfig: Path, progress: Lines) -> None:
    """A cluster that somebody else runs must at least answer."""
    kubectl = tools.ensure(progress).kubectl
    command = [str(kubectl), f"--kubeconfig={kubeconfig}", "get", "--raw=/readyz", "--request-timeout=20s"]
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if answer.returncode != 0:
        raise DevclusterError(f"The cluster of {kubeconfig} does not answer; kubectl said: {answer.stderr.strip()}")
