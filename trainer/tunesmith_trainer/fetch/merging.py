"""Makes one file of the pieces of a dataset, in bounded memory; the reader takes one file."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.storage import BLOCK_BYTES

PARQUET_MAGIC = b"PAR1"
GZIP_MAGIC = b"\x1f\x8b"


def suffix_of(path: Path) -> str:
    """What a file is, by its first bytes: .parquet, .jsonl.gz or .jsonl."""
    with path.open("rb") as file:
        begin = file.read(4)
    if begin == PARQUET_MAGIC:
        return ".parquet"
    return ".jsonl.gz" if begin.startswith(GZIP_MAGIC) else ".jsonl"


def merge(pieces: Sequence[Path], directory: Path) -> str:
    """Writes `rows.<kind>` into the directory out of the pieces, in order; returns its name.

    Raises:
        TrainerError: of class data, when Parquet pieces cannot be read, or have different columns.
    """
    name = f"rows{suffix_of(pieces[0])}"
    target = directory / f"{name}.merging"
    if len(pieces) == 1:
        _second_name(pieces[0], directory / name)
        return name
    if name.endswith(".parquet"):
        _parquet(pieces, target)
    else:
        _lines(pieces, target, packed=name.endswith(".gz"))
    target.replace(directory / name)
    return name


def _second_name(piece: Path, target: Path) -> None:
    """The piece stays where a fetch that is killed now looks for it."""
    try:
        target.hardlink_to(piece)
    except OSError:  # a storage without hard links
        piece.replace(target)


def _lines(pieces: Sequence[Path], target: Path, *, packed: bool) -> None:
    """One after the other; gzip files one after the other are a gzip file."""
    import gzip

    with target.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as file:
                shutil.copyfileobj(file, out, BLOCK_BYTES)
                ends_line = _ends_line(piece)
            if not ends_line:
                out.write(gzip.compress(b"\n") if packed else b"\n")


def _ends_line(piece: Path) -> bool:
    """Whether the last byte is a line's end; of a packed piece it is not known, and an empty line does no harm."""
    with piece.open("rb") as file:
        if piece.stat().st_size == 0:
            return True
        file.seek(-1, 2)
        return file.read(1) == b"\n" and suffix_of(piece) == ".jsonl"


def _parquet(pieces: Sequence[Path], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        files = [pq.ParquetFile(piece) for piece in pieces]
        schema = files[0].schema_arrow.remove_metadata()
        for piece, file in zip(pieces, files, strict=True):
            if set(file.schema_arrow.names) != set(schema.names):
                raise TrainerError(
                    ErrorClass.DATA,
                    f"The pieces of the dataset have different columns: {sorted(schema.names)} and, in '{piece.name}', "
                    f"{sorted(file.schema_arrow.names)}.",
                )
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for file in files:
                for batch in file.iter_batches(batch_size=10_000):
                    table = pa.Table.from_batches([batch]).select(schema.names)
                    writer.write_table(table.replace_schema_metadata(None).cast(schema))
    except (pa.ArrowException, ValueError) as error:
        raise TrainerError(ErrorClass.DATA, f"The Parquet pieces of the dataset cannot be joined: {error}") from error
