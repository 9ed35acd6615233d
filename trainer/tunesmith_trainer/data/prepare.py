"""The prepare stage: a dataset file becomes an Arrow file of token ids and labels, cached on the job's storage.

Rows are streamed, so memory does not grow with the file. Rows with nothing to learn are dropped before packing, and
counted: packed first, they would make steps without a gradient (TRL keeps such packs).
"""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_trainer import __version__
from tunesmith_trainer.contract.messages import DatasetSaid
from tunesmith_trainer.data.formats import read_rows
from tunesmith_trainer.data.masking import Dropped, Labelled, MaskingRules, Tokenizer, label
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.storage import sha256_of, write_whole

ROWS_PER_BATCH = 1000
ROWS_FILE = "rows.arrow"
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class Prepared:
    """A prepared file on the storage: `rows` in Arrow's stream format, columns `input_ids` and `labels`, packed ones
    with `seq_lengths` too."""

    rows: Path
    summary: DatasetSaid


def prepare(
    source: Path, tokenizer: Tokenizer, tokenizer_path: Path, rules: MaskingRules, *, packing: bool, cache: Path
) -> Prepared:
    """Prepares one dataset file, or finds it prepared under `cache`.

    Raises:
        TrainerError: of class data, when the file is missing or broken, or no row has anything to learn from.
    """
    if not source.is_file():
        next(iter(read_rows(source)))
    directory = cache / _key(source, tokenizer_path, rules, packing)
    if (directory / SUMMARY_FILE).is_file():
        return _opened(directory)
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=cache))
    try:
        _fill(partial, source, tokenizer, rules, packing=packing)
        # An attempt that has been superseded may prepare the same at the same time: whoever comes first is as good.
        if not directory.exists():
            partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _opened(directory)


def _fill(partial: Path, source: Path, tokenizer: Tokenizer, rules: MaskingRules, *, packing: bool) -> None:
    summary = _write_rows(source, tokenizer, rules, partial / "unpacked.arrow")
    if packing:
        _pack(partial / "unpacked.arrow", partial / ROWS_FILE, rules.context_length)
    else:
        (partial / "unpacked.arrow").rename(partial / ROWS_FILE)
    write_whole(partial / SUMMARY_FILE, summary.line())
    for leftover in partial.glob("cache-*.arrow"):
        leftover.unlink()


def _opened(directory: Path) -> Prepared:
    return Prepared(
        directory / ROWS_FILE, DatasetSaid.model_validate_json((directory / SUMMARY_FILE).read_text(encoding="utf-8"))
    )


def _key(source: Path, tokenizer_path: Path, rules: MaskingRules, packing: bool) -> str:
    described = {
        "data": sha256_of(source),
        "tokenizer": {
            path.name: sha256_of(path)
            for pattern in ("tokenizer*", "*.jinja", "special_tokens_map.json", "vocab*", "merges.txt")
            for path in sorted(tokenizer_path.glob(pattern))
            if path.is_file()
        },
        "rules": [rules.context_length, rules.train_on_inputs, rules.on_unstable_template],
        "packing": packing,
        "trainer": __version__,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]


def _write_rows(source: Path, tokenizer: Tokenizer, rules: MaskingRules, target: Path) -> DatasetSaid:
    counts = _Counts()
    with _ArrowFile(target) as file:
        for labelled in _labelled_rows(source, tokenizer, rules, counts):
            file.add({"input_ids": labelled.input_ids, "labels": labelled.labels})
    if counts.trained == 0:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.dropped.items()))
        raise TrainerError(
            ErrorClass.DATA,
            f"None of the {counts.rows} rows of '{source.name}' has anything to learn from ({reasons}). "
            "noTrainableTokens: the answers lie beyond the context length, or are masked; lengthen the context or set "
            "trainOnInputs. unstableTemplate, templateRefused: the model's chat template does not fit the rows.",
        )
    return DatasetSaid(
        rows=counts.rows,
        trained=counts.trained,
        truncated=counts.truncated,
        tokens=counts.tokens,
        dropped=dict(sorted(counts.dropped.items())),
    )


class _Counts:
    def __init__(self) -> None:
        self.rows = self.trained = self.truncated = self.tokens = 0
        self.dropped: Counter[str] = Counter()


def _labelled_rows(source: Path, tokenizer: Tokenizer, rules: MaskingRules, counts: _Counts) -> Iterator[Labelled]:
    for row in read_rows(source):
        counts.rows += 1
        try:
            labelled = label(row, tokenizer, rules)
        except Dropped as dropped:
            counts.dropped[dropped.reason] += 1
            continue
        counts.trained += 1
        counts.truncated += labelled.truncated
        counts.tokens += len(labelled.input_ids)
        yield labelled


def _pack(source: Path, target: Path, context_length: int) -> None:
    from datasets import Dataset  # seconds to import; only this stage needs it
    from trl.data_utils import pack_dataset

    packed = pack_dataset(Dataset.from_file(str(source)), context_length, "bfd")
    with _ArrowFile(target) as file:
        for row in packed:
            file.add({name: row[name] for name in ("input_ids", "labels", "seq_lengths")})
    source.unlink()


class _ArrowFile:
    """Writes rows of integer lists in batches, so that memory stays bounded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._batch: list[dict[str, list[int]]] = []
        self._writer: Any = None

    def __enter__(self) -> "_ArrowFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(self, row: dict[str, list[int]]) -> None:
        self._batch.append(row)
        if len(self._batch) >= ROWS_PER_BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa  # heavy; reading rows alone does not need it

        if not self._batch:
            return
        schema = pa.schema([(name, pa.list_(pa.int64())) for name in self._batch[0]])
        table = pa.Table.from_pylist(self._batch, schema=schema)
        if self._writer is None:
            self._writer = pa.ipc.new_stream(str(self._path), schema)
        self._writer.write_table(table)
        self._batch.clear()
