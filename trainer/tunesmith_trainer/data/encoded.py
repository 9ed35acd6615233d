"""The rows of a dataset file as token ids, one after the other, with what became of each row counted on the way."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tunesmith_trainer.data.crew import Crew
from tunesmith_trainer.data.encoding import Dropped, DropReason
from tunesmith_trainer.data.faults import BadRow, Fault, data_error, refuse
from tunesmith_trainer.data.formats import DatasetFile, OnFault, Read
from tunesmith_trainer.data.masking import Labelled
from tunesmith_trainer.data.preference import Pair
from tunesmith_trainer.data.rows import MethodType
from tunesmith_trainer.exit_codes import TrainerError

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


@dataclass
class Counts:
    """What became of the rows so far."""

    rows: int = 0
    trained: int = 0
    truncated: int = 0
    tokens: int = 0
    dropped: Counter[DropReason] = field(default_factory=Counter)

    def begin(self, read: Read) -> None:
        """A good row was read."""
        self.rows += 1

    def unread(self) -> None:
        """It was broken after all."""
        self.rows -= 1

    def drop(self, dropped: Dropped) -> None:
        """It teaches nothing."""
        self.dropped[dropped.reason] += 1

    def keep(self, ready: Labelled | Pair) -> None:
        """It is trained on."""
        self.trained += 1
        self.truncated += ready.truncated
        self.tokens += ready.tokens


def encoded(
    file: DatasetFile, crew: Crew, counts: Counts, on_fault: OnFault = refuse, *, method: MethodType | None = None
) -> Iterator[Labelled | Pair]:
    """The rows of a file that teach something, in order and counted; `on_fault` gets those that are broken.

    Raises:
        TrainerError: of class data, when the file cannot be read on, or the method cannot learn from its format.
    """
    for item, outcome in crew.outcomes(_read(file, method)):
        if isinstance(item, Fault):
            on_fault(item)
            continue
        counts.begin(item)
        if isinstance(outcome, Labelled | Pair):
            counts.keep(outcome)
            yield replace(outcome, number=item.place.number)
        elif isinstance(outcome, Dropped):
            counts.drop(outcome)
        elif isinstance(outcome, BadRow):
            counts.unread()
            on_fault(Fault.of(item.place, outcome))


def _read(file: DatasetFile, method: MethodType | None) -> Iterator[tuple[Read | Fault, int]]:
    """Good and broken rows in the order of the file, each with its size in bytes."""
    faults: list[Fault] = []
    rows = file.read(method, faults.append)
    while True:
        try:
            read = next(rows, None)
        except TrainerError:
            yield from ((fault, 0) for fault in faults)
            raise
        yield from ((fault, 0) for fault in faults)
        faults.clear()
        if read is None:
            return
        yield read, file.row_bytes


def nothing_to_learn(name: str, counts: Counts) -> TrainerError:
    """The error of a file whose every row was dropped."""
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.dropped.items()))
    advice = " ".join(f"{reason}: {ADVICE[reason]}" for reason in sorted(counts.dropped))
    return data_error(f"None of the {counts.rows} rows of '{name}' has anything to learn from ({reasons}). {advice}")
