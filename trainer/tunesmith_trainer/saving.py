"""What a training loop writes and reads at a checkpoint, the same for one process, DDP and FSDP2.

The library's own files differ by how the weights are sharded, so that a run could not go on with another number of
processes. Ours hold whole tensors by name: weights that move, the optimizer's state, and the random states of each
process. The frozen weights under an adapter are never gathered; of a whole model, what does not move is a part too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import safe_open
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.utils.data import Sampler
from transformers import Trainer

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.data.cache import SOURCE_COLUMN
from tunesmith_trainer.data.files import DataSource
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.keeping import Keeper
from tunesmith_trainer.losses import SourceRows

OPTIMIZER = "optimizer.pt"
SCHEDULER = "scheduler.pt"


class WholeBatches(Sampler[int]):
    """Rows in an order of each epoch's own, ending in a full global batch: rows from its beginning fill the last one.

    The order depends on the seed and the epoch alone, so every number of processes sees the same batches.
    """

    def __init__(self, rows: int, global_batch: int, seed: int) -> None:
        self._rows = rows
        self._length = -(-rows // global_batch) * global_batch
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the loop when an epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        yield from self.order(self._epoch)

    def order(self, epoch: int) -> list[int]:
        """The rows of one epoch, in the order in which they are trained on."""
        generator = torch.Generator().manual_seed(self._seed + epoch)
        order: list[int] = torch.randperm(self._rows, generator=generator).tolist()
        while len(order) < self._length:
            order += order[: self._length - len(order)]
        return order


class RowsOfSteps:
    """Which rows of the dataset a step was made from; the same order as the loop's, worked out again."""

    def __init__(self, configuration: Configuration, prepared: Any) -> None:
        """`prepared` are the rows with what they were made from, see `prepare`."""
        training = configuration.training
        self._file = DataSource(Path(configuration.data.training.path))
        self._batch = training.global_batch
        self._order = WholeBatches(len(prepared), self._batch, training.seed)
        self._prepared = prepared

    def __call__(self, step: int) -> SourceRows:
        """Where a person finds them, in the order of the step."""
        epoch, within = divmod(step - 1, len(self._order) // self._batch)
        taken = self._order.order(epoch)[within * self._batch : (within + 1) * self._batch]
        numbers = [number for row in taken for number in self._prepared[row][SOURCE_COLUMN]]
        return SourceRows(self._file.path.name, self._file.unit, numbers)


class EvaluationLeftError(Exception):
    """Training was asked to stop while held-out rows were measured."""


class Saving(Trainer):
    """A base of every loop: checkpoints go where the keeper says, in a form that any number of processes can resume."""

    keeper: Keeper
    global_batch: int

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.keeper.place(self.state.global_step).parent)

    def _get_train_sampler(self, train_dataset: Any = None) -> WholeBatches:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        return WholeBatches(len(rows), self.global_batch, self.args.seed)

    def _evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        try:
            measured: dict[str, float] = super()._evaluate(*arguments, **options)
        except EvaluationLeftError:
            return {}
        return measured

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """An adapter or a model, whole; under FSDP all ranks gather it together, and rank 0 writes."""
        if not self.is_fsdp_enabled:
            super().save_model(output_dir, _internal_call)
            return
        model: Any = self.model
        frozen_apart = isinstance(model, PeftModel)
        options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=frozen_apart)
        weights = get_model_state_dict(model, options=options)
        if self.args.should_save:
            # Gathered, tied weights are two tensors; under their first name they are saved once.
            once = dict(model.named_parameters()).keys() | dict(model.named_buffers()).keys()
            self._save(output_dir, state_dict={name: tensor for name, tensor in weights.items() if name in once})

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Whole tensors by name, on rank 0; all ranks gather together, once rank 0 has written the weights."""
        self.keeper.meet()
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        model: Any = self.model
        state = get_optimizer_state_dict(model, _inner(self.optimizer), options=options)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / OPTIMIZER)
            scheduler: Any = self.lr_scheduler
            torch.save(scheduler.state_dict(), Path(output_dir) / SCHEDULER)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The weights are in already: they were read into the whole model, before it was sharded."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state = torch.load(Path(checkpoint) / OPTIMIZER, map_location="cpu", weights_only=True)
        model: Any = self.model
        scheduler: Any = self.lr_scheduler
        set_optimizer_state_dict(model, _inner(self.optimizer), state, options=StateDictOptions(full_state_dict=True))
        scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER, weights_only=True))


def trained_bytes(model: Any) -> int:
    """About what a checkpoint takes: an adapter or a model, and two moments in the optimizer of all that moves."""
    moving = sum(int(parameter.numel()) for parameter in model.parameters() if parameter.requires_grad)
    saved = moving if isinstance(model, PeftModel) else sum(int(parameter.numel()) for parameter in model.parameters())
    return 4 * (saved + 2 * moving) + (64 << 20)


def ensure_finite_weights(directory: Path) -> None:
    """Raises TrainerError of class diverged when a saved weight is no finite number: such a checkpoint helps nobody."""
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  not a mapping
                if not bool(torch.isfinite(tensors.get_tensor(name)).all()):
                    raise TrainerError(
                        ErrorClass.DIVERGED,
                        f"The weights of {directory.name} have values that are NaN or infinite ('{name}'); they are "
                        "not kept. Lower learningRate or lengthen the warm-up. The checkpoint before stands.",
                    )


def _inner(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer below accelerate's wrapper."""
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner
