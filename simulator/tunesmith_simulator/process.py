"""Starts the simulator as a process of its own and ends it again, for tests and demos that want a real boundary."""

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 60.0
END_SECONDS = 120.0


class SimulatorProcess:
    """``with SimulatorProcess(directory) as sim: ... sim.url``; its log is ``directory/simulator.log``.

    ``light=False`` puts real clusters behind it, with their state in ``directory/state``.
    """

    def __init__(
        self, directory: Path, *, scenario: str = "default", speed: float | None = None, light: bool = True
    ) -> None:
        self.directory = directory
        self.log = directory / "simulator.log"
        self._port_file = directory / "port"
        arguments = ["--scenario", scenario, "--state", str(directory / "state"), "--port-file", str(self._port_file)]
        arguments += ["--light"] if light else []
        arguments += ["--speed", str(speed)] if speed is not None else []
        self._command = [sys.executable, "-m", "tunesmith_simulator", "serve", *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers, without ``/v1``."""
        return f"http://127.0.0.1:{self._port_file.read_text()}"

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        if self._process is None:
            raise RuntimeError("The simulator is not running: call start() first.")
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until it answers. Raises RuntimeError with the end of its log when it does not."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._port_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._port_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"The simulator did not start. The end of its log:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """End it, with everything that it started."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
