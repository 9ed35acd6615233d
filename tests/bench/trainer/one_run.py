"""One training run in a process of its own, ours or plain TRL's, and what it has to tell.

`python tests/bench/trainer/one_run.py ours|plain CONFIGURATION.json` prints one JSON object: see `Told`. It stops
itself when everything is loaded, and goes on when it is continued: see `turns.py`.
"""

import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.bench.trainer.turns import wait_for_turn

LORA = {"rank": 8, "alpha": 16}


@dataclass(frozen=True)
class Told:
    """What one run has to tell. Times are monotonic seconds, the same for all processes of a machine.

    Attributes:
        tokens: all that went through the model between `began` and `ended`: making the loop, all steps and all saves.
        saves: from when to when training stood still for each save.
        peak_bytes: the most memory of the process: of its GPU where it has one, else resident.
        loss: of the last step; the two must learn the same.
    """

    tokens: int
    began: float
    ended: float
    saves: tuple[tuple[float, float], ...]
    peak_bytes: int
    loss: float


def run_ours(document: dict[str, Any]) -> Told:
    """A whole attempt with everything on: fenced, followed, watched, saved with hashes; its stage `Training` counts."""
    from tunesmith_trainer import training
    from tunesmith_trainer.contract import Configuration, Result
    from tunesmith_trainer.contract.messages import Stage
    from tunesmith_trainer.listeners import listeners
    from tunesmith_trainer.pace import Pause
    from tunesmith_trainer.progress import Reporter
    from tunesmith_trainer.stopping import StopWish
    from tunesmith_trainer.watchdog import Watch, end_stalled_process

    class Timed(Reporter):
        began = ended = stands_since = 0.0
        saves: tuple[tuple[float, float], ...] = ()

        def stage(self, stage: Stage) -> None:
            if stage == "Training":
                wait_for_turn()
                self.began = time.monotonic()
            elif self.began and not self.ended:
                self.ended = time.monotonic()
            super().stage(stage)

        def pauses(self, pause: Pause) -> None:
            self.stands_since = time.monotonic()
            super().pauses(pause)

        def goes_on(self, pause: Pause) -> None:
            super().goes_on(pause)
            if pause == "Saving":
                self.saves += ((self.stands_since, time.monotonic()),)

    configuration = Configuration.model_validate(document)
    with Path(os.devnull).open("w") as nowhere:
        reporter = Timed(configuration, speaks=True, out=nowhere)
        for listener in listeners(configuration, os.environ):
            reporter.listen(listener)
        with Watch(reporter, configuration, end_stalled_process):
            training.run(configuration, StopWish(), reporter)
        reporter.close()
    result = Result.model_validate_json((Path(configuration.storage.output_path) / "result.json").read_bytes())
    return Told(result.tokens, reporter.began, reporter.ended, reporter.saves, peak_bytes(document), result.final_loss)


def run_plain(document: dict[str, Any]) -> Told:
    """TRL's own trainer on the rows that our stage prepared, with the same settings, saving as often."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import SFTConfig, SFTTrainer

    settings, on_gpu = document["training"], bool(document["world"]["gpusPerPod"])
    rows = Dataset.from_file(str(next((Path(document["storage"]["root"]) / "prepared").rglob("*.arrow"))))
    rows = rows.select_columns([name for name in ("input_ids", "labels", "seq_lengths") if name in rows.column_names])
    steps = settings["maxSteps"] or settings["epochs"] * -(-len(rows) // settings["globalBatch"])
    dtype = torch.float32 if settings["precision"] == "FP32" else torch.bfloat16
    set_seed(settings["seed"])
    model = AutoModelForCausalLM.from_pretrained(document["model"]["path"], dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(document["model"]["path"])
    wait_for_turn()
    began = time.monotonic()
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=f"{document['storage']['root']}/plain",
            per_device_train_batch_size=settings["microBatch"],
            gradient_accumulation_steps=settings["gradientAccumulation"],
            max_steps=steps,
            learning_rate=settings["learningRate"],
            lr_scheduler_type="constant",
            seed=settings["seed"],
            bf16=settings["precision"] == "AMP",
            gradient_checkpointing=settings["activationCheckpointing"],
            max_length=settings["contextLength"],
            packing=settings["packing"],
            padding_free=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            logging_steps=1,
            save_steps=max(1, -(-steps // document["checkpoints"]["count"])),
            report_to="none",
            disable_tqdm=True,
            use_cpu=not on_gpu,
            dataloader_pin_memory=on_gpu,
        ),
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=LORA["rank"], lora_alpha=LORA["alpha"], target_modules="all-linear"
        ),
    )
    trainer.train()
    ended = time.monotonic()
    history = trainer.state.log_history
    tokens = next(entry["num_tokens"] for entry in reversed(history) if "num_tokens" in entry)
    loss = next(entry["loss"] for entry in reversed(history) if "loss" in entry)
    return Told(int(tokens), began, ended, (), peak_bytes(document), loss)


def peak_bytes(document: dict[str, Any]) -> int:
    """The most memory of this process: of its GPU where it has one, else resident."""
    if document["world"]["gpusPerPod"]:
        import torch

        return int(torch.cuda.max_memory_reserved())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    run = {"ours": run_ours, "plain": run_plain}[sys.argv[1]]
    sys.stdout.write(json.dumps(asdict(run(json.loads(Path(sys.argv[2]).read_text())))) + "\n")
