"""What a loop writes at a checkpoint: rows in whole batches, weights that are numbers."""

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.saving import RowsOfSteps, WholeBatches, ensure_finite_weights
from tunesmith_trainer.testing import conversations, tiny_configuration, write_rows


@given(rows=st.integers(1, 40), batch=st.integers(1, 16), seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_every_batch_is_full_and_every_row_is_trained_on(rows, batch, seed, epoch):
    sampler = WholeBatches(rows, batch, seed)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert len(order) == len(sampler)
    assert len(order) % batch == 0
    assert len(order) - rows < batch
    assert set(order) == set(range(rows))
    assert sorted(order[:rows]) == list(range(rows))


def test_each_epoch_has_an_order_of_its_own_and_the_same_one_again():
    sampler = WholeBatches(50, 4, seed=1)
    assert sampler.order(0) != sampler.order(1)
    assert sampler.order(1) == WholeBatches(50, 4, seed=1).order(1)


def test_the_rows_of_a_step_are_those_that_the_loop_takes_by_their_lines_in_the_file(tmp_path):
    """Every second line was dropped; each row that is left was packed with the one after it."""
    write_rows(tmp_path / "data" / "train.jsonl", conversations(1))
    configuration = Configuration.model_validate(tiny_configuration(tmp_path, training={"seed": 3}))
    prepared = Dataset.from_list([{"source_rows": [4 * pack + 1, 4 * pack + 3]} for pack in range(10)])
    rows = RowsOfSteps(configuration, prepared)
    order = [pack for epoch in (0, 1) for pack in WholeBatches(10, 4, seed=3).order(epoch)]
    lines = [line for pack in order for line in (4 * pack + 1, 4 * pack + 3)]
    assert [line for step in range(1, 7) for line in rows(step).numbers] == lines
    assert str(rows(1)) == f"lines {', '.join(map(str, lines[:8]))} of 'train.jsonl'"


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_kept(tmp_path, spoilt):
    good = {"a": torch.ones(3)}
    save_file(good, tmp_path / "adapter_model.safetensors")
    ensure_finite_weights(tmp_path)
    save_file({**good, "b": torch.tensor([1.0, spoilt])}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(TrainerError, match="'b'") as raised:
        ensure_finite_weights(tmp_path)
    assert raised.value.error_class is ErrorClass.DIVERGED
