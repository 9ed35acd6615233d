"""Puts several rows into one sequence of at most the context, so that little of a step is padding.

Best fit, longest first, within a window of rows: memory is bounded by the window, whatever the file.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from tunesmith_trainer.data.masking import Labelled

WINDOW_ROWS = 1000
# Rows as long as the context hardly pack; this many contexts fill a window that loses little at its end.
WINDOW_CONTEXTS = 64
LEAST_WINDOW_TOKENS = 1 << 20


def packed(rows: Iterable[Labelled], context_length: int) -> Iterator[list[Labelled]]:
    """Groups of rows that fit the context together; every row comes in exactly one group."""
    most_tokens = max(LEAST_WINDOW_TOKENS, WINDOW_CONTEXTS * context_length)
    window: list[Labelled] = []
    tokens = 0
    for row in rows:
        window.append(row)
        tokens += row.tokens
        if len(window) >= WINDOW_ROWS or tokens >= most_tokens:
            yield from _best_fit(window, context_length)
            window, tokens = [], 0
    yield from _best_fit(window, context_length)


def _best_fit(rows: list[Labelled], context_length: int) -> list[list[Labelled]]:
    packs: list[list[Labelled]] = []
    spaces: list[tuple[int, int]] = []  # (tokens left, index of the pack), smallest space first
    for row in sorted(rows, key=lambda row: -row.tokens):
        found = bisect_left(spaces, (row.tokens, 0))
        if found == len(spaces):
            packs.append([row])
            insort(spaces, (context_length - row.tokens, len(packs) - 1))
            continue
        space, index = spaces.pop(found)
        packs[index].append(row)
        insort(spaces, (space - row.tokens, index))
    return packs
