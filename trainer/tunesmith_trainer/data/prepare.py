"""The prepare stage: a dataset file becomes an Arrow file of token ids, cached on the storage for all jobs.

Rows are streamed, so memory does not grow with the file. Rows with nothing to learn are dropped before packing, and
counted: packed first, they would make steps without a gradient (TRL keeps such packs).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from tunesmith_trainer.contract.messages import DatasetSaid
from tunesmith_trainer.data.arrow_rows import ArrowRows
from tunesmith_trainer.data.cache import SOURCE_COLUMN, Prepared, kept, key_of
from tunesmith_trainer.data.crew import Crew, crew_for
from tunesmith_trainer.data.encoded import Counts, encoded, nothing_to_learn
from tunesmith_trainer.data.encoding import Encoder, Tokenizer
from tunesmith_trainer.data.formats import DatasetFile
from tunesmith_trainer.data.masking import Labelled, MaskingRules
from tunesmith_trainer.data.packing import packed
from tunesmith_trainer.data.preference import Pair
from tunesmith_trainer.storage import sha256_of

__all__ = ["Prepared", "prepare"]

OnBytes = Callable[[int, int], None]
BYTES_BETWEEN_REPORTS = 8 << 20


def prepare(
    source: Path,
    tokenizer: Tokenizer,
    tokenizer_path: Path,
    rules: MaskingRules,
    *,
    packing: bool,
    cache: Path,
    on_bytes: OnBytes | None = None,
) -> Prepared:
    """Prepares one dataset file, or finds it prepared under `cache`.

    The rows have the columns `input_ids` and `labels`, packed ones `seq_lengths` too; for the method DPO `prompt_ids`,
    `chosen_ids` and `rejected_ids`, which are never packed. `source_rows` tells the lines that a row was made from.

    Args:
        on_bytes: told now and then how many bytes of the file are read, and how many it has.

    Raises:
        TrainerError: of class data, when the file is missing or broken, or no row has anything to learn from.
    """
    file = DatasetFile(source)
    rules = replace(rules, vocabulary=vocabulary_of(tokenizer_path))
    packing = packing and rules.method == "SFT"
    content = sha256_of(source)

    def make(directory_file: Path) -> DatasetSaid:
        with crew_for(file.bytes_total, Encoder(tokenizer), tokenizer_path, rules) as crew:
            said = _write(file, crew, rules, directory_file, packing=packing, on_bytes=on_bytes)
        return said.model_copy(update={"sha256": content})

    return kept(cache, key_of(content, tokenizer_path, rules, packing), make)


def vocabulary_of(model: Path) -> int | None:
    """How many token ids the model of a directory has embeddings for; None when its configuration does not say."""
    try:
        described = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    for part in (described, described.get("text_config") or {}):
        if isinstance(size := part.get("vocab_size"), int):
            return size
    return None


def _write(
    file: DatasetFile,
    crew: Crew,
    rules: MaskingRules,
    target: Path,
    *,
    packing: bool,
    on_bytes: OnBytes | None,
) -> DatasetSaid:
    counts = Counts()
    rows = _told(encoded(file, crew, counts, method=rules.method), file, on_bytes)
    if rules.method == "DPO":
        _write_pairs(rows, target)
    else:
        _write_examples(rows, target, rules.context_length, packing=packing)
    if counts.trained == 0:
        raise nothing_to_learn(file.path.name, counts)
    return DatasetSaid(
        format=file.format.name if file.format else None,
        rows=counts.rows,
        trained=counts.trained,
        truncated=counts.truncated,
        tokens=counts.tokens,
        dropped=dict(sorted(counts.dropped.items())),
    )


def _write_pairs(rows: Iterable[Labelled | Pair], target: Path) -> None:
    with ArrowRows(target, ("prompt_ids", "chosen_ids", "rejected_ids", SOURCE_COLUMN)) as file:
        for row in rows:
            if isinstance(row, Pair):
                file.add(
                    {
                        "prompt_ids": row.prompt_ids,
                        "chosen_ids": row.chosen_ids,
                        "rejected_ids": row.rejected_ids,
                        SOURCE_COLUMN: [row.number],
                    }
                )


def _write_examples(rows: Iterable[Labelled | Pair], target: Path, context_length: int, *, packing: bool) -> None:
    examples = (row for row in rows if isinstance(row, Labelled))
    if not packing:
        with ArrowRows(target, ("input_ids", "labels", SOURCE_COLUMN)) as file:
            for row in examples:
                file.add({"input_ids": row.input_ids, "labels": row.labels, SOURCE_COLUMN: [row.number]})
        return
    compact = (row.compact() for row in examples)
    with ArrowRows(target, ("input_ids", "labels", "seq_lengths", SOURCE_COLUMN)) as file:
        for pack in packed(compact, context_length):
            file.add(
                {
                    "input_ids": list(chain.from_iterable(row.input_ids for row in pack)),
                    "labels": list(chain.from_iterable(row.labels for row in pack)),
                    "seq_lengths": [row.tokens for row in pack],
                    SOURCE_COLUMN: [row.number for row in pack],
                }
            )


def _told(rows: Iterable[Labelled | Pair], file: DatasetFile, on_bytes: OnBytes | None) -> Iterator[Labelled | Pair]:
    last = 0
    for row in rows:
        if on_bytes is not None and file.bytes_read - last >= BYTES_BETWEEN_REPORTS:
            last = file.bytes_read
            on_bytes(last, file.bytes_total)
        yield row
