"""Which files of a dataset repository are a subset's split: as its README says, else by the Hub's naming conventions.

Only files of the repository's revision: loading scripts are code and are not run; the Hub's own conversion to Parquet
is the revision `refs/convert/parquet`, and can be asked for as such.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import yaml

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

README = "README.md"
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")
DEFAULT_SUBSET = "default"
# The Hub's words for the splits; https://huggingface.co/docs/hub/datasets-file-names-and-splits
SPLIT_WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}


def files_of(
    repo: str, names: Iterable[str], readme: str, *, subset: str | None, splits: tuple[str, ...]
) -> tuple[str, ...]:
    """The files of the first of `splits` that the subset has, in order.

    Args:
        names: all files of the repository.
        readme: the text of its README, empty when it has none.
        splits: one that was asked for, or several in order of preference.

    Raises:
        TrainerError: of class data, with the subsets or splits that there are.
    """
    usable = sorted(name for name in names if name.endswith(SUFFIXES) and not name.startswith("."))
    configs = _configs(readme)
    by_split = _declared(repo, configs, usable, subset) if configs else _conventional(repo, usable, subset)
    for split in splits:
        if found := by_split.get(split):
            return _of_one_kind(repo, split, found)
    raise _data_error(
        repo,
        f"has no split '{splits[0]}'{f' in its subset {subset!r}' if subset else ''}; it has "
        f"{', '.join(sorted(by_split)) or 'no files that can be read'}. Files are read as {', '.join(SUFFIXES)}; "
        "loading scripts are not run: for such a repository, ask for the revision 'refs/convert/parquet'.",
    )


def _configs(readme: str) -> list[dict[str, Any]]:
    """The `configs` of the README's head that name files."""
    head = re.match(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", readme, re.DOTALL)
    if head is None:
        return []
    try:
        said = yaml.safe_load(head[1])
    except yaml.YAMLError:
        return []
    configs = said.get("configs") if isinstance(said, dict) else None
    return [config for config in configs or [] if isinstance(config, dict) and config.get("data_files")]


def _declared(
    repo: str, configs: list[dict[str, Any]], usable: list[str], subset: str | None
) -> dict[str, tuple[str, ...]]:
    named = {str(config.get("config_name", DEFAULT_SUBSET)): config for config in configs}
    default = next((name for name, config in named.items() if config.get("default")), DEFAULT_SUBSET)
    chosen = subset or (default if default in named else next(iter(named)) if len(named) == 1 else None)
    if chosen not in named:
        asked = f"has no subset '{subset}'" if subset else "has several subsets and none is its default"
        raise _data_error(repo, f"{asked}; its subsets are {', '.join(sorted(named)[:20])}.")
    config = named[chosen]
    data_dir, data_files = str(config.get("data_dir") or "").strip("/"), config["data_files"]
    if not isinstance(data_files, list) or not all(isinstance(entry, dict) for entry in data_files):
        data_files = [{"split": "train", "path": data_files}] if not isinstance(data_files, dict) else [
            {"split": split, "path": path} for split, path in data_files.items()
        ]  # fmt: skip
    by_split: dict[str, tuple[str, ...]] = {}
    for entry in data_files:
        paths = entry.get("path") or []
        patterns = [paths] if isinstance(paths, str) else [str(path) for path in paths]
        found = tuple(
            name
            for name in usable
            if any(_matches(name, f"{data_dir}/{pattern}" if data_dir else pattern) for pattern in patterns)
        )
        by_split[str(entry.get("split", "train"))] = found
    return {split: found for split, found in by_split.items() if found}


def _conventional(repo: str, usable: list[str], subset: str | None) -> dict[str, tuple[str, ...]]:
    if subset is not None and subset != DEFAULT_SUBSET:
        inside = [name for name in usable if name.startswith((f"{subset}/", f"data/{subset}/"))]
        if not inside:
            directories = sorted({name.split("/")[0] for name in usable if "/" in name})
            raise _data_error(
                repo, f"has no subset '{subset}': its README declares none, and its directories are {directories[:20]}."
            )
        usable = inside
    by_split: dict[str, list[str]] = {}
    for name in usable:
        by_split.setdefault(_split_of(name) or "", []).append(name)
    unnamed = by_split.pop("", [])
    if unnamed and not by_split:
        # No file names a split: then all of them are what is learnt.
        by_split["train"] = unnamed
    return {split: tuple(found) for split, found in by_split.items()}


def _split_of(name: str) -> str | None:
    """The split that a path names, the file's own name first."""
    for part in reversed(name.split("/")):
        words = set(re.split(r"[^a-z0-9]+", part.lower()))
        for split, known in SPLIT_WORDS.items():
            if words & set(known):
                return split
    return None


def _matches(name: str, pattern: str) -> bool:
    """Whether a glob names the file; `**` stands for any directories, also none, and `*` for no slash."""
    pattern = pattern.removeprefix("./")
    parts, names = pattern.split("/"), name.split("/")
    return _parts_match(parts, names)


def _parts_match(patterns: list[str], names: list[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(_parts_match(patterns[1:], names[start:]) for start in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], patterns[0]) and _parts_match(patterns[1:], names[1:])


def _of_one_kind(repo: str, split: str, found: tuple[str, ...]) -> tuple[str, ...]:
    kinds = {kind_of(name) for name in found}
    if len(kinds) > 1:
        raise _data_error(repo, f"has files of several kinds in its split '{split}' ({', '.join(sorted(kinds))}).")
    return found


def kind_of(name: str) -> str:
    """parquet, jsonl or jsonl.gz. The Hub's `.json` holds lines as a rule; whether it does, the reader tells."""
    if name.endswith(".parquet"):
        return "parquet"
    return "jsonl.gz" if name.endswith(".gz") else "jsonl"


def _data_error(repo: str, what: str) -> TrainerError:
    return TrainerError(ErrorClass.DATA, f"The dataset repository '{repo}' {what}")
