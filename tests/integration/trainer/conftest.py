"""Real training of a tiny model: processes that can be killed, stopped and read like pods."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the children import `forked` by name

import forked

from tunesmith_trainer.contract import Result, TerminationMessage
from tunesmith_trainer.testing import conversations, tiny_configuration, tiny_model, write_rows

GENEROUS_SECONDS = 240
DROPPED = {"messages": [{"role": "user", "content": "otter " * 100}, {"role": "assistant", "content": "Yes."}]}


@dataclass
class Pod:
    """A started trainer: its process, what it said, how it ended."""

    process: object
    output: Path
    termination_log: Path

    def said(self):
        """The JSON lines so far."""
        text = self.output.read_text() if self.output.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith('{"tunesmith"')]

    def progress(self):
        """The progress lines so far; heartbeats come between them, and after the last, as the clock has it."""
        return [line for line in self.said() if line["tunesmith"] == "progress/v1"]

    def wait_for_checkpoint(self, step):
        """Returns once a checkpoint of that step or later is complete."""
        deadline = time.monotonic() + GENEROUS_SECONDS
        while time.monotonic() < deadline:
            if any(line.get("checkpoint", {}).get("step", 0) >= step for line in self.said()):
                return
            assert self.running(), f"ended too early:\n{self.output.read_text()}"
            time.sleep(0.002)
        raise AssertionError(f"no checkpoint of step {step}:\n{self.output.read_text()}")

    def running(self):
        return self.process.poll() is None if hasattr(self.process, "poll") else self.process.is_alive()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def ended(self):
        """Waits for the end; returns the exit code, negative for a signal."""
        if hasattr(self.process, "poll"):
            return self.process.wait(GENEROUS_SECONDS)
        self.process.join(GENEROUS_SECONDS)
        assert self.process.exitcode is not None, self.output.read_text()
        return self.process.exitcode

    def message(self):
        return TerminationMessage.model_validate_json(self.termination_log.read_bytes())


class Workshop:
    """A storage with the tiny model and its rows, and the means to train on it."""

    def __init__(self, root):
        self.root = root
        self._count = 0
        self._pods = []
        tiny_model(root / "model")
        write_rows(root / "data" / "train.jsonl", [*conversations(64), DROPPED])
        write_rows(root / "data" / "held-out.jsonl", conversations(8))
        self._server = multiprocessing.get_context("forkserver")
        self._server.set_forkserver_preload(["tunesmith_trainer.training"])

    def configuration(self, uid, attempt=1, **changes):
        document = tiny_configuration(
            self.root,
            uid=uid,
            attempt=attempt,
            data={
                "training": {"path": f"{self.root}/data/train.jsonl"},
                "validation": {"path": f"{self.root}/data/held-out.jsonl"},
            },
            training={"epochs": 3, "learningRate": 0.005},
        )
        for key, value in changes.items():
            document[key] = {**document.get(key, {}), **value} if isinstance(value, dict) else value
        return document

    def _place(self, configuration):
        self._count += 1
        folder = self.root / "pods" / str(self._count)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(configuration))
        environment = {"TUNESMITH_TERMINATION_LOG": str(folder / "termination-log"), "OMP_NUM_THREADS": "1"}
        return folder, environment

    def train(self, configuration, strike=None, *, target=forked.run, **environment):
        """Starts `tunesmith-trainer train`, alone; `strike` kills it where `forked.run` says, `target` may spoil it."""
        return self._started(("train", "--config"), configuration, strike, target, environment)

    def prepare(self, configuration, strike=None):
        """Starts `tunesmith-trainer prepare`; `strike` kills it likewise."""
        return self._started(("prepare",), configuration, strike, forked.run, {})

    def _started(self, command, configuration, strike, target, environment):
        folder, own = self._place(configuration)
        arguments = [*command, str(folder / "config.json")]
        blow = () if strike is None else (strike,)
        process = self._server.Process(
            target=target, args=(arguments, own | environment, str(folder / "output"), *blow)
        )
        process.start()
        return self._kept(Pod(process, folder / "output", folder / "termination-log"))

    def group(self, configuration, strikes=None, *, target=forked.run, **environment):
        """Starts every process of a world, as torchrun would; `strikes` by rank."""
        world = configuration["world"]
        per_pod = world["processesPerPod"]
        size = world["pods"] * per_pod
        place = {
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(per_pod),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.free_port()),
            **environment,
        }
        return [
            self.train(
                configuration,
                (strikes or {}).get(rank),
                target=target,
                RANK=str(rank),
                LOCAL_RANK=str(rank % per_pod),
                **place,
            )
            for rank in range(size)
        ]

    def launch(self, configuration, **environment):
        """Starts `tunesmith-trainer launch` as a pod does."""
        folder, own = self._place(configuration)
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tunesmith_trainer", "launch", "--config", str(folder / "config.json")],
                env={**os.environ, **own, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self._kept(Pod(process, folder / "output", folder / "termination-log"))

    def _kept(self, pod):
        self._pods.append(pod)
        return pod

    @staticmethod
    def free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def output(self, uid, attempt=1):
        return self.root / "output" / f"{uid}-a{attempt}"

    def result(self, uid, attempt=1):
        return Result.model_validate_json((self.output(uid, attempt) / "result.json").read_bytes())

    def adapter(self, uid, attempt=1):
        return (self.output(uid, attempt) / "adapter_model.safetensors").read_bytes()

    def close(self):
        for pod in self._pods:
            if pod.running():
                pod.signal(signal.SIGKILL)
                pod.ended()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    made = Workshop(tmp_path_factory.mktemp("storage"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def undisturbed(workshop):
    """The run that nothing happened to; faults are compared with it."""
    pod = workshop.train(workshop.configuration("undisturbed", heartbeatSeconds=0.05))
    assert pod.ended() == 0, pod.output.read_text()
    return pod
