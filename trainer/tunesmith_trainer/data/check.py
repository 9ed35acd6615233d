"""`tunesmith-trainer check`: what training would make of a dataset file, before anything is paid for it.

Goes through the file exactly as the prepare stage does, writes nothing, and goes on after a broken row.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tunesmith_trainer.contract.check import FAULTS_TOLD, DatasetReport, RowFault
from tunesmith_trainer.data.crew import crew_for
from tunesmith_trainer.data.encoded import Counts, encoded, nothing_to_learn
from tunesmith_trainer.data.encoding import Dropped, Encoder
from tunesmith_trainer.data.faults import Fault
from tunesmith_trainer.data.formats import DatasetFile, Read
from tunesmith_trainer.data.masking import Labelled, MaskingRules
from tunesmith_trainer.data.packing import packed
from tunesmith_trainer.data.preference import Pair
from tunesmith_trainer.data.prepare import vocabulary_of
from tunesmith_trainer.data.rows import MethodType
from tunesmith_trainer.data.survey import LengthCounts, Repetitions
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

WELL, NOT_WELL = 0, 2
METHODS = ("sft", "dpo")


@dataclass(frozen=True)
class Asked:
    """What a file is checked for. `any_method`: whichever the file's format is for, whatever the rules say."""

    rules: MaskingRules
    packing: bool = True
    batch: int | None = None
    any_method: bool = False


@dataclass
class _Survey(Counts):
    """Counts, and what else a person wants to know."""

    learnt_tokens: int = 0
    lengths: LengthCounts = field(default_factory=LengthCounts)
    repetitions: Repetitions = field(default_factory=Repetitions)
    broken: int = 0
    faults: list[RowFault] = field(default_factory=list)

    def begin(self, read: Read) -> None:
        super().begin(read)
        self.repetitions.add(read.place.number, read.row)

    def drop(self, dropped: Dropped) -> None:
        super().drop(dropped)
        if dropped.whole_tokens is not None:
            self.lengths.add(dropped.whole_tokens)

    def keep(self, ready: Labelled | Pair) -> None:
        super().keep(ready)
        self.learnt_tokens += ready.learnt_tokens
        self.lengths.add(ready.whole_tokens)

    def fault(self, fault: Fault) -> None:
        self.broken += 1
        if len(self.faults) < FAULTS_TOLD:
            self.faults.append(
                RowFault(
                    number=fault.place.number,
                    unit=fault.place.unit,
                    column=fault.column,
                    part=fault.part or None,
                    reason=fault.reason,
                )
            )


def check(file: DatasetFile, tokenizer: Any, model: Path, asked: Asked) -> DatasetReport:
    """Checks one file; a file that cannot be read on is told in the report's `problem`.

    Raises:
        TrainerError: when something else than the file is at fault: the tokenizer, or the memory.
    """
    survey = _Survey()
    rules = replace(asked.rules, vocabulary=vocabulary_of(model))
    encoder = Encoder(tokenizer)
    sequences, problem = 0, None
    try:
        with crew_for(file.bytes_total, encoder, model, rules) as crew:
            method = None if asked.any_method else rules.method
            rows = encoded(file, crew, survey, survey.fault, method=method)
            sequences = _sequences(rows, rules.context_length, packing=asked.packing)
        if survey.trained == 0 and survey.broken == 0:
            problem = nothing_to_learn(file.path.name, survey).message
    except TrainerError as error:
        if error.error_class is not ErrorClass.DATA:
            raise
        problem = error.message
    learns = _method(file, asked)
    return DatasetReport(
        file=str(file.path),
        ok=problem is None and survey.broken == 0,
        container=file.container,
        format=file.format.name if file.format else None,
        method=learns,
        context_length=rules.context_length,
        bytes=file.bytes_total,
        rows=survey.rows + survey.broken,
        trained=survey.trained,
        truncated=survey.truncated,
        tokens=survey.tokens,
        learnt_tokens=survey.learnt_tokens,
        dropped=dict(sorted(survey.dropped.items())),
        broken=survey.broken,
        faults=tuple(survey.faults),
        problem=problem,
        lengths=survey.lengths.said(),
        duplicates=survey.repetitions.said(),
        packing=asked.packing and learns != "DPO",
        sequences=sequences,
        batch=asked.batch,
        steps_per_epoch=-(-sequences // asked.batch) if asked.batch else None,
    )


def _method(file: DatasetFile, asked: Asked) -> MethodType | None:
    if not asked.any_method:
        return asked.rules.method
    return file.format.method if file.format else None


def _sequences(rows: Iterator[Labelled | Pair], context_length: int, *, packing: bool) -> int:
    pairs = 0

    def examples() -> Iterator[Labelled]:
        nonlocal pairs
        for row in rows:
            if isinstance(row, Pair):
                pairs += 1
            else:
                yield row.compact()

    if packing:
        return sum(1 for _ in packed(examples(), context_length)) + pairs
    return sum(1 for _ in examples()) + pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="JSONL, JSONL.gz or Parquet")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="the model's directory; its tokenizer")
    parser.add_argument("--context", type=_natural, required=True, metavar="N", help="context length in tokens")
    parser.add_argument("--method", type=str.lower, choices=METHODS, help="default: what the file's format is for")
    parser.add_argument(
        "--packing", action=argparse.BooleanOptionalAction, default=True, help="several rows in one sequence (SFT)"
    )
    parser.add_argument("--batch", type=_natural, metavar="N", help="sequences in one step: tells the steps per epoch")
    parser.add_argument("--train-on-inputs", choices=("Auto", "Always", "Never"), default="Auto")
    parser.add_argument("--on-unstable-template", choices=("Refuse", "TrainWhole"), default="Refuse")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(options: argparse.Namespace) -> int:
    """Checks the file and prints the report; returns 0 when training would begin, else 2."""
    from tunesmith_trainer.data.check_text import shown_report, working
    from tunesmith_trainer.model import load_tokenizer

    rules = MaskingRules(
        options.context,
        options.train_on_inputs,
        options.on_unstable_template,
        "DPO" if options.method == "dpo" else "SFT",
    )
    asked = Asked(rules, options.packing, options.batch, any_method=options.method is None)
    try:
        file = DatasetFile(options.file)
        tokenizer = load_tokenizer(options.model)
        with working(file):
            report = check(file, tokenizer, options.model, asked)
    except TrainerError as error:
        sys.stderr.write(f"{error.message}\n")
        return NOT_WELL
    sys.stdout.write(report.line() + "\n" if options.output == "json" else shown_report(report))
    return WELL if report.ok else NOT_WELL


def _natural(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1")
    return int(text)
