"""The bundled catalogue is the provider's table of 2025-11-08, and every row of it is a valid CatalogModel."""

from collections import Counter

import pytest

from tunesmith.catalog.limits import limits_for
from tunesmith.catalog.loader import bundled, find_bundled, object_name, provenance, snapshot_date
from tunesmith.resources.catalog_model import CatalogModel, ModelTask
from tunesmith.resources.fine_tune_job_inputs import MethodType
from tunesmith.resources.parsing import parse

TUNABLE = [model for model in bundled() if ModelTask.FINE_TUNE in model.spec.tasks]


def test_it_holds_the_81_rows_and_three_models_for_inference_only():
    assert len(TUNABLE) == 81
    assert [model.spec.id for model in bundled() if model not in TUNABLE] == [
        "Qwen/Qwen3-Next-80B-A3B-Thinking",
        "Qwen/Qwen3-Next-80B-A3B-Instruct",
        "moonshot-ai/Kimi-K2-Instruct-0905",
    ]
    assert snapshot_date() == "2025-11-08"
    assert set(provenance()) == {"limits", "inferenceOnly", "weights"}


def test_its_batch_sizes_are_those_of_the_table():
    sizes = Counter(
        (model.spec.limits.max_batch_size_sft, model.spec.limits.max_batch_size_dpo, model.spec.limits.min_batch_size)
        for model in TUNABLE
    )
    assert sizes == {(8, 8, 8): 58, (1, 1, 1): 10, (16, 16, 16): 5, (16, 8, 8): 4, (16, 16, 8): 3, (64, 64, 8): 1}


def test_its_context_lengths_are_those_of_the_table():
    sft = Counter(model.spec.limits.context_length_sft for model in TUNABLE)
    dpo = Counter(model.spec.limits.context_length_dpo for model in TUNABLE)
    assert sft == {131072: 20, 65536: 3, 49152: 3, 32768: 32, 24576: 7, 16384: 8, 8192: 7, 4096: 1}
    assert dpo == {32768: 13, 24576: 6, 16384: 26, 12288: 9, 8192: 25, 4096: 2}


def test_its_precisions_and_organizations_are_those_of_the_table():
    assert Counter(model.spec.precision.value for model in TUNABLE) == {"AMP": 74, "BF16": 7}
    assert Counter(model.spec.organization for model in TUNABLE) == {
        "Qwen": 36,
        "Meta": 17,
        "DeepSeek": 10,
        "Google": 10,
        "Mistral AI": 4,
        "OpenAI": 2,
        "Teknium": 1,
        "Together": 1,
    }


def test_seven_ids_are_not_the_repository_of_their_weights():
    other = {model.spec.id for model in TUNABLE if model.spec.weights.hugging_face.repo != model.spec.id}
    assert len(other) == 7
    assert "togethercomputer/llama-2-7b-chat" in other
    assert Counter(model.weights_confidence for model in TUNABLE) == {"read": 74, "derived": 7}


def test_names_are_labels_and_do_not_collide():
    names = [model.name for model in bundled()]
    assert len(set(names)) == len(names)
    assert object_name("Qwen/Qwen2.5-1.5B") == "qwen-qwen2-5-1-5b"


@pytest.mark.parametrize("model", bundled(), ids=lambda model: model.name)
def test_every_row_is_a_valid_resource_and_found_by_both_its_names(model):
    taken = parse(model.as_resource())
    assert isinstance(taken, CatalogModel)
    assert taken.spec == model.spec
    assert find_bundled(model.name) is find_bundled(model.spec.id) is model


@pytest.mark.parametrize("model", TUNABLE, ids=lambda model: model.name)
def test_a_shape_is_whole(model):
    shape = model.shape
    assert shape.layers > 0
    assert shape.attention_heads % shape.key_value_heads == 0
    assert (shape.head_size is None) is (shape.latent_attention is not None)
    assert shape.intermediate_size or shape.experts
    # Some makers publish the count without embeddings, or rounded.
    assert abs(shape.parameters_billions / model.spec.parameters_billions - 1) < 0.2


def test_limits_are_those_of_the_method():
    model = find_bundled("Qwen/Qwen3-30B-A3B").spec
    sft, dpo = limits_for(model, MethodType.SFT), limits_for(model, MethodType.DPO)
    assert (sft.min_batch_size, sft.max_batch_size, dpo.max_batch_size) == (8, 16, 8)
    assert sft.allows_batch(16)
    assert not sft.allows_batch(7)
    assert not dpo.allows_batch(16)
    assert sft.allows_context(8192)
    assert not sft.allows_context(8193)


def test_a_model_without_limits_allows_everything():
    free = limits_for(find_bundled("moonshot-ai/Kimi-K2-Instruct-0905").spec, MethodType.SFT)
    assert free.allows_batch(10_000)
    assert free.allows_context(10_000_000)
    assert free.allows_rank(512)


def test_an_unknown_model_is_not_found():
    assert find_bundled("nobody/nothing") is None
