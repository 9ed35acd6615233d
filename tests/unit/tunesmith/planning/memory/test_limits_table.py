"""The formula, asked what 8 GPUs of 80 GB can hold, says what the provider's table of limits says.

The table was made for one sequence on each GPU of one node (two nodes where its smallest batch is 16), and its column
for preference training for a head that builds all logits at once. `pytest -s` prints the comparison.
"""

from collections import Counter
from dataclasses import dataclass, replace

import pytest

from tunesmith.catalog.loader import bundled, find_bundled
from tunesmith.planning.memory.cards import card_of
from tunesmith.planning.memory.fit import rows_at_once
from tunesmith.planning.memory.terms import Sharding, terms
from tunesmith.planning.memory.work import Adapter, Numbers, Work, not_estimated

GRID = (1024, 2048, 4096, 8192, 12288, 16384, 24576, 32768, 49152, 65536, 98304, 131072)
H100 = card_of("H100_SXM")
# The provider allows less than fits. None of the four is a limit of memory: like models beside them stand higher.
ROOM_LEFT_FOR_SFT = {
    "Qwen/Qwen2.5-1.5B": (32768, 131072),
    "Qwen/Qwen3-32B": (24576, 32768),
    "google/gemma-3-12b-it": (16384, 98304),
    "google/gemma-3-12b-pt": (65536, 98304),
}
# The provider allows more: two nodes hold 28000 tokens by the formula.
NO_ROOM_FOR_SFT = {"Qwen/Qwen2-72B": (32768, 24576), "Qwen/Qwen2-72B-Instruct": (32768, 24576)}
# Gathering one layer of 128 experts takes most of the card; the provider must spread experts otherwise.
EXPERTS_THAT_DO_NOT_FIT = {"meta-llama/Llama-4-Maverick-17B-128E", "meta-llama/Llama-4-Maverick-17B-128E-Instruct"}


@dataclass(frozen=True)
class Compared:
    """One row of the table beside the formula."""

    id: str
    has_experts: bool
    table_sft: int
    formula_sft: int
    table_dpo: int
    formula_dpo: int

    @property
    def sft(self) -> tuple[int, int]:
        return self.table_sft, self.formula_sft

    @property
    def dpo_steps_apart(self) -> int:
        """Steps of the grid between the two; positive: the formula allows more."""
        return step(self.formula_dpo) - step(self.table_dpo)


def step(context: int) -> int:
    return -1 if context == 0 else GRID.index(context)


def formula(work: Work, gpus: int) -> int:
    """The longest context of the grid, within the model's own window."""
    contexts = [context for context in GRID if context <= work.shape.max_positions]
    fitting = [c for c in contexts if rows_at_once(replace(work, context=c), H100, Sharding.FSDP2, gpus)]
    return fitting[-1] if fitting else 0


def compare():
    for model in bundled():
        shape, limits = model.shape, model.spec.limits
        if not_estimated(shape) or limits is None or limits.max_batch_size_sft == 1:
            continue
        gpus = max(8, limits.min_batch_size)
        yield Compared(
            id=model.spec.id,
            has_experts=shape.experts is not None,
            table_sft=limits.context_length_sft,
            formula_sft=formula(Work(shape, 1), gpus),
            table_dpo=limits.context_length_dpo,
            formula_dpo=formula(Work(shape, 1, pairs=True, reference=True, full_logits=True), gpus),
        )


@pytest.fixture(scope="module")
def rows():
    compared = tuple(compare())
    print(f"\n{'model':50} {'SFT':>8} {'formula':>8} {'DPO':>8} {'formula':>8}")
    for row in compared:
        print(f"{row.id:50} {row.table_sft:8} {row.formula_sft:8} {row.table_dpo:8} {row.formula_dpo:8}")
    return compared


@pytest.fixture(scope="module")
def dense(rows):
    return [row for row in rows if not row.has_experts]


def test_all_rows_are_compared_but_the_ten_that_need_context_parallelism(rows):
    assert len(rows) == 71


def test_dense_models_are_trained_on_examples_as_long_as_the_table_says(dense):
    differing = {row.id: row.sft for row in dense if row.table_sft != row.formula_sft}
    assert differing == ROOM_LEFT_FOR_SFT | NO_ROOM_FOR_SFT
    assert len(dense) - len(differing) == 53


def test_dense_models_are_trained_on_pairs_as_long_as_the_table_says_or_one_step_less_or_more(dense):
    assert Counter(row.dpo_steps_apart for row in dense) == {0: 48, -1: 10, 1: 1}


def test_mixtures_of_experts_have_room_for_the_tables_examples_where_a_layer_can_be_gathered(rows):
    mixtures = [row for row in rows if row.has_experts]
    assert {row.id for row in mixtures if row.formula_sft < row.table_sft} == EXPERTS_THAT_DO_NOT_FIT
    assert Counter(row.dpo_steps_apart for row in mixtures) == {-4: 2, -1: 4, 0: 1, 1: 1, 2: 4}


PUBLISHED_CONTEXTS = [  # model, card, SFT, DPO, full AMP, full BF16: 8 GPUs, one sequence each; 0: none
    ("meta-llama/Meta-Llama-3.1-8B-Reference", "H100", 131072, 65536, 65536, 98304),
    ("meta-llama/Meta-Llama-3.1-8B-Reference", "H200", 131072, 98304, 131072, 131072),
    ("Qwen/Qwen2.5-32B", "H100", 49152, 24576, 1024, 32768),
    ("Qwen/Qwen2.5-32B", "H200", 98304, 49152, 32768, 65536),
    ("meta-llama/Llama-3.3-70B-Instruct-Reference", "H100", 24576, 12288, 0, 0),
    ("meta-llama/Llama-3.3-70B-Instruct-Reference", "H200", 49152, 24576, 0, 24576),
]


@pytest.mark.parametrize(("model", "card", "sft", "dpo", "amp", "bf16"), PUBLISHED_CONTEXTS)
def test_the_longest_contexts_by_card_and_method(model, card, sft, dpo, amp, bf16):
    shape = find_bundled(model).shape
    works = (
        Work(shape, 1),
        Work(shape, 1, pairs=True, reference=True),
        Work(shape, 1, adapter=None),
        Work(shape, 1, adapter=None, numbers=Numbers.BF16),
    )
    assert tuple(longest_of_the_grid(work, card_of(card)) for work in works) == (sft, dpo, amp, bf16)


def longest_of_the_grid(work, card):
    fitting = [c for c in GRID if rows_at_once(replace(work, context=c), card, Sharding.FSDP2, 8)]
    return fitting[-1] if fitting else 0


def test_a_published_run_of_70_billion_parameters_needs_what_was_measured():
    """PEFT's docs: Llama-2-70B, LoRA of rank 8 with dropout, 8 GPUs with 8 x 2048 tokens, all logits: 64 GB."""
    shape = replace(find_bundled("meta-llama/Llama-3.3-70B-Instruct-Reference").shape, vocabulary_size=32000)
    work = Work(shape, 2048, Adapter(rank=8, dropout=True), full_logits=True)
    assert terms(work, 8, Sharding.FSDP2, 8).total == pytest.approx(64e9, rel=0.05)
