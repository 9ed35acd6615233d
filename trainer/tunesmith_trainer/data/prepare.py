"""The prepare stage: a dataset file becomes an Arrow file of token ids, cached on the storage for all jobs.

Rows are streamed, so memory does not grow with the file. Rows with nothing to learn are dropped before packing, and
counted: packed first, they would make steps without a gradient (TRL keeps such packs).
"""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from tunesmith_trainer.contract.messages import DatasetSaid
from tunesmith_trainer.data.arrow_rows import ArrowRows
from tunesmith_trainer.data.cache import Prepared, kept, key_of
from tunesmith_trainer.data.encoding import Dropped, DropReason, Encoder, Tokenizer
from tunesmith_trainer.data.faults import BadRow, Fault, data_error, refuse
from tunesmith_trainer.data.formats import DatasetFile, OnFault
from tunesmith_trainer.data.masking import Labelled, MaskingRules, label
from tunesmith_trainer.data.packing import packed
from tunesmith_trainer.data.preference import Pair, pair
from tunesmith_trainer.data.rows import PreferenceTalk, PreferenceText, Row
from tunesmith_trainer.exit_codes import TrainerError

__all__ = ["Prepared", "prepare"]

OnBytes = Callable[[int, int], None]
BYTES_BETWEEN_REPORTS = 8 << 20
ADVICE: Mapping[DropReason, str] = {
    "noTrainableTokens": "the answers lie beyond the context length, or are masked; lengthen the context or set "
    "trainOnInputs.",
    "unstableTemplate": "the model's chat template renders earlier turns otherwise when later ones follow; set "
    "onUnstableTemplate to TrainWhole to learn such rows whole.",
    "templateRefused": "the model's chat template refuses the rows, such as for their roles; change the rows or the "
    "template.",
    "templateWithoutTools": "the model's chat template leaves tools out; take a model that was made for tools.",
    "identicalAnswers": "both answers are the same as far as the context reaches; there is nothing to prefer.",
}


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
    `chosen_ids` and `rejected_ids`, which are never packed.

    Args:
        on_bytes: told now and then how many bytes of the file are read, and how many it has.

    Raises:
        TrainerError: of class data, when the file is missing or broken, or no row has anything to learn from.
    """
    file = DatasetFile(source)
    rules = replace(rules, vocabulary=vocabulary_of(tokenizer_path))
    packing = packing and rules.method == "SFT"

    def make(directory_file: Path) -> DatasetSaid:
        return _write(file, Encoder(tokenizer), rules, directory_file, packing=packing, on_bytes=on_bytes)

    return kept(cache, key_of(source, tokenizer_path, rules, packing), make)


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


@dataclass
class Counts:
    """What became of the rows so far."""

    rows: int = 0
    trained: int = 0
    truncated: int = 0
    tokens: int = 0
    dropped: Counter[DropReason] = field(default_factory=Counter)


def encoded(
    file: DatasetFile, encoder: Encoder, rules: MaskingRules, counts: Counts, on_fault: OnFault = refuse
) -> Iterator[Labelled | Pair]:
    """The rows of a file that teach something, counted; `on_fault` gets those that are broken."""
    for read in file.read(rules.method, on_fault):
        counts.rows += 1
        try:
            ready = _ready(read.row, encoder, rules)
        except Dropped as dropped:
            counts.dropped[dropped.reason] += 1
            continue
        except BadRow as bad:
            on_fault(Fault.of(read.place, bad))
            continue
        counts.trained += 1
        counts.truncated += ready.truncated
        counts.tokens += ready.tokens
        yield ready


def _ready(row: Row, encoder: Encoder, rules: MaskingRules) -> Labelled | Pair:
    if isinstance(row, PreferenceTalk | PreferenceText):
        return pair(row, encoder, rules)
    return label(row, encoder, rules)


def _write(
    file: DatasetFile,
    encoder: Encoder,
    rules: MaskingRules,
    target: Path,
    *,
    packing: bool,
    on_bytes: OnBytes | None,
) -> DatasetSaid:
    counts = Counts()
    rows = _told(encoded(file, encoder, rules, counts), file, on_bytes)
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


def nothing_to_learn(name: str, counts: Counts) -> TrainerError:
    """The error of a file whose every row was dropped."""
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.dropped.items()))
    advice = " ".join(f"{reason}: {ADVICE[reason]}" for reason in sorted(counts.dropped))
    return data_error(f"None of the {counts.rows} rows of '{name}' has anything to learn from ({reasons}). {advice}")


def _write_pairs(rows: Iterable[Labelled | Pair], target: Path) -> None:
    with ArrowRows(target, ("prompt_ids", "chosen_ids", "rejected_ids")) as file:
        for row in rows:
            if isinstance(row, Pair):
                file.add({"prompt_ids": row.prompt_ids, "chosen_ids": row.chosen_ids, "rejected_ids": row.rejected_ids})


def _write_examples(rows: Iterable[Labelled | Pair], target: Path, context_length: int, *, packing: bool) -> None:
    examples = (row for row in rows if isinstance(row, Labelled))
    if not packing:
        with ArrowRows(target, ("input_ids", "labels")) as file:
            for row in examples:
                file.add({"input_ids": row.input_ids, "labels": row.labels})
        return
    compact = (Labelled(array("i", row.input_ids), array("i", row.labels), row.truncated) for row in examples)
    with ArrowRows(target, ("input_ids", "labels", "seq_lengths")) as file:
        for pack in packed(compact, context_length):
            file.add(
                {
                    "input_ids": list(chain.from_iterable(row.input_ids for row in pack)),
                    "labels": list(chain.from_iterable(row.labels for row in pack)),
                    "seq_lengths": [row.tokens for row in pack],
                }
            )


def _told(rows: Iterable[Labelled | Pair], file: DatasetFile, on_bytes: OnBytes | None) -> Iterator[Labelled | Pair]:
    last = 0
    for row in rows:
        if on_bytes is not None and file.bytes_read - last >= BYTES_BETWEEN_REPORTS:
            last = file.bytes_read
            on_bytes(last, file.bytes_total)
        yield row
