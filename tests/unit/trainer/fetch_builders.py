"""What the tests of fetching share: a storage, a configuration, and one call that fetches."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith_trainer.contract import PrepareConfiguration
from tunesmith_trainer.fetch.secrets import Secrets
from tunesmith_trainer.fetch.stage import FetchedParts, Said, fetch
from tunesmith_trainer.fetch.transfer import Patience
from tunesmith_trainer.locks import Rhythm
from tunesmith_trainer.testing import tiny_preparation

IMPATIENT = Patience(connect_seconds=2, read_seconds=0.3, tries=3, first_wait_seconds=0.01, longest_wait_seconds=0.02)
QUICK = Rhythm(touch_seconds=0.02, stale_seconds=0.5, look_seconds=0.02)

WEIGHTS = bytes(range(256)) * 20_000  # 5 MB: several blocks
CONFIG = json.dumps({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}).encode()


def model_files(**others: bytes) -> dict[str, bytes]:
    return {
        "config.json": CONFIG,
        "model.safetensors": WEIGHTS,
        "tokenizer.json": b"{}",
        "generation_config.json": b"{}",
        **others,
    }


@dataclass
class Heard:
    """What a fetch said."""

    bytes: list[tuple[int, int, float | None]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def said(self) -> Said:
        return Said(lambda *counts: self.bytes.append(counts), self.words.append)


def a_preparation(
    root: Path, *, model=None, training=None, validation=None, tuning=None, uid="job-1"
) -> PrepareConfiguration:
    datasets = {role: source for role, source in (("training", training), ("validation", validation)) if source}
    changes = {"fetch": {"datasets": datasets}, **({"data": {"training": None}} if training else {})}
    if model:
        changes["fetch"]["model"] = {"type": "HuggingFace", "huggingFace": model}
        changes["model"] = None
    if tuning:
        changes["tuning"] = tuning
    return PrepareConfiguration.model_validate(tiny_preparation(root, uid=uid, **changes))


def fetched(
    root: Path, *, secrets=None, heard=None, stop=lambda: False, patience=IMPATIENT, rhythm=QUICK, **sources
) -> FetchedParts:
    return fetch(
        a_preparation(root, **sources),
        Secrets(secrets or {}),
        (heard or Heard()).said,
        stop,
        patience=patience,
        rhythm=rhythm,
    )


def web_file(url: str, sha256: str | None = None):
    return {"type": "HTTP", "http": {"url": url, **({"sha256": sha256} if sha256 else {})}}


def an_object(endpoint: str, key: str, bucket: str = "bucket"):
    return {"type": "S3", "s3": {"endpoint": endpoint, "bucket": bucket, "key": key}}


def a_hub_dataset(repo: str, endpoint: str, **more: str):
    return {"type": "HuggingFace", "huggingFace": {"repo": repo, "endpoint": endpoint, **more}}
