"""How fast training is beside plain TRL with the same settings on the same rows, and what its safety costs.

`python tests/bench/trainer/beside_trl.py [--quick]`: on the CPU, a tiny model and the real one of 135 M parameters,
ours and plain in turns of half a second; then ours with Kubeflow's receiver off, answering, and hung.
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
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from rich.console import Console
from rich.table import Table
from tests.bench.trainer import one_run, shapes
from tests.bench.trainer.turns import Part, Player, play

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


@dataclass(frozen=True)
class Run:
    """`ours` or `plain`, with what its environment has besides."""

    kind: str
    environment: Mapping[str, str] = field(default_factory=dict)


OURS_AND_PLAIN = {"ours": Run("ours"), "plain": Run("plain")}


@dataclass(frozen=True)
class Measured:
    """What one run came to, over the time for which it ran.

    Attributes:
        tokens_per_second: of all tokens that went through the model, over making the loop, all steps and all saves.
        peak_bytes: the most memory of the process: of its GPU where it has one, else resident.
        save_seconds: how long training stood still for saves.
        loss: of the last step; the two must learn the same.
    """

    tokens_per_second: float
    peak_bytes: int
    save_seconds: float
    loss: float


def measured(player: Player) -> Measured:
    """What a run that has ended told, by the time for which it had its turn."""
    told = one_run.Told(**json.loads(player.told.read_text().splitlines()[-1]))
    return Measured(
        told.tokens / player.seconds(told.began, told.ended),
        told.peak_bytes,
        sum(player.seconds(*save) for save in told.saves),
        told.loss,
    )


Found = dict[str, list[Measured]]


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
    """Makes the storages and starts the runs."""

    def __init__(self, console: Console, work: Path) -> None:
        self.console = console
        self.work = work

    def run(self, case: Case, runs: Mapping[str, Run]) -> dict[str, Measured]:
        """All runs in turns, each in a fresh process; making the rows ready is not counted."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            place = Path(folder)
            parts = {name: self._part(place / name, case, run) for name, run in runs.items()}
            return {name: measured(player) for name, player in play(parts, place).items()}

    def rounds(self, count: int, case: Case, runs: Mapping[str, Run], *, together: bool = True) -> Found:
        """Every run once a round, each round from the other end; not `together`: one after the other."""
        found: Found = {name: [] for name in runs}
        for number in range(count):
            self.console.print(f"  round {number + 1} of {count}", style="dim")
            names = sorted(runs, reverse=bool(number % 2))
            for group in [names] if together else [[name] for name in names]:
                for name, one in self.run(case, {name: runs[name] for name in group}).items():
                    found[name].append(one)
        return found

    def _part(self, root: Path, case: Case, run: Run) -> Part:
        document = configuration_of(case, root)
        make_rows_ready(case, document)
        told = root / "configuration.json"
        told.write_text(json.dumps(document))
        return Part(
            [sys.executable, "-W", "ignore", one_run.__file__, run.kind, told],
            {**os.environ, **QUIET, **run.environment},
        )


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


def ratios(runs: Sequence[Measured], beside: Sequence[Measured]) -> list[float]:
    """Round by round, what the first have of the others' tokens per second."""
    return [one.tokens_per_second / other.tokens_per_second for one, other in zip(runs, beside, strict=True)]


def shown(values: Sequence[float]) -> str:
    """The middle of all rounds, with the lowest and the highest."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def compare(bench: Bench, case: Case, rounds: int, *, together: bool = True) -> float:
    """Ours beside plain; returns the median of the rounds' ratios."""
    found = bench.rounds(rounds, case, OURS_AND_PLAIN, together=together)
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
    found_ratios = ratios(found["ours"], found["plain"])
    bench.console.print(
        f"{case.name}: ours has {shown(found_ratios)} of plain TRL's tokens per second (target {TARGET_RATIO})."
    )
    return statistics.median(found_ratios)


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
        runs = {
            "off": Run("ours"),
            "answers": Run("ours", {"KUBEFLOW_TRAINER_SERVER_URL": alive}),
            "hangs": Run("ours", {"KUBEFLOW_TRAINER_SERVER_URL": silent}),
        }
        found = bench.rounds(rounds, case, runs)
    table = Table("receiver", "tokens/s, median", "of off", title=f"Kubeflow's receiver, {case.name}, {rounds} rounds")
    for name in runs:
        table.add_row(name, f"{median(found[name]):,.0f}", shown(ratios(found[name], found["off"])))
    bench.console.print(table)


def on_a_gpu(bench: Bench, rounds: int) -> float:
    """The 8 B shape beside plain TRL, then predicted and measured memory of five shapes; returns the ratio."""

    def case(name: str, model: Path, context: int, rows: int) -> Case:
        training = {
            "microBatch": rows, "gradientAccumulation": 1, "globalBatch": rows, "contextLength": context,
            "packing": True, "precision": "AMP", "activationCheckpointing": True, "maxSteps": 20,
        }  # fmt: skip
        return Case(name, model, shapes.conversations_for(context * rows * 20), training, saves=1, gpus=1)

    ratio = compare(bench, case("8 B shape", shapes.random_model(bench.work / "8b"), 4096, 1), rounds, together=False)
    table = Table("shape", "predicted", "measured", "measured / predicted", title="Peak memory of one GPU")
    for index, shape in enumerate(shapes.FIVE):
        model = shapes.random_model(bench.work / f"shape-{index}", **shape.changes)
        predicted = shapes.predicted_bytes(model, shape.context_length, shape.rows)
        run = bench.run(case(shape.name, model, shape.context_length, shape.rows), {"ours": Run("ours")})
        peak = run["ours"].peak_bytes
        table.add_row(shape.name, f"{predicted / GIB:.1f} GiB", f"{peak / GIB:.1f} GiB", f"{peak / predicted:.2f}")
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
        found = [compare(bench, case, options.rounds or rounds) for case, rounds in cases]
        receivers(bench, cases[0][0], options.rounds or (1 if options.quick else 3))
    return int(min(found) < TARGET_RATIO)


if __name__ == "__main__":
    sys.exit(main())
