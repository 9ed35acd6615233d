"""What `tunesmith-trainer check -o json` says about a dataset file."""

from typing import Literal

from pydantic import Field

from tunesmith_trainer.contract.messages import Said

FAULTS_TOLD = 20


class RowFault(Said):
    """One row that cannot be read."""

    number: int = Field(ge=1, description="Line of a JSONL file or row of a Parquet file, from 1.")
    unit: Literal["line", "row"]
    column: int | None = Field(default=None, ge=1, description="Character of the line, where JSON breaks off.")
    part: str | None = Field(default=None, description="Place inside of the row, such as message 2.")
    reason: str


class LengthRange(Said):
    """How many rows have a length in [least, most]."""

    least: int = Field(ge=0)
    most: int = Field(ge=0)
    rows: int = Field(ge=0)


class Lengths(Said):
    """Tokens of the rows before they are cut; of a pair, of its longer side. Exact up to 4095, beyond within 0.1 %."""

    p50: int = Field(ge=0)
    p90: int = Field(ge=0)
    p99: int = Field(ge=0)
    max: int = Field(ge=0)
    histogram: tuple[LengthRange, ...]


class Duplicates(Said):
    """Good rows that say exactly the same as an earlier one, told by 64-bit hashes."""

    rows: int = Field(ge=0)
    first: int | None = Field(default=None, ge=1, description="Line or row of the first that repeats another.")
    repeats: int | None = Field(default=None, ge=1, description="Line or row of the one that it repeats.")
    compared_rows: int = Field(ge=0, description="Rows beyond this number were not compared, to bound the memory.")


class DatasetReport(Said):
    """One file, checked for one model, context length and method."""

    tunesmith: Literal["check/v1"] = "check/v1"
    file: str
    ok: bool = Field(description="Training on this file would begin.")
    container: Literal["JSONL", "JSONL.gz", "Parquet"] | None = None
    format: str | None = Field(default=None, description="How the rows are written, in words.")
    method: Literal["SFT", "DPO"] | None = Field(default=None, description="The one asked for, else the format's.")
    context_length: int = Field(ge=1)
    bytes: int = Field(ge=0)
    rows: int = Field(ge=0, description="Rows read, broken ones too.")
    trained: int = Field(ge=0, description="Rows that have something to learn from.")
    truncated: int = Field(ge=0, description="Rows cut at the context length.")
    tokens: int = Field(ge=0, description="Tokens of the rows kept, after cutting.")
    learnt_tokens: int = Field(ge=0, description="Those of them that are learnt.")
    dropped: dict[str, int] = Field(default_factory=dict, description="Rows not trained on, by reason.")
    broken: int = Field(ge=0, description="Rows that cannot be read.")
    faults: tuple[RowFault, ...] = Field(default=(), description=f"The first {FAULTS_TOLD} of them.")
    problem: str | None = Field(default=None, description="What is wrong with the file as a whole.")
    lengths: Lengths | None = None
    duplicates: Duplicates | None = None
    packing: bool
    sequences: int = Field(ge=0, description="Sequences of one epoch: packs, or rows without packing.")
    batch: int | None = Field(default=None, ge=1, description="Sequences in one step.")
    steps_per_epoch: int | None = Field(default=None, ge=0)
