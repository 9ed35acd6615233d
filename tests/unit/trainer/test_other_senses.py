"""Models that also see: their text model alone is trained, by adapters on named modules too, and goes on bit by bit."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tests.unit.trainer.architectures import make
from tests.unit.trainer.looping import DPO, FULL, LORA, a_configuration, train
from tests.unit.trainer.test_weights import published

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.model import load_base, tuned

NAMED = {**LORA, "targetModules": ["q_proj", "k_proj"]}
EYES = ("vision_tower", "multi_modal_projector")


def adapted(model, tmp_path, *words):
    """The places of the adapter that these words put on a model."""
    configuration = a_configuration(model, tmp_path, tuning={**LORA, "targetModules": list(words)})
    trained = tuned(load_base(configuration), configuration).model
    named = [name for name, _ in trained.named_parameters() if "lora_" in name]
    return {name.split("base_model.model.")[1].split(".lora_")[0] for name in named}


@pytest.fixture(scope="module")
def seeing(model_path, tmp_path_factory):
    return make("Gemma3ForConditionalGeneration", tmp_path_factory.mktemp("seeing") / "model", model_path)


@pytest.mark.parametrize("method", [{"type": "SFT"}, pytest.param(DPO, marks=pytest.mark.prove)], ids=["SFT", "DPO"])
@pytest.mark.parametrize("tuning", [FULL, NAMED], ids=["Full", "named"])
def test_what_reads_moves_and_what_sees_does_not_and_it_goes_on_bit_by_bit(seeing, tmp_path, tuning, method):
    configuration = a_configuration(seeing, tmp_path, tuning=tuning, method=method, learningRate=0.005)
    whole = train(configuration, tmp_path / "whole", steps=3)
    begun = train(configuration, tmp_path / "parts", steps=3, stop_at=1)
    resumed = train(
        configuration, tmp_path / "parts", steps=3, resumed_from=tmp_path / "parts" / "checkpoints" / "checkpoint-1"
    )
    assert begun.losses + resumed.losses == whole.losses
    moved, wanted = resumed.weights(), whole.weights()
    assert moved.keys() == wanted.keys()
    assert not any(part in name for name in moved for part in EYES)
    assert all(torch.equal(weight, wanted[name]) for name, weight in moved.items())


def test_what_does_not_move_is_in_the_published_model(seeing, tmp_path):
    trained = train(a_configuration(seeing, tmp_path, tuning=FULL, learningRate=0.005), tmp_path, steps=2, stop_at=2)
    result = published(trained, tmp_path / "checkpoints" / "checkpoint-2")
    base, saved = (load_file(directory / "model.safetensors") for directory in (seeing, result.path))
    assert saved.keys() == base.keys()
    unmoved = {name for name, tensor in saved.items() if torch.equal(tensor, base[name])}
    assert unmoved == {name for name in base if any(part in name for part in EYES)}


def test_an_adapter_on_named_modules_is_read_again_and_merged(seeing, tmp_path):
    configuration = a_configuration(seeing, tmp_path, tuning=NAMED, output={"mergeModel": True}, learningRate=0.02)
    trained = train(configuration, tmp_path, steps=2, stop_at=2)
    result = published(trained, tmp_path / "checkpoints" / "checkpoint-2")
    again = PeftModel.from_pretrained(load_base(configuration), str(result.path))
    kept = {name: tensor for name, tensor in again.named_parameters() if "lora_" in name}
    assert kept.keys() == trained.weights().keys()
    assert all(torch.equal(tensor, trained.weights()[name]) for name, tensor in kept.items())
    base, merged = (load_file(directory / "model.safetensors") for directory in (seeing, result.path / "merged"))
    changed = {name for name, tensor in merged.items() if not torch.equal(tensor, base[name])}
    assert changed == {
        name for name in base if name.endswith(("q_proj.weight", "k_proj.weight")) and "vision" not in name
    }


def test_a_name_means_a_part_of_the_text_model(seeing, tmp_path):
    layers = {f"model.language_model.layers.{layer}.self_attn" for layer in (0, 1)}
    assert adapted(seeing, tmp_path, "q_proj") == {f"{layer}.q_proj" for layer in layers}
    assert adapted(seeing, tmp_path, "0.self_attn.q_proj") == {"model.language_model.layers.0.self_attn.q_proj"}
    with pytest.raises(TrainerError, match="no module 'fc1'"):
        adapted(seeing, tmp_path, "fc1")


def test_names_that_the_model_lacks_are_refused_and_named(model_path, tmp_path):
    with pytest.raises(TrainerError, match="no module 'no_such' and no 'other', so it would not be trained") as refused:
        adapted(model_path, tmp_path, "q_proj", "no_such", "other")
    assert refused.value.error_class is ErrorClass.LIMITS
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in refused.value.message


def test_experts_are_named_as_before_they_were_put_together(model_path, tmp_path):
    model = make("MixtralForCausalLM", tmp_path / "model", model_path)
    experts = {f"model.layers.{layer}.mlp.experts" for layer in (0, 1)}
    assert {place.removesuffix(".base_layer") for place in adapted(model, tmp_path, "w1", "w2", "w3")} == experts
    with pytest.raises(TrainerError, match="no module 'gate_proj'"):
        adapted(model, tmp_path, "q_proj", "gate_proj")
