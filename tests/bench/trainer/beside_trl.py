"""How fast training is beside plain TRL with the same settings on the same rows, and what its safety costs.

`python tests/bench/trainer/beside_trl.py [--quick]`: on the CPU, a tiny model and the real one of 135 M parameters,
ours and plain in turn, each run in a process of its own; then ours with Kubeflow's receiver off, answering, and hung.
`--gpu`: an 8 B shape of random weights, bf16, packed rows of 4096 tokens, beside plain TRL, and the predicted beside
the measured peak of memory for five shapes. Exits 1 when a ratio is below the target.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from rich.console import Console
from rich.table import Table
from tests.bench.trainer import one_run, shapes
from tests.bench.trainer.one_run import Measured

TARGET_RATIO = 0.97
GIB = 1 << 30
# One thread computes: the threads that save and watch have processors of their own, as they have beside a GPU.
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunesmith" / "models"


@dataclass(frozen=True)
class Case:
    """One model with its settings; both loops get the same.

    Attributes:
        rows: conversations in the dataset.
        training: what the configuration's `training` says beyond the defaults of `configuration_of`.
        saves: checkpoints, spread evenly.
    """

    name: str
    model: Path
    rows: int
    training: dict[str, Any]
    saves: int = 2
    gpus: int = 0


def configuration_of(case: Case, root: Path) -> dict[str, Any]:
    """The trainer's configuration of a case, on a storage of its own, with every default written out."""
    from tunesmith_trainer.contract import Configuration
    from tunesmith_trainer.testing import merged, tiny_configuration

    document = merged(
        tiny_configuration(root),
        {
            "model": {"path": str(case.model)},
            "tuning": one_run.LORA,
            "training": {"learningRate": 0.0002, "maxGradNorm": 1.0, **case.training},
            "checkpoints": {"everySteps": None, "count": case.saves},
            "world": {"gpusPerPod": case.gpus},
        },
    )
    return Configuration.model_validate(document).model_dump(mode="json", by_alias=True)


class Bench:
    """Makes the storages and starts the runs, one at a time."""

    def __init__(self, console: Console, work: Path) -> None:
        self.console = console
        self.work = work
        self._count = 0

    def run(self, kind: str, case: Case, **environment: str) -> Measured:
        """One run of `ours` or `plain` in a fresh process; making the rows ready is not counted."""
        self._count += 1
        root = self.work / str(self._count)
        document = configuration_of(case, root)
        make_rows_ready(case, document)
        told = root / "configuration.json"
        told.write_text(json.dumps(document))
        done = subprocess.run(
            [sys.executable, one_run.__file__, kind, told],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, **QUIET, **environment},
        )
        shutil.rmtree(root)
        return Measured(**json.loads(done.stdout.splitlines()[-1]))

    def in_turn(self, rounds: int, runs: dict[str, Callable[[], Measured]]) -> dict[str, list[Measured]]:
        """Every run once a round, each round from the other end, so that what else the machine does falls on all."""
        found: dict[str, list[Measured]] = {name: [] for name in runs}
        for number in range(rounds):
            for name in sorted(runs, reverse=bool(number % 2)):
                self.console.print(f"  round {number + 1} of {rounds}: {name}", style="dim")
                found[name].append(runs[name]())
        return found


def make_rows_ready(case: Case, document: dict[str, Any]) -> None:
    """Writes the dataset and prepares it by our own stage, for ours and for plain TRL alike."""
    from tunesmith_trainer.contract import Configuration
    from tunesmith_trainer.job_rows import rows_of_job
    from tunesmith_trainer.model import load_tokenizer
    from tunesmith_trainer.testing import conversations, write_rows

    configuration = Configuration.model_validate(document)
    file = Path(configuration.data.training.path)
    write_rows(file, conversations(case.rows))
    rows_of_job(configuration, load_tokenizer(Path(configuration.model.path)))


def cpu_cases(work: Path, *, quick: bool) -> list[tuple[Case, int]]:
    """The two models with how many rounds each is worth."""
    from tunesmith_demo.weights import bring_smollm2
    from tunesmith_trainer.testing import tiny_model

    settings = {"microBatch": 4, "gradientAccumulation": 2, "globalBatch": 8, "contextLength": 128}
    tiny = Case("tiny", tiny_model(work / "tiny"), 256, settings | {"epochs": 4 if quick else 16})
    real = Case("SmolLM2-135M", bring_smollm2(work / "smollm2", CACHE), 32, settings | {"epochs": 1 if quick else 3})
    return [(tiny, 1 if quick else 5), (real, 1 if quick else 3)]


def median(runs: Sequence[Measured]) -> float:
    """Tokens per second in the middle of all rounds."""
    return statistics.median(run.tokens_per_second for run in runs)


def compare(bench: Bench, case: Case, rounds: int) -> float:
    """Ours beside plain; returns the ratio of the medians."""
    found = bench.in_turn(rounds, {kind: partial(bench.run, kind, case) for kind in ("ours", "plain")})
    table = Table(
        "", "tokens/s, median", "lowest to highest", "peak memory", "waited for saves", "last loss",
        title=f"{case.name}, {rounds} rounds",
    )  # fmt: skip
    for kind, runs in found.items():
        speeds = [run.tokens_per_second for run in runs]
        waited = f"{statistics.median(run.save_seconds for run in runs):.2f} s" if kind == "ours" else ""
        table.add_row(
            kind,
            f"{median(runs):,.0f}",
            f"{min(speeds):,.0f} to {max(speeds):,.0f}",
            f"{max(run.peak_bytes for run in runs) / GIB:.2f} GiB",
            waited,
            f"{runs[-1].loss:.4f}",
        )
    bench.console.print(table)
    ratio = median(found["ours"]) / median(found["plain"])
    bench.console.print(f"{case.name}: ours has {ratio:.3f} of plain TRL's tokens per second (target {TARGET_RATIO}).")
    return ratio


@contextmanager
def answering() -> Iterator[str]:
    """A receiver that takes every report."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/status"
    server.shutdown()
    server.server_close()


@contextmanager
def hung() -> Iterator[str]:
    """A receiver that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/status"


def receivers(bench: Bench, case: Case, rounds: int) -> None:
    """What Kubeflow's receiver costs, off, answering and hung."""
    with answering() as alive, hung() as silent:
        urls = {
            "off": {},
            "answers": {"KUBEFLOW_TRAINER_SERVER_URL": alive},
            "hangs": {"KUBEFLOW_TRAINER_SERVER_URL": silent},
        }
        found = bench.in_turn(rounds, {name: partial(bench.run, "ours", case, **more) for name, more in urls.items()})
    table = Table("receiver", "tokens/s, median", "of off", title=f"Kubeflow's receiver, {case.name}, {rounds} rounds")
    for name in urls:
        table.add_row(name, f"{median(found[name]):,.0f}", f"{median(found[name]) / median(found['off']):.3f}")
    bench.console.print(table)


def on_a_gpu(bench: Bench, rounds: int) -> float:
    """The 8 B shape beside plain TRL, then predicted and measured memory of five shapes; returns the ratio."""

    def case(name: str, model: Path, context: int, rows: int) -> Case:
        training = {
            "microBatch": rows, "gradientAccumulation": 1, "globalBatch": rows, "contextLength": context,
            "packing": True, "precision": "AMP", "activationCheckpointing": True, "maxSteps": 20,
        }  # fmt: skip
        return Case(name, model, shapes.conversations_for(context * rows * 20), training, saves=1, gpus=1)

    ratio = compare(bench, case("8 B shape", shapes.random_model(bench.work / "8b"), 4096, 1), rounds)
    table = Table("shape", "predicted", "measured", "measured / predicted", title="Peak memory of one GPU")
    for index, shape in enumerate(shapes.FIVE):
        model = shapes.random_model(bench.work / f"shape-{index}", **shape.changes)
        predicted = shapes.predicted_bytes(model, shape.context_length, shape.rows)
        measured = bench.run("ours", case(shape.name, model, shape.context_length, shape.rows)).peak_bytes
        table.add_row(
            shape.name, f"{predicted / GIB:.1f} GiB", f"{measured / GIB:.1f} GiB", f"{measured / predicted:.2f}"
        )
        shutil.rmtree(model)
    bench.console.print(table)
    return ratio


def conditions() -> str:
    """What the figures depend on."""
    import torch
    import trl

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    return (
        f"{platform.platform()}, {device}, Python {platform.python_version()}, torch {torch.__version__}, trl "
        f"{trl.__version__}, one thread each, load {load} before the first run"
    )


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a look")
    parser.add_argument("--gpu", action="store_true", help="the 8 B shape on the GPU of this machine")
    parser.add_argument("--rounds", type=int, metavar="N", help="in place of the usual number")
    parser.add_argument("--only-tiny", action="store_true", help="leave the model of 135 M parameters out")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; 1 when a ratio is below the target, 2 when there is no GPU to measure on."""
    import torch

    options, console = options_of(arguments), Console()
    console.print(f"[bold]Training beside plain TRL[/]\n{conditions()}")
    if options.gpu and not torch.cuda.is_available():
        console.print("There is no GPU here, so nothing is measured. Run it on a machine that has one.")
        return 2
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as work:
        bench = Bench(console, Path(work))
        if options.gpu:
            return int(on_a_gpu(bench, options.rounds or 3) < TARGET_RATIO)
        cases = cpu_cases(bench.work, quick=options.quick)[: 1 if options.only_tiny else None]
        ratios = [compare(bench, case, options.rounds or rounds) for case, rounds in cases]
        receivers(bench, cases[0][0], options.rounds or (1 if options.quick else 3))
    return int(min(ratios) < TARGET_RATIO)


if __name__ == "__main__":
    sys.exit(main())
