"""What a job gets before GPUs are taken: pods, batch, sharding, and what it is expected to need and to cost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tunesmith.planning.job_builders import (
    LOCAL,
    NODES,
    TEMPLATE,
    a_cluster,
    a_job,
    a_model,
    after,
    an_observation,
    circumstances,
    deep,
    prepared,
    preparing,
    running,
    settled,
    waiting_in_line,
    with_exits,
    with_workload,
)

from tunesmith.catalog.loader import bundled, find_bundled
from tunesmith.planning.acceptance import plan_of
from tunesmith.planning.circumstances import Known
from tunesmith.planning.configuration import config_hash, configuration
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.price_table import PUBLISHED
from tunesmith.planning.refusal import Refusal
from tunesmith.planning.sizing import sizes_of
from tunesmith.resources.catalog_model import CatalogModel
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.fine_tune_job_status import DatasetStatus

EIGHT = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
SEVENTY = "meta-llama/Llama-3.3-70B-Instruct-Reference"
SCOUT = "meta-llama/Llama-4-Scout-17B-16E-Instruct"
FREE = {"training": {"batchSize": None, "contextLength": None}, "resources": {"gpus": None}}
H200_NODE = NodeFact("n0", gpus=8, labels={"nvidia.com/gpu.product": "NVIDIA-H200"})


def a_row(model_id: str, *, source: str = "Bundled", limits=None) -> CatalogModel:
    raw = find_bundled(model_id).as_resource()
    spec = {**raw["spec"], "source": source}
    return CatalogModel.model_validate({**raw, "spec": spec if limits is None else {**spec, "limits": limits}})


def seen_of(model: str | CatalogModel, spec=None, **facts):
    row = a_row(model) if isinstance(model, str) else model
    job = a_job(deep({"weightsPath": "models/x", **FREE}, spec or {}))
    facts = {"around": circumstances(prices=PUBLISHED), **facts}
    return an_observation(job, model=row, **facts)


def to_be_bought_for(row: CatalogModel, spec):
    """Published weights, and a cluster of the job's own that is not bought yet."""
    job = a_job({**FREE, "weightsPath": None, "placement": TEMPLATE, **spec})
    return an_observation(job, model=row, cluster=None, around=circumstances(prices=PUBLISHED))


def accepted(seen) -> str:
    return find_condition(seen.status.conditions, "Accepted").message


def refusal(seen) -> Refusal:
    found = sizes_of(seen)
    assert isinstance(found, Refusal)
    return found


def test_a_job_that_says_nothing_gets_the_largest_batch_on_as_few_gpus_as_take_it_at_once():
    plan = settled(seen_of(EIGHT)).status.plan
    assert (plan.pods, plan.gpus_per_pod, plan.micro_batch, plan.gradient_accumulation) == (1, 8, 1, 1)
    assert plan.sharding == "FSDP2"
    short = settled(seen_of(EIGHT, {"training": {"contextLength": 4096}})).status.plan
    assert (short.pods, short.gpus_per_pod, short.micro_batch, short.sharding) == (1, 1, 8, "None")


def test_gpus_that_are_sized_fill_the_pods_that_are_asked_for():
    plan = settled(seen_of(EIGHT, {"training": {"contextLength": 4096}, "resources": {"gpusPerPod": 4}})).status.plan
    assert (plan.pods, plan.gpus_per_pod, plan.micro_batch) == (1, 4, 2)


def test_a_batch_is_taken_in_bites_that_fit():
    free = a_row(EIGHT, source="User", limits={})
    spec = {"training": {"batchSize": 64, "contextLength": 65536}, "resources": {"gpus": 8}}
    plan = settled(seen_of(free, spec)).status.plan
    assert plan.micro_batch * plan.gradient_accumulation * 8 == 64
    assert plan.gradient_accumulation > 1


def test_without_a_table_the_largest_batch_is_what_fits():
    free = a_row(EIGHT, source="User", limits={})
    spec = {"training": {"contextLength": 16384}, "resources": {"gpus": 8}}
    plan = settled(seen_of(free, spec)).status.plan
    assert plan.micro_batch > 1
    assert plan.gradient_accumulation == 1


def test_a_batch_of_one_is_accumulated_eight_times():
    one = a_row(EIGHT, source="User", limits={"maxBatchSizeSFT": 1, "contextLengthSFT": 4096})
    plan = settled(seen_of(one)).status.plan
    assert (plan.pods, plan.gpus_per_pod, plan.micro_batch, plan.gradient_accumulation) == (1, 1, 1, 8)


def test_the_ten_models_that_need_context_parallelism_are_refused():
    rows = [model for model in bundled() if model.spec.limits and model.spec.limits.max_batch_size_sft == 1]
    assert len(rows) == 10
    for row in rows:
        found = refusal(seen_of(row.spec.id))
        assert found.reason == "NeedsContextParallelism"


@pytest.mark.parametrize(
    ("spec", "helps"),
    [
        ({"training": {"contextLength": 24576}, "resources": {"gpus": 2}}, "resources.gpus"),
        ({"training": {"contextLength": 24576}, "resources": {"gpus": 4}}, "training.contextLength"),
        ({"training": {"contextLength": 1024}, "resources": {"gpus": 1}}, "tuning.lora.baseQuantization: NF4"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_changes_that_would(spec, helps):
    found = refusal(seen_of(SEVENTY, spec))
    assert found.reason == "DoesNotFit"
    assert helps in found.message


def test_the_limits_are_those_of_the_method():
    pairs = {"method": {"type": "DPO"}, "training": {"contextLength": 20000}}
    assert "at most 16384" in refusal(seen_of(EIGHT, pairs)).message


def test_a_limit_of_the_rank_is_none_of_full_tuning():
    small = a_row(EIGHT, source="User", limits={"maxLoRARank": 4})
    spec = {"training": {"contextLength": 2048}, "resources": {"gpus": 8}}
    assert refusal(seen_of(small, spec)).reason == "RankTooHigh"
    assert not isinstance(sizes_of(seen_of(small, {**spec, "tuning": {"type": "Full"}})), Refusal)


def test_the_card_is_that_which_was_bought():
    alternative = a_cluster().model_copy(update={"spec": a_cluster().spec.model_copy(update={"gpu_type": "H200_SXM"})})
    assert "8 H200" in accepted(settled(seen_of(EIGHT, {"resources": {"gpus": 8}}, cluster=alternative)))
    template = {"placement": TEMPLATE, "training": {"batchSize": 16}}
    ahead = sizes_of(seen_of(a_row(EIGHT, source="User", limits={"contextLengthSFT": 4096}), template, cluster=None))
    assert (ahead.estimate.wish.card.name, ahead.pods) == ("H100", 2)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ((H200_NODE,), "8 H200"),
        ((H200_NODE, NodeFact("n1", gpus=8, labels={"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"})), "8 H100"),
        ((H200_NODE, NodeFact("cpu")), "8 H200"),
        ((NodeFact("n1", gpus=8, labels={"nvidia.com/gpu.product": "Something-New"}),), "'Something-New' is not known"),
        (NODES, "the type of the GPUs is not known"),
        ((), "the type of the GPUs is not known"),
    ],
)
def test_local_gpus_are_known_by_their_nodes_labels_and_the_smallest_counts(nodes, told):
    seen = seen_of(EIGHT, {**LOCAL, "resources": {"gpus": 8}}, cluster=None)
    assert told in accepted(settled(with_workload(seen, nodes=nodes)))


@pytest.mark.parametrize(
    ("model", "told"),
    [(a_model(), "the catalogue has no shape"), (a_row(EIGHT), "usable GiB on each of 16 H100")],
)
def test_the_condition_says_what_is_expected_or_why_nothing_is(model, told):
    spec = {"training": {"batchSize": 16, "contextLength": 512}, "resources": {"gpus": 16}}
    row = model.model_copy(update={"spec": model.spec.model_copy(update={"limits": None})})
    assert told in accepted(settled(seen_of(row, spec)))


def test_hours_and_dollars_are_told_once_the_data_is_counted():
    seen = seen_of(EIGHT, {"resources": {"gpus": 8}, "training": {"contextLength": 8192, "epochs": 2}})
    assert settled(seen).status.plan.estimated_hours is None
    known = seen.job.status.model_copy(update={"dataset": DatasetStatus(tokens=500_000_000)})
    counted = settled(after(seen, decide(seen), job=seen.job.model_copy(update={"status": known})))
    plan = counted.status.plan
    assert 4 < plan.estimated_hours < 6
    assert plan.estimated_usd == pytest.approx(plan.estimated_hours * 8 * Decimal("3.99"), rel=Decimal("0.05"))
    assert "hours and" in accepted(counted)


def test_steps_that_are_limited_bound_the_hours():
    spec = {"resources": {"gpus": 8}, "training": {"contextLength": 8192, "maxSteps": 1000, "batchSize": 8}}
    assert settled(seen_of(EIGHT, spec)).status.plan.estimated_hours


def test_simulated_gpus_are_told_the_estimate_of_real_ones_and_refused_nothing():
    around = circumstances(simulated_gpus=True)
    spec = {"training": {"contextLength": 24576}, "resources": {"gpus": 2, "gpusPerPod": 1}}
    seen = settled(seen_of(SEVENTY, spec, around=around))
    assert "would not fit: they would need" in accepted(seen)
    plan = seen.status.plan
    assert (plan.pods, plan.micro_batch, plan.sharding) == (2, 4, "DDP")


def test_what_attempts_were_made_with_stays_whatever_becomes_of_the_catalogue():
    seen = running(a_job({"weightsPath": "models/x", "training": {"batchSize": 16}}), model=a_row_without_limits())
    before = (seen.status.plan.micro_batch, seen.status.plan.gradient_accumulation)
    smaller = after(seen, decide(with_exits(seen, (20, "OutOfMemory"), (31,))), model=a_model())
    assert before == (1, 1)
    hashes = {config_hash(configuration(each, plan_of(each), 1)) for each in (seen, smaller)}
    assert len(hashes) == 1


def a_row_without_limits() -> CatalogModel:
    return a_row(EIGHT, source="User", limits={})


def test_the_trainer_is_told_how_the_model_is_spread():
    for context, sharding in ((4096, "DDP"), (131072, "FSDP2")):
        seen = seen_of(EIGHT, {"training": {"contextLength": context}, "resources": {"gpus": 8}})
        assert configuration(seen, plan_of(seen), 1)["world"]["sharding"] == sharding


@given(
    st.sampled_from([EIGHT, SEVENTY, "Qwen/Qwen3-30B-A3B", "google/gemma-3-4b-it"]),
    st.none() | st.integers(1, 256),
    st.none() | st.integers(1, 64),
    st.none() | st.integers(1, 65536),
    st.sampled_from([{}, {"minBatchSize": 8, "maxBatchSizeSFT": 64}, {"maxBatchSizeSFT": 1}]),
    st.booleans(),
)
def test_whatever_is_accepted_adds_up(model, batch, gpus, context, limits, simulated):
    spec = {"training": {"batchSize": batch, "contextLength": context}, "resources": {"gpus": gpus}}
    row = a_row(model, source="User", limits={**limits, "contextLengthSFT": 65536})
    found = sizes_of(seen_of(row, spec, around=circumstances(simulated_gpus=simulated)))
    if isinstance(found, Refusal):
        return
    assert found.batch.world == found.pods * found.processes_per_pod
    assert found.batch.micro >= 1
    if batch is not None:
        assert found.batch.rows == batch
    if gpus is not None:
        assert found.pods * found.gpus_per_pod == gpus
    if not simulated:
        assert found.batch.micro <= found.estimate.layout.rows


def test_a_job_at_rest_is_planned_alike_at_every_look():
    seen = waiting_in_line(a_job({"weightsPath": "models/x"}), model=a_row_without_limits(), answer=Known(None, 0))
    assert decide(seen).status == seen.status


def test_a_model_that_the_catalogue_has_for_inference_only_is_refused():
    model = a_row("Qwen/Qwen3-Next-80B-A3B-Instruct")
    assert refusal(seen_of(model)).reason == "ModelNotFineTuned"
    of_ones_own = a_row("Qwen/Qwen3-Next-80B-A3B-Instruct", source="User")
    spec = {"training": {"batchSize": 16, "contextLength": 512}, "resources": {"gpus": 16}}
    assert not isinstance(sizes_of(seen_of(of_ones_own, spec)), Refusal)


@pytest.mark.parametrize("source", ["Bundled", "User"])
def test_an_architecture_that_does_not_train_is_refused_before_a_cluster_is_bought(source):
    seen = seen_of(a_row(SCOUT, source=source), {"placement": TEMPLATE}, cluster=None)
    assert refusal(seen).reason == "ArchitectureNotTrained"
    decision = decide(seen)
    assert find_condition(decision.status.conditions, "Accepted").reason == "ArchitectureNotTrained"
    assert decision.actions == ()


@pytest.mark.parametrize("model", ["Qwen/Qwen3-30B-A3B", "mistralai/Mixtral-8x7B-v0.1", "openai/gpt-oss-20b"])
def test_a_dropout_on_experts_is_refused_and_on_attention_alone_it_is_not(model):
    adapter = {"rank": 8, "dropout": "0.1"}
    spec = {"training": {"contextLength": 1024}, "resources": {"gpus": 8}}
    found = refusal(seen_of(model, {**spec, "tuning": {"type": "LoRA", "lora": adapter}}))
    assert found.reason == "DropoutOnExperts"
    assert "targetModules: [attention]" in found.message
    attention = {**adapter, "targetModules": ["attention"]}
    assert not isinstance(sizes_of(seen_of(model, {**spec, "tuning": {"type": "LoRA", "lora": attention}})), Refusal)


QLORA = {"tuning": {"type": "LoRA", "lora": {"rank": 8, "baseQuantization": "NF4"}}}


@pytest.mark.parametrize("model", ["openai/gpt-oss-20b", "openai/gpt-oss-120b"])
def test_four_bits_on_a_base_that_is_published_in_few_are_refused_before_a_cluster_is_bought(model):
    seen = to_be_bought_for(a_row(model), QLORA)
    assert refusal(seen).reason == "BaseIsQuantized"
    assert decide(seen).actions == ()


def test_weights_of_ones_own_may_be_stored_in_other_numbers_than_the_published():
    spec = {**QLORA, "training": {"contextLength": 1024}, "resources": {"gpus": 8}}
    assert not isinstance(sizes_of(seen_of("openai/gpt-oss-20b", {**spec, "weightsPath": "models/x"})), Refusal)


def test_the_steps_of_pairs_tell_no_hours_before_the_rows_are_counted():
    """Only packed rows are full."""
    spec = {"training": {"maxSteps": 100}, "resources": {"gpus": 8}}
    rows = seen_of(EIGHT, spec)
    assert "hours" in accepted(after(rows, decide(rows)))
    pairs = seen_of(EIGHT, {**spec, "method": {"type": "DPO"}})
    assert "hours" not in accepted(after(pairs, decide(pairs)))


FROM_THE_HUB = {
    "model": {"type": "HuggingFace", "catalog": None, "huggingFace": {"repo": "nobody/knows"}},
    "weightsPath": "models/x",
    "training": {"batchSize": 64, "contextLength": 8192},
    "resources": {"gpus": 16},
}
LLAMA_70B_FACTS = {
    "model_type": "llama",
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}


def from_the_hub(spec=None, **facts):
    """Prepared, with what the preparation read in the model's own configuration."""
    job = a_job(deep(FROM_THE_HUB, spec or {}))
    return prepared(preparing(job, model=None, around=circumstances(prices=PUBLISHED)), modelFacts=facts)


def test_a_model_that_no_table_knows_is_estimated_by_what_its_preparation_read():
    before = sizes_of(preparing(a_job(FROM_THE_HUB), model=None))
    assert (before.estimate, before.sharding.value, before.batch.micro) == (None, "DDP", 4)
    assert "it is read with the weights" in before.not_estimated
    seen = from_the_hub(**LLAMA_70B_FACTS)
    plan = decide(seen).status.plan
    assert (plan.sharding, plan.micro_batch, plan.gradient_accumulation) == ("FSDP2", 2, 2)
    assert plan.estimated_memory_gib is not None
    assert configuration(seen, plan_of(seen), 1)["world"]["sharding"] == "FSDP2"
    assert "FSDP2" in accepted(after(seen, decide(seen)))


def test_such_a_model_that_does_not_fit_is_refused_while_no_gpu_is_held():
    seen = from_the_hub({"tuning": {"type": "Full"}, "training": {"precision": "AMP"}}, **LLAMA_70B_FACTS)
    assert refusal(seen).reason == "DoesNotFit"
    assert decide(seen).status.admission is None


def test_where_the_preparation_could_not_read_a_shape_the_reason_is_told():
    assert "type 'mpt'" in sizes_of(from_the_hub(model_type="mpt")).not_estimated


@pytest.mark.parametrize(("wanted", "gpus"), [({"gpus": 4}, 4), ({}, 8)], ids=["as asked for", "sized"])
def test_the_plan_tells_the_gpus_in_all_whoever_chose_them(wanted, gpus):
    decision = decide(seen_of(EIGHT, {"resources": wanted}))
    assert decision.status.plan.gpus == gpus
