"""What the estimate says of any training: more never needs less, every batch adds up, every fix fixes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.catalog.loader import bundled, find_bundled
from tunesmith.catalog.parameters import total
from tunesmith.planning.memory.batch import Batch, BatchLimits, batch_of, divided, fewest_gpus, largest_batch
from tunesmith.planning.memory.cards import CARDS, card_of
from tunesmith.planning.memory.fit import gpu_counts, gpus_needed, layout_of, longest_context, rows_at_once
from tunesmith.planning.memory.fixes import Fix, fixes
from tunesmith.planning.memory.plan import Wish, estimate
from tunesmith.planning.memory.price import gpu_hour_usd
from tunesmith.planning.memory.terms import Sharding, adapter_parameters, terms
from tunesmith.planning.memory.throughput import tokens_per_second
from tunesmith.planning.memory.work import Adapter, Numbers, Work, not_estimated
from tunesmith.planning.price_table import PUBLISHED

EIGHT = find_bundled("meta-llama/Meta-Llama-3.1-8B-Reference").shape
SEVENTY = find_bundled("meta-llama/Llama-3.3-70B-Instruct-Reference").shape
SHAPES = [model.shape for model in bundled() if not not_estimated(model.shape)]
H100, H200 = card_of("H100_SXM"), card_of("H200")

contexts = st.integers(1, 200_000)
adapters = st.builds(
    Adapter,
    rank=st.integers(1, 256),
    dropout=st.booleans(),
    targets=st.frozensets(st.sampled_from(["q_proj", "down_proj", "attention", "something"])),
    four_bit_base=st.booleans(),
)
works = st.builds(
    Work,
    shape=st.sampled_from(SHAPES),
    context=contexts,
    adapter=st.none() | adapters,
    numbers=st.sampled_from(list(Numbers)),
    pairs=st.booleans(),
    reference=st.booleans(),
)
limits = st.builds(
    lambda least, more: BatchLimits(least, more and least + more), st.integers(1, 64), st.integers(0, 64)
)


@given(works, st.integers(0, 32), st.integers(1, 100_000))
def test_longer_rows_and_more_of_them_need_more(work, rows, longer):
    one = terms(work, rows, Sharding.NONE, 1).total
    assert terms(work, rows + 1, Sharding.NONE, 1).total > one
    assert terms(replace(work, context=work.context + longer), rows, Sharding.NONE, 1).total >= one


@given(works, adapters, st.integers(1, 64))
def test_a_higher_rank_needs_more(work, adapter, more):
    low, high = (replace(work, adapter=replace(adapter, rank=adapter.rank + extra)) for extra in (0, more))
    assert terms(high, 1, Sharding.DDP, 2).total > terms(low, 1, Sharding.DDP, 2).total


@given(works, st.sampled_from(CARDS), st.integers(2, 64), st.integers(1, 64))
def test_what_fits_on_some_gpus_fits_on_more(work, card, gpus, more):
    assert layout_of(work, card, gpus + more).rows >= min(1, layout_of(work, card, gpus).rows)
    parts = [rows_at_once(work, card, Sharding.FSDP2, count) for count in (gpus, gpus + more)]
    assert parts == sorted(parts)


@given(works, st.sampled_from(CARDS), st.sampled_from(gpu_counts()[:12]))
def test_the_rows_at_once_fit_and_one_more_does_not(work, card, gpus):
    layout = layout_of(work, card, gpus)
    room = 0.93 * card.memory_bytes
    if layout.rows:
        assert terms(work, layout.rows, layout.sharding, gpus).total <= room
    assert terms(work, layout.rows + 1, layout.sharding, gpus).total > room * (1 - 1e-9)


@given(works, st.sampled_from(CARDS), st.sampled_from([1, 8, 16]))
def test_the_longest_context_fits_and_1024_more_do_not(work, card, gpus):
    longest = longest_context(work, card, gpus)
    if longest:
        assert layout_of(replace(work, context=longest), card, gpus).rows
    if longest < work.shape.max_positions:
        assert not layout_of(replace(work, context=longest + 1024), card, gpus).rows


@given(st.integers(1, 512), st.integers(1, 64), st.integers(1, 64))
def test_a_wanted_batch_is_kept_whole_or_refused(wanted, world, rows_that_fit):
    batch = divided(wanted, rows_that_fit, world)
    if batch is None:
        assert wanted % world
        return
    assert batch.micro * batch.accumulation * batch.world == wanted
    assert 1 <= batch.micro <= rows_that_fit


@given(limits, st.integers(1, 64), st.integers(0, 64))
def test_the_largest_batch_keeps_to_its_limits_and_accumulates_only_up_to_the_least(bounds, world, rows_that_fit):
    batch = largest_batch(rows_that_fit, world, bounds)
    if batch is None or bounds.most == 1:
        return
    assert batch.micro <= rows_that_fit
    assert bounds.least <= batch.rows
    assert bounds.most is None or batch.rows <= bounds.most
    if batch.accumulation > 1:
        assert rows_that_fit * world < bounds.least


def test_a_largest_batch_of_one_is_accumulated_as_the_provider_does():
    assert largest_batch(3, 1, BatchLimits(1, 1)) == Batch(1, 8, 1)
    assert largest_batch(3, 2, BatchLimits(1, 1)) is None


@given(works, st.sampled_from(CARDS), st.sampled_from([1, 8]))
def test_every_fix_fixes(work, card, gpus):
    if layout_of(work, card, gpus).rows:
        return
    for fix in fixes(work, card, gpus):
        assert tried(work, card, gpus, fix), fix


def tried(work: Work, card, gpus: int, fix: Fix) -> int:
    match fix.setting:
        case "training.contextLength":
            return layout_of(replace(work, context=int(fix.value)), card, gpus).rows
        case "resources.gpus":
            return layout_of(work, card, int(fix.value)).rows
        case "the GPUs' type":
            return layout_of(work, card_of(fix.value), gpus).rows
        case "training.precision":
            return layout_of(replace(work, numbers=Numbers(fix.value)), card, gpus).rows
        case "tuning.type":
            return layout_of(replace(work, adapter=Adapter()), card, gpus).rows
        case "tuning.lora.dropout":
            return layout_of(replace(work, adapter=replace(work.adapter, dropout=False)), card, gpus).rows
        case "tuning.lora.baseQuantization":
            adapter = replace(work.adapter, four_bit_base=fix.value == "NF4")
            return layout_of(replace(work, adapter=adapter), card, gpus).rows
    raise AssertionError(fix)


@pytest.mark.parametrize(
    ("work", "card", "expected"),
    [
        (Work(SEVENTY, 65536), H100, "training.contextLength: 27648"),
        (Work(SEVENTY, 8192), H100, ""),
        (Work(SEVENTY, 8192, adapter=None), H100, "resources.gpus: 32"),
        (Work(SEVENTY, 8192, adapter=None), H100, "tuning.type: LoRA"),
        (Work(SEVENTY, 32768), H100, "the GPUs' type: H200"),
    ],
)
def test_what_does_not_fit_is_told_what_would(work, card, expected):
    told = [str(fix) for fix in fixes(work, card, 8)] if not layout_of(work, card, 8).rows else [""]
    assert expected in told


def test_four_bits_are_never_proposed_for_a_base_that_is_published_in_few():
    told = {
        stored: [str(fix) for fix in fixes(Work(replace(SEVENTY, native_precision=stored), 1024), H100, 1)]
        for stored in ("bf16", "fp8-e4m3 (128x128 blocks)", "MXFP4 (MoE expert weights; rest bf16)")
    }
    nf4 = "tuning.lora.baseQuantization: NF4"
    assert [nf4 in each for each in told.values()] == [True, False, False]


def test_the_base_is_whole_on_each_gpu_where_it_fits_and_in_parts_where_not():
    assert layout_of(Work(EIGHT, 8192), H100, 1).sharding is Sharding.NONE
    assert layout_of(Work(EIGHT, 8192), H100, 8).sharding is Sharding.DDP
    assert layout_of(Work(SEVENTY, 8192), H100, 8).sharding is Sharding.FSDP2


def test_a_four_bit_base_is_never_cut_into_parts():
    four_bit = Work(SEVENTY, 4096, Adapter(four_bit_base=True))
    assert layout_of(four_bit, H100, 8).sharding is Sharding.DDP
    assert layout_of(four_bit, H100, 1).rows
    assert not layout_of(replace(four_bit, context=131072), H100, 64).rows


def test_a_four_bit_base_takes_about_half_a_byte_a_weight_beside_what_stays_wide():
    ratio = terms(Work(SEVENTY, 1, Adapter(four_bit_base=True)), 1, Sharding.NONE, 1).weights / total(SEVENTY)
    assert 0.5 < ratio < 0.6


def test_fused_experts_stay_wide_in_a_four_bit_base():
    mixture = find_bundled("Qwen/Qwen3-30B-A3B").shape
    weights = terms(Work(mixture, 1, Adapter(four_bit_base=True)), 1, Sharding.NONE, 1).weights
    assert weights > 0.9 * 2 * total(mixture)


def test_fewer_modules_are_fewer_weights():
    everything, attention, one = (
        adapter_parameters(EIGHT, Adapter(targets=frozenset(names))) for names in ((), ("attention",), ("q_proj",))
    )
    assert everything > attention > one == 8 * 32 * (4096 + 4096)
    assert adapter_parameters(EIGHT, Adapter(targets=frozenset({"Wqkv"}))) == everything


def test_the_fewest_gpus_take_the_batch_at_once():
    assert gpus_needed(Work(EIGHT, 8192), H100) == 1
    assert fewest_gpus(Work(EIGHT, 131072), H100, None, BatchLimits(8, 8)) == 8
    assert fewest_gpus(Work(SEVENTY, 8192), H100, 16, BatchLimits()) == 8
    assert fewest_gpus(Work(SEVENTY, 8192, adapter=None), H200, 64, BatchLimits()) == 32


@pytest.mark.parametrize(
    ("shape", "published"),  # LoRA in bf16 at 4096 tokens on one H100, and on eight
    [(EIGHT, 12_473), (find_bundled("Qwen/Qwen2.5-7B").shape, 14_110), (SEVENTY, 1_092)],
)
def test_the_expected_speed_is_a_little_below_the_best_that_was_published(shape, published):
    speed = tokens_per_second(Work(shape, 4096), H100)
    assert 0.4 * published < speed.low < speed.high < published


def test_speed_is_not_told_where_no_figure_is_known():
    assert tokens_per_second(Work(EIGHT, 4096, numbers=Numbers.FP32), H100) is None


def test_hours_and_dollars_are_ranges_of_the_tokens():
    done = estimate(
        Wish(Work(EIGHT, 8192), H100, gpus=8, tokens=1_000_000_000, gpu_hour_usd=gpu_hour_usd(PUBLISHED, "H100"))
    )
    assert 3 < done.hours.low < done.hours.high < 8
    assert done.dollars.low == pytest.approx(Decimal(repr(done.hours.low * 8)) * Decimal("3.99"), abs=Decimal("0.01"))
    assert (done.layout.sharding, done.fixes) == (Sharding.DDP, ())


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("H100_SXM", "H100"),
        ("NVIDIA-H100-80GB-HBM3", "H100"),
        ("h200", "H200"),
        ("GB200_NVL", "GB200"),
        ("NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("A100", None),
        ("RTX_6000_PCI", None),
        ("B300_SXM", None),
    ],
)
def test_cards_are_known_by_the_names_that_people_and_nodes_give_them(name, card):
    found = card_of(name)
    assert (found and found.name) == card


def test_a_cards_price_is_that_of_the_type_that_is_the_same_card():
    assert gpu_hour_usd(PUBLISHED, "H200") == Decimal("5.99")
    assert gpu_hour_usd(PUBLISHED, "L40S") is None


def test_a_batch_that_is_asked_for_wins_over_the_largest():
    assert batch_of(24, 2, 8, BatchLimits(8, 64)).accumulation == 3
    assert batch_of(None, 2, 8, BatchLimits(8, 64)) == Batch(2, 1, 8)


def test_latent_attention_is_not_estimated_and_says_so():
    assert "headSize" in not_estimated(find_bundled("deepseek-ai/DeepSeek-R1").shape)
    assert "no shape" in not_estimated(None)
