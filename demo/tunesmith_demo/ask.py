"""Asks the base model and the tuned one the same question and prints both answers as one JSON line.

Run in a pod beside the volume: `python -m tunesmith_demo.ask --base DIR --adapter DIR --question TEXT`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

MARK = "TUNESMITH-ANSWERS "
NEW_TOKENS = 48


@click.command()
@click.option("--base", type=click.Path(path_type=Path), required=True, help="Directory of the base model.")
@click.option("--adapter", type=click.Path(path_type=Path), required=True, help="Directory of the trained adapter.")
@click.option("--question", required=True, help="What both models are asked.")
def main(base: Path, adapter: Path, question: str) -> None:
    """Print `TUNESMITH-ANSWERS {"base": ..., "tuned": ...}`."""
    # Only here: who wants the mark alone need not wait for torch.
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    answers = {"base": answer(model, tokenizer, question)}
    answers["tuned"] = answer(PeftModel.from_pretrained(model, str(adapter)), tokenizer, question)
    print(MARK + json.dumps(answers), flush=True)


def answer(model: Any, tokenizer: Any, question: str) -> str:
    """The model's greedy answer to one question in the tokenizer's chat template."""
    import torch

    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        written = model.generate(**prompt, max_new_tokens=NEW_TOKENS, do_sample=False)
    text = tokenizer.decode(written[0][prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    return " ".join(str(text).split())


if __name__ == "__main__":
    main()
