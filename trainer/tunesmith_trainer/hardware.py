"""What the hardware is made to do: peak rates of GPUs, and what part of one the training makes use of."""

import re
import resource
import sys
from dataclasses import dataclass
from typing import Any

# Dense bf16, TFLOP/s, from NVIDIA's data sheets, by what the driver calls the GPU. A GPU that is not here has no
# utilisation: a guessed peak would make it a guess.
PEAK_TFLOPS: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(r"\bB200\b"), 2250.0),
    (re.compile(r"\bH200\b(?! NVL)"), 989.0),
    (re.compile(r"\bH100 PCIe\b"), 756.0),
    (re.compile(r"\bH100 NVL\b"), 835.0),
    (re.compile(r"\bH100 .*HBM3\b"), 989.0),
    (re.compile(r"\bA100[- ]"), 312.0),
    (re.compile(r"\bL40S\b"), 362.0),
)
TERA = 1e12


@dataclass(frozen=True)
class Work:
    """The arithmetic that one trained token asks of the model; recomputed activations do not count.

    Twice the parameters forward, as much back through the layers, as much again for gradients of trained weights; a
    reference model adds one forward pass. Attention over half of a row of `row_tokens` adds
    `2 * layers * attention_width * row_tokens` a pass.
    """

    parameters: int
    layers: int
    attention_width: int
    row_tokens: float
    trains_all: bool
    reference_pass: bool = False

    @property
    def flops_per_token(self) -> float:
        """Floating point operations."""
        passes = (3 if self.trains_all else 2) + self.reference_pass
        attention = 2 * self.layers * self.attention_width * self.row_tokens
        return passes * 2 * self.parameters + (3 + self.reference_pass) * attention


def peak_flops(gpu_name: str) -> float | None:
    """The bf16 peak of one GPU, floating point operations a second; None where it is not known."""
    found = next((tera for pattern, tera in PEAK_TFLOPS if pattern.search(gpu_name)), None)
    return None if found is None else found * TERA


def utilisation(work: Work, tokens_per_second_per_gpu: float, peak: float) -> float:
    """Which part of the GPU's peak the training reaches (model FLOP utilisation)."""
    return tokens_per_second_per_gpu * work.flops_per_token / peak


def work_of(model: Any, *, row_tokens: float, trains_all: bool, reference_pass: bool = False) -> Work | None:
    """The work of a loaded base model, before it is sharded; None when its configuration does not tell.

    Of experts only those that a token is sent to are counted.
    """
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    layers = getattr(config, "num_hidden_layers", None)
    if not heads or not layers:
        return None
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    share = _expert_share(config)
    every, experts = model.num_parameters(), _expert_parameters(model)
    if experts and share is None:
        return None
    active = every - experts + round(experts * (share or 0))
    return Work(active, layers, heads * head_size, row_tokens, trains_all, reference_pass)


def gpu_peak() -> float | None:
    """The bf16 peak of this process's GPU."""
    import torch

    return peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def memory_peak_bytes(on_gpu: bool) -> int:
    """The most memory that this process has held so far: on its GPU, as the allocator counts it, else resident."""
    if on_gpu:
        import torch

        return int(torch.cuda.max_memory_reserved())
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes if sys.platform == "darwin" else kibibytes * 1024


def _expert_share(config: Any) -> float | None:
    chosen = getattr(config, "num_experts_per_tok", None) or getattr(config, "experts_per_token", None)
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    every = next((count for name in names if (count := getattr(config, name, None))), None)
    return chosen / every if chosen and every else None


def _expert_parameters(model: Any) -> int:
    return sum(parameter.numel() for name, parameter in model.named_parameters() if ".experts." in name)
