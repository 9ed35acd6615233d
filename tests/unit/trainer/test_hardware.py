"""Model FLOP utilisation: the formula against published figures, and what is not known is not guessed."""

from types import SimpleNamespace

import pytest

from tunesmith_trainer.hardware import Work, memory_peak_bytes, peak_flops, utilisation, work_of

LLAMA_8B = {"parameters": 8_030_000_000, "layers": 32, "attention_width": 4096}


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA B200", 2250),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L40S", 362),
    ],
)
def test_the_peak_of_a_gpu_is_read_off_its_name(name, tera):
    assert peak_flops(name) == tera * 1e12


@pytest.mark.parametrize("name", ["NVIDIA H20", "NVIDIA GeForce RTX 4090", "NVIDIA GB200", "Tesla V100-SXM2-32GB"])
def test_a_gpu_that_is_not_in_the_table_has_no_peak(name):
    assert peak_flops(name) is None


def test_a_published_run_comes_out_as_published():
    # NeMo AutoModel, Llama 3 8B, LoRA, one H100: 12,473 tokens/s at 402 model TFLOP/s, attention not counted.
    work = Work(**LLAMA_8B, row_tokens=0, trains_all=False)
    assert 12_473 * work.flops_per_token == pytest.approx(402e12, rel=0.01)
    assert utilisation(work, 12_473, 989e12) == pytest.approx(402 / 989, abs=0.01)


def test_attention_over_half_of_a_row_is_counted_in_three_passes():
    without = Work(**LLAMA_8B, row_tokens=0, trains_all=False).flops_per_token
    with_rows = Work(**LLAMA_8B, row_tokens=4096, trains_all=False).flops_per_token
    assert with_rows - without == 12 * 32 * 4096 * 4096 / 2


def test_full_training_and_a_reference_model_ask_for_more():
    lora = Work(**LLAMA_8B, row_tokens=0, trains_all=False).flops_per_token
    full = Work(**LLAMA_8B, row_tokens=0, trains_all=True).flops_per_token
    pairs = Work(**LLAMA_8B, row_tokens=0, trains_all=False, reference_pass=True).flops_per_token
    assert (full / lora, pairs / lora) == (1.5, 1.5)


class FakeModel:
    """As much of a model as the count asks for."""

    def __init__(self, parameters, **config):
        self._parameters = parameters
        text = SimpleNamespace(hidden_size=64, num_attention_heads=4, num_hidden_layers=2, **config)
        self.config = SimpleNamespace(get_text_config=lambda: text)

    def num_parameters(self):
        return sum(self._parameters.values())

    def named_parameters(self):
        return [(name, SimpleNamespace(numel=lambda count=count: count)) for name, count in self._parameters.items()]


EXPERTS = {"embed": 1000, "layers.0.mlp.experts.gate_up_proj": 8000}


def test_of_experts_only_those_that_a_token_meets_are_counted():
    model = FakeModel(EXPERTS, num_experts=8, num_experts_per_tok=2)
    assert work_of(model, row_tokens=10, trains_all=False).parameters == 3000


def test_experts_whose_number_is_not_told_leave_the_work_unknown():
    assert work_of(FakeModel(EXPERTS), row_tokens=10, trains_all=False) is None


def test_the_width_of_attention_follows_the_heads():
    assert work_of(FakeModel({"w": 10}, head_dim=32), row_tokens=1, trains_all=True).attention_width == 128
    assert work_of(FakeModel({"w": 10}), row_tokens=1, trains_all=True).attention_width == 64


def test_a_process_without_a_gpu_tells_its_resident_memory():
    assert 1 << 20 < memory_peak_bytes(on_gpu=False) < 1 << 40
