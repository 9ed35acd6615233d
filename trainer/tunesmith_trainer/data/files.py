"""Reads the rows of a dataset file one by one, as plain objects, in memory that does not grow with the file.

JSONL, JSONL packed by gzip, and Parquet; the first bytes tell which. What a row means is for `formats` to say.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from tunesmith_trainer.data.faults import BadRow, Fault, Place, Unit, data_error, kind, shown

Container = Literal["JSONL", "JSONL.gz", "Parquet"]
Fields = dict[str, Any]

GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"
# A row of a million tokens has about 4 MiB. A file without line ends must not become one row of 100 GB.
LONGEST_LINE_BYTES = 64 << 20
PARQUET_BATCH_BYTES = 8 << 20
PARQUET_BATCH_ROWS = 1024


class DataSource:
    """One dataset file. `bytes_read` grows up to `bytes_total` while `rows` is walked through; both as on disk.

    `row_bytes` is about what the last row has in memory.
    """

    def __init__(self, path: Path) -> None:
        """Looks at the file's first bytes.

        Raises:
            TrainerError: of class data, when it is missing, or its name says something else than its bytes.
        """
        if not path.is_file():
            what = "is a directory, not a file" if path.is_dir() else "does not exist on the job's storage"
            raise data_error(
                f"The dataset file '{path}' {what}. Check the dataset's path and that its volume is right."
            )
        self.path = path
        self.bytes_total = path.stat().st_size
        self.bytes_read = 0
        self.row_bytes = 0
        self.container: Container = _container(path)

    @property
    def unit(self) -> Unit:
        """What its rows are counted in."""
        return "row" if self.container == "Parquet" else "line"

    def rows(self) -> Iterator[tuple[Place, Fields | Fault]]:
        """Every row with its place, or what is wrong with it; empty lines are passed over.

        Raises:
            TrainerError: of class data, when the file is damaged so that nothing behind the place can be read.
        """
        if self.container == "Parquet":
            yield from self._parquet()
            return
        with self.path.open("rb") as raw:
            if self.container == "JSONL":
                yield from self._lines(raw, raw)
            else:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield from self._unpacked_lines(raw, unpacked)

    def _lines(self, raw: BinaryIO, text: Any) -> Iterator[tuple[Place, Fields | Fault]]:
        for place, line in _bounded_lines(text, self.path.name):
            self.bytes_read = raw.tell()
            self.row_bytes = len(line) if isinstance(line, bytes) else 0
            if isinstance(line, Fault):
                yield place, line
            elif line.strip():
                yield place, _parsed(line, place)

    def _unpacked_lines(self, raw: BinaryIO, unpacked: gzip.GzipFile) -> Iterator[tuple[Place, Fields | Fault]]:
        last = 0
        try:
            for place, fields in self._lines(raw, unpacked):
                last = place.number
                yield place, fields
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            where = Place(self.path.name, last + 1)
            raise data_error(
                f"{where}: the gzip file is damaged or cut off here ({error}). Pack it anew, or copy it again."
            ) from error

    def _parquet(self) -> Iterator[tuple[Place, Fields | Fault]]:
        import pyarrow as pa  # heavy; only this container needs it

        number = 0
        try:
            for batch in self._batches():
                self.row_bytes = batch.nbytes // max(1, batch.num_rows)
                for index in range(batch.num_rows):
                    number += 1
                    place = Place(self.path.name, number, "row")
                    yield place, _row_of(batch, index, place)
                self.bytes_read = min(self.bytes_total, self.bytes_total * number // max(1, self._parquet_rows))
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            where = Place(self.path.name, number + 1, "row")
            reason = _one_line(str(error))
            raise data_error(f"{where}: the Parquet file is damaged ({reason}). Write or copy it again.") from error

    def _batches(self) -> Iterator[Any]:
        import pyarrow.parquet as pq

        # Buffers of whole row groups would make memory grow with whatever wrote the file.
        with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True) as file:
            self._parquet_rows = file.metadata.num_rows
            unpacked = sum(file.metadata.row_group(n).total_byte_size for n in range(file.metadata.num_row_groups))
            bytes_per_row = max(1, unpacked // max(1, self._parquet_rows))
            yield from file.iter_batches(
                batch_size=max(1, min(PARQUET_BATCH_ROWS, PARQUET_BATCH_BYTES // bytes_per_row)), use_threads=False
            )


def _one_line(text: str) -> str:
    """A library's own words, cut; they may quote the file."""
    return "".join(character for character in " ".join(text.split())[:200] if character.isprintable())


def _container(path: Path) -> Container:
    with path.open("rb") as file:
        first = file.read(4)
    if first == PARQUET_MAGIC:
        return "Parquet"
    if path.suffix == ".parquet":
        raise data_error(
            f"{path.name} row 1: the file is named Parquet and does not begin as one. Write or copy it again."
        )
    if first[:2] == GZIP_MAGIC:
        return "JSONL.gz"
    if path.suffix == ".gz":
        raise data_error(
            f"{path.name} line 1: the file is named gzip and does not begin as one. Pack it anew, or rename it."
        )
    return "JSONL"


def _bounded_lines(text: Any, name: str) -> Iterator[tuple[Place, bytes | Fault]]:
    number = 0
    while line := text.readline(LONGEST_LINE_BYTES + 1):
        number += 1
        place = Place(name, number)
        if len(line) <= LONGEST_LINE_BYTES:
            yield place, line
            continue
        while line and not line.endswith(b"\n"):
            line = text.readline(LONGEST_LINE_BYTES)
        yield place, Fault(place, f"longer than {LONGEST_LINE_BYTES >> 20} MiB. Put one row on each line.")


def _parsed(line: bytes, place: Place) -> Fields | Fault:
    try:
        value = json.loads(
            line.decode("utf-8-sig").rstrip("\r\n"),
            parse_constant=_no_number_of_json,
            object_pairs_hook=_without_repetition,
        )
    except UnicodeDecodeError as error:
        return Fault(place, f"not UTF-8 at byte {error.start + 1}. Save the file as UTF-8.")
    except json.JSONDecodeError as error:
        return Fault(
            place,
            f"not JSON ({error.msg.removesuffix(' at').removesuffix(' starting')}). Each line must be one object.",
            column=error.colno,
        )
    except RecursionError:
        return Fault(place, "not a row, nested too deeply.")
    except BadRow as bad:
        return Fault.of(place, bad)
    except ValueError:
        return Fault(place, "a number in it has too many digits.")
    if not isinstance(value, dict):
        return Fault(place, f"a row must be a JSON object, this is {kind(value)}.")
    return value


def _no_number_of_json(name: str) -> Any:
    raise BadRow(f"{name} is not JSON. Use null, or leave the key out.")


def _without_repetition(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise BadRow(f"the key '{shown(twice)}' stands twice in one object.")


def _row_of(batch: Any, index: int, place: Place) -> Fields | Fault:
    try:
        row: Fields = batch.slice(index, 1).to_pylist()[0]
    except UnicodeDecodeError:
        return Fault(place, "a string in it is not UTF-8. Write the file from valid strings.")
    return {name: _without_nulls(value) for name, value in row.items()}


def _without_nulls(value: Any) -> Any:
    """Parquet gives every struct all keys: those that the row did not have are null there."""
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value
