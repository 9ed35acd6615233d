"""What a person wants to know about the rows of a file, gathered in bounded memory while they stream by."""

import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate

from tunesmith_trainer.contract.check import Duplicates, LengthRange, Lengths

EXACT_BITS = 12
HISTOGRAM_RANGES = 12
# 16 bytes a row, and about twice that for a moment at the end. The chance that two different rows among so many have
# the same 64 bits is one in 500,000.
MOST_COMPARED_ROWS = 1 << 23


@dataclass
class LengthCounts:
    """How many rows have which length. Lengths of more than 12 bits lose their last ones, so that keys are few."""

    counts: Counter[int] = field(default_factory=Counter)
    longest: int = 0

    def add(self, length: int) -> None:
        """Counts one row."""
        shift = max(0, length.bit_length() - EXACT_BITS)
        self.counts[length >> shift << shift] += 1
        self.longest = max(self.longest, length)

    def said(self) -> Lengths | None:
        """Percentiles and a histogram; None when no row was counted."""
        if not self.counts:
            return None
        lengths = sorted(self.counts)
        sums = list(accumulate(self.counts[length] for length in lengths))

        def percentile(share: float) -> int:
            wanted = share * sums[-1]
            return next(length for length, below in zip(lengths, sums, strict=True) if below >= wanted)

        return Lengths(
            p50=percentile(0.5),
            p90=percentile(0.9),
            p99=percentile(0.99),
            max=self.longest,
            histogram=self._ranges(lengths[0]),
        )

    def _ranges(self, shortest: int) -> tuple[LengthRange, ...]:
        width = max(1, -(-(self.longest + 1 - shortest) // HISTOGRAM_RANGES))
        rows: Counter[int] = Counter()
        for length, count in self.counts.items():
            rows[(length - shortest) // width] += count
        return tuple(
            LengthRange(least=shortest + n * width, most=shortest + (n + 1) * width - 1, rows=rows[n])
            for n in range(max(rows) + 1)
        )


class Repetitions:
    """Finds rows that repeat earlier ones."""

    def __init__(self, most_rows: int = MOST_COMPARED_ROWS) -> None:
        self._most_rows = most_rows
        self._hashes = array("Q")
        self._numbers = array("Q")

    def add(self, number: int, row: object) -> None:
        """Remembers a row by its hash; `number` is its line."""
        if len(self._hashes) >= self._most_rows:
            return
        digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._hashes.append(int.from_bytes(digest, "big"))
        self._numbers.append(number)

    def said(self) -> Duplicates:
        """How many of the rows repeat an earlier one, and the first of them."""
        import numpy

        if not self._hashes:
            return Duplicates(rows=0, compared_rows=0)
        hashes = numpy.asarray(self._hashes)
        order = numpy.argsort(hashes, kind="stable")
        ordered = hashes[order]
        repeating = order[1:][ordered[1:] == ordered[:-1]]
        if not len(repeating):
            return Duplicates(rows=0, compared_rows=len(hashes))
        first = int(repeating.min())
        earlier = int(numpy.argmax(hashes == hashes[first]))
        return Duplicates(
            rows=len(repeating),
            first=self._numbers[first],
            repeats=self._numbers[earlier],
            compared_rows=len(hashes),
        )
