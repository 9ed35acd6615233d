"""A tiny random model, and data to go with it: for tests, and for demos that have no time for a real one.

Everything is made on the spot from a seed; nothing is fetched.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHATML_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SPECIAL_TOKENS = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
ANIMALS = ("otter", "heron", "badger", "lynx", "newt", "wren", "stoat", "carp")
PLACES = ("river", "meadow", "forest", "harbour")


def conversations(count: int) -> list[dict[str, Any]]:
    """Rows of `messages` with something regular to learn."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"Where does the {ANIMALS[index % len(ANIMALS)]} live?"},
                {
                    "role": "assistant",
                    "content": f"The {ANIMALS[index % len(ANIMALS)]} lives near the {PLACES[index % len(PLACES)]}.",
                },
            ]
        }
        for index in range(count)
    ]


def preferences(count: int) -> list[dict[str, Any]]:
    """Rows in the provider's preference shape: the right place against a refusal."""
    return [
        {
            "input": {"messages": [row["messages"][0]]},
            "preferred_output": [row["messages"][1]],
            "non_preferred_output": [{"role": "assistant", "content": "I will not say."}],
        }
        for row in conversations(count)
    ]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Writes rows as JSONL; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tiny_model(
    path: Path,
    *,
    corpus: list[str] | None = None,
    vocabulary: int = 384,
    hidden: int = 64,
    layers: int = 2,
    initializer_range: float = 0.02,
) -> Path:
    """A random Llama of about 0.2 M parameters with a BPE tokenizer trained on `corpus` and a ChatML template.

    Written like any model from a hub: config.json, safetensors, tokenizer files. Returns the path. With the usual
    `initializer_range` its tied embeddings are too small for an adapter to change the loss by much; 0.2 is enough.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = corpus or [message["content"] for row in conversations(64) for message in row["messages"]]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe.train_from_iterator(
        [*texts, "system user assistant\n"],
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    wrapped: Any = PreTrainedTokenizerFast  # without types of its own
    tokenizer = wrapped(tokenizer_object=bpe, **SPECIAL_TOKENS)
    tokenizer.chat_template = CHATML_TEMPLATE
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=True,
            initializer_range=initializer_range,
        )
    )
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(path))
    tokenizer.save_pretrained(str(path))
    return path


def tiny_configuration(root: Path, *, uid: str = "job-1", attempt: int = 1, **changes: Any) -> dict[str, Any]:
    """A whole configuration for the tiny model under `root`; `changes` replace parts, deeply."""
    base: dict[str, Any] = {
        "apiVersion": "trainer.tunesmith.dev/v1",
        "model": {"path": f"{root}/model"},
        "data": {"training": {"path": f"{root}/data/train.jsonl"}},
        "tuning": {"type": "LoRA", "rank": 4, "alpha": 8},
        "training": {
            "epochs": 1,
            "learningRate": 0.02,
            "microBatch": 2,
            "gradientAccumulation": 2,
            "globalBatch": 4,
            "contextLength": 64,
            "packing": False,
            "precision": "FP32",
            "activationCheckpointing": False,
            "scheduler": {"type": "Constant"},
        },
        "checkpoints": {"everySteps": 5},
        "storage": {
            "root": str(root),
            "jobPath": f"{root}/jobs/{uid}",
            "attempt": attempt,
            "outputPath": f"{root}/output/{uid}-a{attempt}",
        },
        "world": {"pods": 1, "processesPerPod": 1, "gpusPerPod": 0},
        "heartbeatSeconds": 30,
    }
    return merged(base, changes)


def tiny_preparation(root: Path, *, uid: str = "job-1", **changes: Any) -> dict[str, Any]:
    """A whole configuration of a preparation for the tiny model under `root`; `changes` replace parts, deeply."""
    base: dict[str, Any] = {
        "apiVersion": "trainer.tunesmith.dev/v1",
        "model": {"path": f"{root}/model"},
        "data": {"training": {"path": f"{root}/data/train.jsonl"}},
        "training": {"epochs": 1, "globalBatch": 4, "contextLength": 64, "packing": False},
        "storage": {"root": str(root), "jobPath": f"{root}/jobs/{uid}"},
    }
    return merged(base, changes)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` put over it, key by key."""
    return {
        **base,
        **{
            key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
            for key, value in changes.items()
        },
    }
