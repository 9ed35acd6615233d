"""Which files of a model repository are the model: safetensors, tokenizer and configuration, and nothing that is code.

What cannot be trained is refused before its weights are fetched, by what its small files say.
"""

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tunesmith_trainer.contract.preparation import FetchModel
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch.depot import Depot, Item, Manifest, Order
from tunesmith_trainer.fetch.hub import Hub, RepositoryAt, endpoint_of, is_commit
from tunesmith_trainer.fetch.secrets import Secrets
from tunesmith_trainer.fetch.transfer import Conditions, transfer
from tunesmith_trainer.fetch.web import Web
from tunesmith_trainer.refused_architectures import ensure_described_trains
from tunesmith_trainer.stored_numbers import ensure_readable

CONFIG = "config.json"
ONE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
BESIDE_WEIGHTS = (
    CONFIG, "generation_config.json", INDEX, "*tokenizer*.json", "*tokenizer.model*", "tokenizer*", "spiece.model",
    "sentencepiece*.model", "tekken.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
    "merges.txt", "chat_template.json", "*.jinja", "processor_config.json", "preprocessor_config.json", "LICENSE*",
)  # fmt: skip
OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.msgpack", "*.h5", "*.onnx", "*.safetensors")
NEVER = ("*.py", "*.bin", "*.pt", "*.pth", "*.pkl")


def bring_model(
    wanted: FetchModel, root: Path, secrets: Secrets, web: Web, depot: Depot, *, quantise_again: bool = False
) -> tuple[Path, Manifest]:
    """The model's directory `<root>/weights/<repo with / as -->/<commit>`, complete.

    Args:
        quantise_again: the job wants the base in four bits, which is refused of weights that are quantised already.

    Raises:
        TrainerError: of class model when the repository cannot be trained from; else see `transfer` and `Hub.at`.
    """
    source = wanted.hugging_face
    place = root / "weights" / source.repo.replace("/", "--")
    if is_commit(source.revision):
        # A commit's content never changes: what lies here needs no asking, and no network.
        found = depot.opened(place / str(source.revision))
        if found is not None:
            return place / str(source.revision), found
    hub = Hub(web, endpoint_of(source.endpoint), secrets.token("model"), depot.conditions)
    repository = hub.at("model", source.repo, source.revision)
    order = Order(
        directory=place / repository.commit,
        origin=f"{source.repo}@{repository.commit}",
        items=lambda partial: items(
            repository, hub, partial, depot.conditions, wanted.max_parameters, quantise_again=quantise_again
        ),
        revision=repository.commit,
    )
    manifest = depot.bring(order)
    if wanted.max_parameters is not None:
        counted = parameters_of(order.directory)
        if counted > wanted.max_parameters:
            raise too_large(source.repo, counted, wanted.max_parameters)
    return order.directory, manifest


def items(
    repository: RepositoryAt,
    hub: Hub,
    partial: Path,
    conditions: Conditions,
    max_parameters: int | None,
    *,
    quantise_again: bool,
) -> Sequence[Item]:
    """What to fetch; the configuration and the list of shards come first, and are judged.

    Raises:
        TrainerError: of class model, with the reason why the repository cannot be trained from.
    """
    if CONFIG not in repository.files:
        has_adapter = "adapter_config.json" in repository.files
        what = "only an adapter (adapter_config.json): fetch its base model" if has_adapter else "no config.json"
        raise _unfit(repository, f"it has {what}")
    _ensure_safetensors(repository)
    config = _now(CONFIG, repository, hub, partial, conditions)
    _ensure_known(repository, config)
    ensure_described_trains(config)
    ensure_readable(config, f"'{repository.repo}'", quantise_again=quantise_again)
    weights: list[str] = [ONE_FILE]
    counted = repository.parameters
    if INDEX in repository.files:
        index = _now(INDEX, repository, hub, partial, conditions)
        weights = _shards(repository, index)
        counted = counted or index.get("metadata", {}).get("total_parameters")
    if max_parameters is not None and counted is not None and counted > max_parameters:
        raise too_large(repository.repo, counted, max_parameters)
    beside = [name for name in repository.files if _is_beside(name)]
    return [Item(name, hub.file(repository, name), repository.files[name]) for name in sorted({*beside, *weights})]


def parameters_of(directory: Path) -> int:
    """Parameters of a model on the storage, by the headers of its safetensors files."""
    from safetensors import safe_open

    count = 0
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(str(path), framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  the library's file is no mapping
                size = 1
                for length in file.get_slice(name).get_shape():
                    size *= length
                count += size
    return count


def too_large(repo: str, parameters: int, max_parameters: int) -> TrainerError:
    """What to say about a model with too many parameters."""
    return TrainerError(
        ErrorClass.MODEL,
        f"The model '{repo}' has {parameters / 1e9:.1f} billion parameters; at most {max_parameters / 1e9:.0f} billion "
        "are trained. Choose a smaller model.",
    )


def _now(name: str, repository: RepositoryAt, hub: Hub, partial: Path, conditions: Conditions) -> dict[str, Any]:
    target = partial / name
    if not target.is_file():
        transfer(hub.file(repository, name), repository.files[name], target, conditions)
    try:
        content = json.loads(target.read_bytes())
    except ValueError as error:
        raise _unfit(repository, f"its {name} is no JSON") from error
    if not isinstance(content, dict):
        raise _unfit(repository, f"its {name} is no JSON object")
    return content


def _ensure_safetensors(repository: RepositoryAt) -> None:
    if {ONE_FILE, INDEX} & repository.files.keys():
        return
    others = sorted(name for name in repository.files if any(fnmatchcase(name, kind) for kind in OTHER_WEIGHTS))
    has = f"it has {', '.join(others[:5])}" if others else "it has no weights at all"
    raise _unfit(
        repository,
        f"it has no weights in safetensors under the names of transformers ({ONE_FILE}, {INDEX}); {has}. Pickled "
        "weights can run code and are never loaded: convert them (save_pretrained), or take a repository that did",
    )


def _ensure_known(repository: RepositoryAt, config: dict[str, Any]) -> None:
    from transformers import CONFIG_MAPPING

    kind = config.get("model_type")
    if kind in CONFIG_MAPPING:
        return
    if "auto_map" in config:
        raise _unfit(
            repository, f"its architecture '{kind}' comes with code of its own ({config['auto_map']}), which is not run"
        )
    raise _unfit(repository, f"its architecture '{kind}' is not known to the trainer's version of transformers")


def _shards(repository: RepositoryAt, index: dict[str, Any]) -> list[str]:
    shards = sorted(set(index.get("weight_map", {}).values()))
    missing = [name for name in shards if name not in repository.files or not name.endswith(".safetensors")]
    if missing or not shards:
        raise _unfit(repository, f"its {INDEX} names {', '.join(missing[:3]) or 'no files'}, which it does not have")
    return shards


def _is_beside(name: str) -> bool:
    if "/" in name:
        # A tokenizer may have further chat templates; everything else below is another form of the model.
        return name.startswith("additional_chat_templates/") and name.endswith(".jinja")
    if any(fnmatchcase(name, kind) for kind in NEVER):
        return False
    return any(fnmatchcase(name, kind) for kind in BESIDE_WEIGHTS)


def _unfit(repository: RepositoryAt, why: str) -> TrainerError:
    return TrainerError(
        ErrorClass.MODEL, f"The model repository '{repository.repo}' at {repository.commit} cannot be used: {why}."
    )
