"""Writes rows of token ids as Arrow's stream format, which training maps into memory and never reads whole."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MOST_ROWS = 1000
MOST_VALUES = 1 << 20


class ArrowRows:
    """A file of rows, each of them lists of 32-bit whole numbers by column. A batch is written when it is large."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        import numpy  # as heavy as the next; reading rows alone needs neither
        import pyarrow

        self._numpy, self._arrow = numpy, pyarrow
        self._schema = pyarrow.schema([(name, pyarrow.list_(pyarrow.int32())) for name in columns])
        self._file = path.open("wb")
        self._writer = pyarrow.ipc.new_stream(self._file, self._schema)
        self._batch: dict[str, list[Any]] = {name: [] for name in columns}
        self._rows = self._values = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: "BaseException | TracebackType | None") -> None:
        try:
            if kind is None:
                self._flush()
                self._writer.close()
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def add(self, row: Mapping[str, Sequence[int]]) -> None:
        """Adds one row with all columns."""
        for name, values in row.items():
            self._batch[name].append(self._numpy.asarray(values, dtype=self._numpy.int32))
            self._values += len(values)
        self._rows += 1
        if self._rows >= MOST_ROWS or self._values >= MOST_VALUES:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = [self._column(self._batch[name]) for name in self._schema.names]
        self._writer.write_batch(self._arrow.RecordBatch.from_arrays(columns, schema=self._schema))
        for values in self._batch.values():
            values.clear()
        self._rows = self._values = 0

    def _column(self, rows: list[Any]) -> Any:
        ends = self._numpy.cumsum([0, *(len(row) for row in rows)], dtype=self._numpy.int32)
        return self._arrow.ListArray.from_arrays(ends, self._arrow.array(self._numpy.concatenate(rows)))
