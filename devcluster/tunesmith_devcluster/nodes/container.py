"""One run of one container: its shim, its process, its memory limit and its end."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import tunesmith_devcluster
from tunesmith_devcluster.nodes.shim import ShimOrder

_MEMORY_SAMPLE_SECONDS = 0.5
_SHIM_MODULE = "tunesmith_devcluster.nodes.shim"


class StartError(Exception):
    """The program could not be started (not found, not executable)."""


@dataclass(frozen=True)
class Exit:
    """How a run ended; `exit_code` is 128 + n after signal n."""

    exit_code: int
    signal: int = 0
    out_of_memory: bool = False


class ContainerProcess:
    """A started program. Make it with `start`."""

    def __init__(self, shim: asyncio.subprocess.Process, pid: int, memory_limit_bytes: int | None) -> None:
        self.pid = pid
        self._shim = shim
        self._over_memory = False
        self._ended = False
        self._watch = asyncio.create_task(self._watch_memory(memory_limit_bytes)) if memory_limit_bytes else None

    @classmethod
    async def start(cls, order: ShimOrder, memory_limit_bytes: int | None) -> "ContainerProcess":
        """Start a program in its sandbox; StartError when that fails."""
        package_root = str(Path(tunesmith_devcluster.__file__).parents[1])
        shim = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-m", _SHIM_MODULE,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": package_root, "PYTHONDONTWRITEBYTECODE": "1"}, start_new_session=True,
        )  # fmt: skip
        assert shim.stdin is not None
        assert shim.stdout is not None
        try:
            shim.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
            shim.stdin.close()
            answer = json.loads(await shim.stdout.readline() or b'{"error": "its shim died"}')
        except asyncio.CancelledError:
            shim.kill()
            raise
        if "error" in answer:
            await shim.wait()
            raise StartError(answer["error"])
        return cls(shim, int(answer["pid"]), memory_limit_bytes)

    async def wait(self) -> Exit:
        """Wait for the end of the program and of everything it started."""
        assert self._shim.stdout is not None
        line = await self._shim.stdout.readline()
        self._ended = True
        await self._shim.wait()
        if self._watch is not None:
            self._watch.cancel()
        if not line:
            return Exit(128 + signal.SIGKILL, signal.SIGKILL, self._over_memory)
        answer = json.loads(line)
        return Exit(answer["exit_code"], answer["signal"], self._over_memory)

    def signal(self, number: int) -> None:
        """Send a signal to the program; nothing happens when it has ended."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def execute(self, command: list[str], environment: dict[str, str], timeout_seconds: float) -> tuple[int, str]:
        """Run a command inside the container: exit code and what it said. A command that takes too long gives 124."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        process = await asyncio.create_subprocess_exec(
            "nsenter", f"--target={self.pid}", "--mount", "--uts", "--pid", "--root", "--wd", *user, "--", *command,
            env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(timeout_seconds):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return 124, f"took longer than {timeout_seconds:g} s"
        return process.returncode or 0, said.decode(errors="replace")[-2000:]

    async def _watch_memory(self, limit_bytes: int) -> None:
        """Without cgroups: look at the processes' own memory now and then, and kill as the kernel would."""
        while True:
            await asyncio.sleep(_MEMORY_SAMPLE_SECONDS)
            if own_memory_bytes(self.pid) > limit_bytes:
                self._over_memory = True
                self.signal(signal.SIGKILL)
                return


def own_memory_bytes(pid: int) -> int:
    """Anonymous and shared memory of a process and its descendants; mapped files do not count, they can be dropped."""
    return sum(_own_memory_bytes(one) for one in _tree(pid))


def _own_memory_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return sum(int(fields.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem")) * 1024


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = [
            int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
    except OSError:
        return
    for child in children:
        yield from _tree(child)
