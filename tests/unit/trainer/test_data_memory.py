"""Files that are larger than memory: what is needed does not grow with the file."""

import json
import os
import subprocess
import sys

import pytest

PREPARE = """
import resource, sys
from pathlib import Path
from tunesmith_trainer.data.masking import MaskingRules
from tunesmith_trainer.data.prepare import prepare
from tunesmith_trainer.model import load_tokenizer

model, cache = Path(sys.argv[1]), Path(sys.argv[2])
tokenizer = load_tokenizer(model)
peaks = []
for file in sys.argv[3:]:
    prepare(Path(file), tokenizer, model, MaskingRules(256), packing=True, cache=cache)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(*peaks)
"""
SMALL_ROWS = 2_000


def written(path, rows):
    """A file of texts, about 400 bytes each; Parquet or JSONL by its name. Returns its size in MB."""
    texts = [f"{number} the otter lives near the river " * 11 for number in range(SMALL_ROWS)]
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"text": texts})
        with pq.ParquetWriter(path, table.schema, compression="none", use_dictionary=False) as file:
            file.write_table(pa.concat_tables([table] * (rows // SMALL_ROWS)), row_group_size=rows)
    else:
        block = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        with path.open("w") as file:
            for _ in range(rows // SMALL_ROWS):
                file.write(block)
    return path.stat().st_size / 1e6


def grown_mb(tmp_path, model_path, name, rows):
    """By how much the peak of memory grows from a file of `SMALL_ROWS` rows to one of `rows`; and the larger's size."""
    small, large = tmp_path / f"small{name}", tmp_path / f"large{name}"
    written(small, SMALL_ROWS)
    size = written(large, rows)
    run = subprocess.run(
        [sys.executable, "-c", PREPARE, str(model_path), str(tmp_path / "cache"), str(small), str(large)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    first, second = map(int, run.stdout.split())
    return (second - first) / 1024, size


def test_memory_does_not_grow_with_the_file(tmp_path, model_path):
    grown, size = grown_mb(tmp_path, model_path, ".jsonl", 10 * SMALL_ROWS)
    assert size > 7
    assert grown < 12


@pytest.mark.prove
@pytest.mark.parametrize("name", [".jsonl", ".parquet"])
def test_two_hundred_megabytes_need_no_more_memory_than_two(tmp_path, model_path, name):
    grown, size = grown_mb(tmp_path, model_path, name, 250 * SMALL_ROWS)
    assert size > 180
    assert grown < 40
