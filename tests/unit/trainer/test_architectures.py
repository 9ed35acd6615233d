"""Every architecture of the fine-tunable models trains: SFT and DPO with LoRA on a tiny model of its own class."""

import math
import re
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tests.unit.trainer.architectures import DIFFERENCES, make
from tests.unit.trainer.looping import DPO, FULL, LORA, a_configuration, a_loop, train

from tunesmith.catalog.loader import bundled
from tunesmith.planning.memory.untrainable import REFUSED_ARCHITECTURES
from tunesmith.resources.catalog_model import ModelTask
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.methods.loop import told_of_balancing
from tunesmith_trainer.model import ensure_adaptable, load_base, tuned
from tunesmith_trainer.refused_architectures import REFUSED
from tunesmith_trainer.targets import attention_projections, expert_parameters, experts_adapted

WITH_EXPERTS = {
    "MixtralForCausalLM",
    "Qwen3MoeForCausalLM",
    "GptOssForCausalLM",
    "DeepseekV3ForCausalLM",
}
IN_EVERY_RUN = {"Qwen2ForCausalLM", "Qwen3MoeForCausalLM", "Gemma3ForConditionalGeneration"}
ARCHITECTURES = [
    pytest.param(name, marks=[] if name in IN_EVERY_RUN else [pytest.mark.prove]) for name in sorted(DIFFERENCES)
]
GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "models.md"
ONE_PASS = {"microBatch": 2, "gradientAccumulation": 1, "globalBatch": 2}


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([[5, 40, 50, 60, 61, 62]]), use_cache=False).logits


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_trains_by_examples_and_by_preferences_and_is_read_again_equal(model_path, tmp_path, name):
    model = make(name, tmp_path / "model", model_path)
    for method in ({"type": "SFT"}, DPO):
        configuration = a_configuration(model, tmp_path, method=method, **ONE_PASS)
        ensure_adaptable(model, configuration.tuning)  # as the preparation does: it refuses nothing that trains
        trained = train(configuration, tmp_path, steps=2)
        moved = trained.weights()
        assert all(math.isfinite(loss) for loss in trained.losses)
        assert method is not DPO or trained.losses[0] == pytest.approx(math.log(2), abs=1e-5)
        assert moved
        assert all("lora_" in parameter and weight.numel() for parameter, weight in moved.items())
        assert any(bool(weight.any()) for parameter, weight in moved.items() if "lora_B" in parameter)
        assert not any(part in parameter for parameter in moved for part in ("vision", "multi_modal", "lm_head"))
        assert experts_adapted(trained.loop.model) == (name in WITH_EXPERTS)
        if name in WITH_EXPERTS:
            assert any(bool(w.any()) for p, w in moved.items() if ".experts." in p and "lora_B" in p)
        saved = tmp_path / method["type"]
        trained.loop.model.save_pretrained(str(saved))
        again = PeftModel.from_pretrained(load_base(configuration), str(saved))
        assert torch.allclose(logits(again), logits(trained.loop.model), atol=1e-6)


def places_of(adapted):
    """Names of what carries an adapter."""
    return {p.split("base_model.model.")[1].split(".lora_")[0] for p, _ in adapted.named_parameters() if "lora_" in p}


@pytest.mark.parametrize(
    ("name", "words", "wanted"),
    [
        (
            "DeepseekV3ForCausalLM",
            ["down_proj"],
            {"0.mlp.down_proj", "1.mlp.shared_experts.down_proj", "1.mlp.experts"},
        ),
        ("DeepseekV3ForCausalLM", ["shared_experts.down_proj"], {"1.mlp.shared_experts.down_proj"}),
        ("DeepseekV3ForCausalLM", ["mlp.up_proj"], {"0.mlp.up_proj"}),
        ("DeepseekV3ForCausalLM", ["experts.down_proj"], {"1.mlp.experts"}),
        ("Qwen3MoeForCausalLM", ["down_proj"], {"0.mlp.experts", "1.mlp.experts"}),
        ("MixtralForCausalLM", ["w1", "w3"], {"0.mlp.experts", "1.mlp.experts"}),
        ("MixtralForCausalLM", ["mlp.gate"], {"0.mlp.gate", "1.mlp.gate"}),
    ],
)
def test_a_name_reaches_every_layer_that_is_called_so_and_no_other(model_path, tmp_path, name, words, wanted):
    model = make(name, tmp_path / "model", model_path)
    configuration = a_configuration(model, tmp_path, tuning={**LORA, "targetModules": ["o_proj", *words]})
    adapted = tuned(load_base(configuration), configuration).model
    attention = {f"{layer}.self_attn.o_proj" for layer in (0, 1)}
    assert places_of(adapted) == {f"model.layers.{place}" for place in attention | wanted}
    adapted.save_pretrained(str(tmp_path / "adapter"))
    again = PeftModel.from_pretrained(load_base(configuration), str(tmp_path / "adapter"))
    assert torch.allclose(logits(again), logits(adapted), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("LlamaForCausalLM", "qproj"),
        ("MixtralForCausalLM", "down_proj"),
        ("GptOssForCausalLM", "down_proj"),
        ("Qwen3MoeForCausalLM", "shared_experts.down_proj"),
    ],
)
def test_one_name_among_several_that_is_adapted_nowhere_is_refused(model_path, tmp_path, name, word):
    model = make(name, tmp_path / "model", model_path)
    configuration = a_configuration(model, tmp_path, tuning={**LORA, "targetModules": ["q_proj", word]})
    with pytest.raises(TrainerError, match=f"has no module '{word}', so it would not be trained") as refused:
        ensure_adaptable(model, configuration.tuning)
    assert refused.value.error_class is ErrorClass.LIMITS
    assert ("experts are adapted where `targetModules` is left out" in refused.value.message) == (name in WITH_EXPERTS)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_attention_alone_is_adapted_where_it_is_wanted(model_path, tmp_path, name):
    model = make(name, tmp_path / "model", model_path)
    configuration = a_configuration(model, tmp_path, tuning={**LORA, "targetModules": ["attention"]})
    base = load_base(configuration)
    wanted = attention_projections(base)
    adapted = tuned(base, configuration).model
    places = places_of(adapted)
    assert places == set(wanted)
    assert {place.rsplit(".", 1)[1] for place in places} >= {"o_proj"}
    assert not experts_adapted(adapted)


@pytest.mark.parametrize("method", [{"type": "SFT"}, DPO], ids=["SFT", "DPO"])
def test_experts_are_kept_in_balance_where_what_chooses_them_moves_and_it_is_told(model_path, tmp_path, method):
    model = make("Qwen3MoeForCausalLM", tmp_path / "model", model_path)
    said = {
        tuning["type"]: told_of_balancing(
            a_loop(a_configuration(model, tmp_path, method=method, tuning=tuning), tmp_path).loop
        )
        for tuning in (LORA, FULL)
    }
    assert said["LoRA"] is None
    assert "keeps experts in balance, with the weight 0.001." in said["Full"]


def test_experts_are_refused_with_a_dropout_in_words(model_path, tmp_path):
    model = make("Qwen3MoeForCausalLM", tmp_path / "model", model_path)
    configuration = a_configuration(model, tmp_path, tuning={**LORA, "dropout": 0.1})
    base = load_base(configuration)
    assert len(expert_parameters(base)) == 4
    with pytest.raises(TrainerError, match="cannot be adapted with a dropout") as refused:
        tuned(base, configuration)
    assert refused.value.error_class is ErrorClass.LIMITS


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_does_not_train_is_refused_in_words_before_weights_are_read(tmp_path, name):
    (tmp_path / "config.json").write_text(f'{{"architectures": ["{name}"]}}')
    with pytest.raises(TrainerError, match=f"architecture {name} cannot be trained: {REFUSED[name]}") as refused:
        load_base(a_configuration(tmp_path, tmp_path))
    assert refused.value.error_class is ErrorClass.MODEL


def test_the_operator_refuses_the_same_before_it_buys():
    assert REFUSED_ARCHITECTURES == REFUSED


def test_these_are_the_architectures_of_the_catalogues_models():
    known = {model.shape.architecture for model in bundled() if model.shape and ModelTask.FINE_TUNE in model.spec.tasks}
    assert known == DIFFERENCES.keys() | REFUSED.keys()


def test_the_guide_lists_what_these_tests_show():
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| (\w+) \| (\w+) \| (\S+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE
    )
    listed = {name: (sft, dpo, experts) for name, sft, dpo, experts in rows}
    assert listed == {
        name: ("yes", "yes", "adapted" if name in WITH_EXPERTS else "none") for name in DIFFERENCES
    } | dict.fromkeys(REFUSED, ("no", "no", "none"))
