"""Models of random weights in the shape of real ones, and what the memory formula says of them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LLAMA_8B = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
}  # fmt: skip
# Of `testing.conversations` under the tiny model's template, rounded down.
TOKENS_OF_A_CONVERSATION = 20


@dataclass(frozen=True)
class Shape:
    """Changes to the 8 B shape, tokens of a row, and rows at once."""

    name: str
    context_length: int
    rows: int
    changes: dict[str, Any] = field(default_factory=dict)


FIVE = (
    Shape("8 layers, 4096 x 1", 4096, 1, {"num_hidden_layers": 8}),
    Shape("16 layers, 4096 x 2", 4096, 2, {"num_hidden_layers": 16}),
    Shape("32 layers, 4096 x 1", 4096, 1),
    Shape("32 layers, 8192 x 2", 8192, 2),
    Shape(
        "16 layers 2048 wide, 16384 x 2",
        16384,
        2,
        {"num_hidden_layers": 16, "hidden_size": 2048, "intermediate_size": 8192},
    ),
)


def conversations_for(tokens: int) -> int:
    """How many conversations are at least so many tokens."""
    return -(-tokens // TOKENS_OF_A_CONVERSATION)


def random_model(path: Path, **changes: Any) -> Path:
    """A Llama of random bf16 weights with the tiny model's tokenizer: the arithmetic of a real one."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tunesmith_trainer.testing import tiny_model

    tokenizer = AutoTokenizer.from_pretrained(tiny_model(path.with_name(f"{path.name}-tokenizer")))
    shape = LLAMA_8B | changes | {"max_position_embeddings": 131072}
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = LlamaForCausalLM(
                LlamaConfig(**shape, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
            )
    finally:
        torch.set_default_dtype(torch.float32)
    model.cpu().save_pretrained(str(path))
    tokenizer.save_pretrained(str(path))
    return path


def predicted_bytes(model: Path, context_length: int, rows: int) -> float:
    """The operator's own estimate of the peak on one GPU, LoRA on all linear layers."""
    from tunesmith.catalog.config_json import shape_of_config
    from tunesmith.planning.memory.fit import Layout, terms_of
    from tunesmith.planning.memory.terms import Sharding
    from tunesmith.planning.memory.work import Work

    work = Work(shape_of_config(json.loads((model / "config.json").read_text())), context_length)
    return terms_of(work, Layout(Sharding.NONE, 1, rows), rows).total
