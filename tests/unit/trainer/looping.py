"""Training loops of the tiny model in this process: rows made by hand, everything that the loop says kept."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback, set_seed

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.loop import make_loop
from tunesmith_trainer.model import load_base, load_tokenizer, load_trained, tuned
from tunesmith_trainer.testing import tiny_configuration

DPO = {"type": "DPO", "dpo": {"beta": 0.5}}
LN_DPO = {"type": "DPO", "dpo": {"beta": 5.0, "normalizeLogratiosByLength": True}}
DPO_NLL = {"type": "DPO", "dpo": {"beta": 0.5, "rpoAlpha": 0.7}}
SIMPO = {
    "type": "DPO",
    "dpo": {"beta": 2.0, "simpoGamma": 1.0, "referenceFree": True, "normalizeLogratiosByLength": True},
}
REFERENCE_FREE = {"type": "DPO", "dpo": {"beta": 0.5, "referenceFree": True}}
LORA = {"type": "LoRA", "rank": 4, "alpha": 8}
QLORA = {**LORA, "baseQuantization": "NF4"}
FULL = {"type": "Full"}


def some_pairs(count=16):
    """Prepared preference rows of several lengths, with something regular to prefer."""
    return [
        {
            "prompt_ids": [1, 40 + index % 5, 50, 2],
            "chosen_ids": [60 + index % 7] * (2 + index % 3) + [2],
            "rejected_ids": [80 + index % 3] * (1 + index % 4) + [2],
        }
        for index in range(count)
    ]


def some_examples(count=16):
    """Prepared supervised rows."""
    return [
        {
            "input_ids": [*row["prompt_ids"], *row["chosen_ids"]],
            "labels": [-100] * len(row["prompt_ids"]) + row["chosen_ids"],
        }
        for row in some_pairs(count)
    ]


@dataclass
class Listener(TrainerCallback):
    """Keeps what the loop says, and what the optimizer does."""

    logs: list[dict[str, float]] = field(default_factory=list)
    evaluations: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    stop_at: int | None = None

    def on_log(self, args, state, control, **kwargs):
        if "loss" in kwargs["logs"]:
            self.logs.append(dict(kwargs["logs"]))

    def on_evaluate(self, args, state, control, **kwargs):
        self.evaluations.append(kwargs["metrics"]["eval_loss"])

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.rates.append(kwargs["optimizer"].param_groups[0]["lr"])
        gradients = [p.grad for p in kwargs["model"].parameters() if p.grad is not None]
        self.gradient_norms.append(torch.nn.utils.get_total_norm(gradients).item())

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.stop_at:
            control.should_save = control.should_training_stop = True

    @property
    def losses(self):
        return [logs["loss"] for logs in self.logs]


@dataclass
class Trained:
    """A loop that ran, and what it said."""

    loop: Any
    listener: Listener
    configuration: Configuration

    @property
    def losses(self):
        return self.listener.losses

    def weights(self):
        """What moves, by name."""
        return {
            name: parameter.detach().clone()
            for name, parameter in self.loop.model.named_parameters()
            if parameter.requires_grad
        }


def a_configuration(model_path, place, *, method=None, tuning=None, continue_from=None, output=None, **training):
    """A whole configuration for `a_loop`; `training` changes its numbers."""
    document = tiny_configuration(place, **({"output": output} if output else {}))
    document |= {"model": {"path": str(model_path)}, "tuning": tuning or LORA}
    document["training"] |= training
    if method:
        document["method"] = method
    if continue_from:
        document["continueFrom"] = {"path": str(continue_from)}
    return Configuration.model_validate(document)


def a_loop(configuration, place, *, steps=6, rows=None, held_out=None, stop_at=None, resumed_from=None):
    """A loop in the order in which an attempt makes it, not yet run."""
    preference = configuration.method.type == "DPO"
    tokenizer = load_tokenizer(Path(configuration.model.path))
    base = load_base(configuration, resumed_from)
    set_seed(configuration.training.seed)
    loaded = tuned(base, configuration)
    if resumed_from:
        load_trained(loaded.model, resumed_from)
    listener = Listener(stop_at=stop_at)
    loop = make_loop(
        configuration,
        loaded=loaded,
        tokenizer=tokenizer,
        rows=Dataset.from_list(rows or (some_pairs() if preference else some_examples())),
        held_out=Dataset.from_list(held_out) if held_out else None,
        total_steps=steps,
        output=place / "checkpoints",
        follower=listener,
        keeper=SimpleNamespace(place=lambda step: place / "checkpoints" / f"checkpoint-{step}", meet=lambda: None),
        measure_first=True,
        on_gpu=False,
    )
    return Trained(loop, listener, configuration)


def train(configuration, place, **options):
    """A loop that ran to its end."""
    torch.set_num_threads(1)
    resumed_from = options.get("resumed_from")
    made = a_loop(configuration, place, **options)
    made.loop.train(resume_from_checkpoint=str(resumed_from) if resumed_from else None)
    return made
