"""Builds the control plane's programs from the Go modules that are pinned in the tree."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tunesmith_devcluster import cache, go_toolchain
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.progress import Lines

MODULES = cache.TREE / "devcluster" / "go"
# Without debugging information the linker needs less memory and everything less time.
FLAGS = ("-trimpath", "-gcflags=all=-dwarf=false")
# What `go build -v` prints for a package; anything else is a complaint.
_PACKAGE = re.compile(r"^[a-z0-9][\w.~/-]*$", re.IGNORECASE)
COMPLAINT_LINES = 30


@dataclass(frozen=True)
class Module:
    """One pinned module and the programs that it makes: program name to Go package."""

    name: str
    programs: dict[str, str]
    version_package: str | None = None

    @property
    def directory(self) -> Path:
        """Where its go.mod and go.sum are."""
        return MODULES / self.name

    def linker_flags(self) -> str:
        """Small programs; and for Kubernetes' the version, which charts with `kubeVersion` ask the server for."""
        if self.version_package is None:
            return "-s -w"
        version = self.pinned("k8s.io/kubernetes")
        major, minor, _ = version.removeprefix("v").split(".", 2)
        settings = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        return " ".join(["-s -w", *(f"-X {self.version_package}.{name}={value}" for name, value in settings.items())])

    def pinned(self, module: str) -> str:
        """The version of a dependency that go.mod names."""
        found = re.search(rf"^\s*{re.escape(module)} (v\S+)", (self.directory / "go.mod").read_text(), re.MULTILINE)
        if found is None:
            raise DevclusterError(f"{self.directory / 'go.mod'} does not require {module}. Restore it from Git.")
        return found[1]


KUBERNETES = Module(
    "kubernetes",
    {
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    },
    version_package="k8s.io/component-base/version",
)
ETCD = Module("etcd", {"etcd": "go.etcd.io/etcd/server/v3"})
KWOK = Module("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"})


def cache_directory() -> Path:
    """Where what is built from the modules of this checkout is kept."""
    files = [module.directory / name for module in (KUBERNETES, ETCD, KWOK) for name in ("go.mod", "go.sum")]
    settings = [f"{name}={value}" for name, value in go_toolchain.SETTINGS.items()]
    linker_flags = [module.linker_flags() for module in (KUBERNETES, ETCD, KWOK)]
    return cache.root() / "bin" / cache.key_of(files, *FLAGS, *linker_flags, *settings)


def built(module: Module, progress: Lines) -> dict[str, Path]:
    """The module's programs by name, from the cache or built now."""
    names = list(module.programs)
    paths = cache.provide(
        cache_directory(),
        names,
        lambda draft: _build(module, draft, progress),
        on_wait=lambda: progress.say("another run is building the same programs; waiting for it"),
    )
    return dict(zip(names, paths, strict=True))


def _build(module: Module, directory: Path, progress: Lines) -> None:
    go = go_toolchain.find(progress.say)
    packages = list(module.programs.values())
    flags = [*FLAGS, f"-ldflags={module.linker_flags()}"]
    progress.say(f"getting the Go modules of {module.name}")
    total = _count_stale([go, "list", "-deps", *flags, "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *packages], module)
    # Go names several programs itself, and one as it is told.
    output = f"{directory}/" if len(packages) > 1 else str(directory / next(iter(module.programs)))
    with progress.count(f"building {', '.join(module.programs)}", total) as step:
        _compile([go, "build", "-v", *flags, "-o", output, *packages], module, step)


def _count_stale(command: list[str | Path], module: Module) -> int:
    """How many packages are not in Go's build cache; downloads the modules on the way."""
    answer = subprocess.run(
        command, cwd=module.directory, env=go_toolchain.environment(), capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        raise _failure(module, answer.stderr.splitlines())
    return len(answer.stdout.split())


def _compile(command: list[str | Path], module: Module, step: Callable[[], None]) -> None:
    """Run a verbose build; `step` is called for each package as Go comes to it."""
    complaints: list[str] = []
    with subprocess.Popen(
        command, cwd=module.directory, env=go_toolchain.environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr or ():
            if _PACKAGE.match(line):
                step()
            else:
                complaints.append(line.rstrip())
    if process.returncode != 0:
        raise _failure(module, complaints)


def _failure(module: Module, complaints: list[str]) -> DevclusterError:
    said = "\n".join(f"    {line}" for line in complaints[-COMPLAINT_LINES:])
    return DevclusterError(
        f"Building {', '.join(module.programs)} failed. Go said:\n{said}\n"
        "It needs the Go module proxy, about 4 GB of disk and 3 GB of memory. Programs of another origin are taken "
        "from the directory that KUBEBUILDER_ASSETS names."
    )
