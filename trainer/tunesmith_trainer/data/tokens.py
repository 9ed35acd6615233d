"""Rows that come as token ids: judged, and their padding taken off."""

from typing import Any

from tunesmith_trainer.data.faults import BadRow, kind
from tunesmith_trainer.data.rows import Tokens

IGNORED = -100


def tokens(fields: dict[str, Any]) -> Tokens:
    """A row of `input_ids`, perhaps with `attention_mask`, `labels` and `position_ids`.

    Raises:
        BadRow: when the lists differ in length, hold anything but whole numbers, or the row was packed already.
    """
    ids = _whole_numbers(fields, "input_ids")
    if not ids:
        raise BadRow("'input_ids' is empty.")
    labels = _beside(fields, "labels", ids, default=ids)
    first, end = _kept(_beside(fields, "attention_mask", ids, default=[1] * len(ids)))
    positions = _beside(fields, "position_ids", ids, default=list(range(len(ids))))[first:end]
    if positions != list(range(positions[0], positions[0] + len(positions))) or positions[0] not in (0, first):
        raise BadRow(
            "'position_ids' do not count from 0: rows that are packed already are not supported. Give one example a "
            "row, without 'position_ids'; the trainer packs."
        )
    kept_ids, kept_labels = ids[first:end], labels[first:end]
    negative = next((number for number, label in enumerate(kept_labels, 1) if label < 0 and label != IGNORED), None)
    if negative is not None:
        raise BadRow(f"'labels' has {kept_labels[negative - 1]} at place {negative}. Use token ids, or {IGNORED}.")
    return Tokens(tuple(kept_ids), tuple(kept_labels))


def ensure_known(row: Tokens, vocabulary: int) -> None:
    """Ids that the model has no embedding for would end the training on a GPU without a word.

    Raises:
        BadRow: when an id lies outside of the vocabulary.
    """
    for name, ids in (("input_ids", row.input_ids), ("labels", row.labels)):
        for place, token in enumerate(ids, 1):
            if token >= vocabulary or (token < 0 and token != IGNORED) or (token < 0 and name == "input_ids"):
                raise BadRow(
                    f"'{name}' has {token} at place {place}; the model knows 0 to {vocabulary - 1}. "
                    "Tokenise with the tokenizer of this model."
                )


def _kept(mask: list[int]) -> tuple[int, int]:
    if any(value not in (0, 1) for value in mask):
        raise BadRow("'attention_mask' must hold 0 and 1 only.")
    if 1 not in mask:
        raise BadRow("'attention_mask' is 0 everywhere.")
    first, end = mask.index(1), len(mask) - mask[::-1].index(1)
    if 0 in mask[first:end]:
        raise BadRow("'attention_mask' has a 0 between tokens; 0 is for padding at the ends.")
    return first, end


def _beside(fields: dict[str, Any], key: str, ids: list[int], *, default: list[int]) -> list[int]:
    if fields.get(key) is None:
        return default
    values = _whole_numbers(fields, key)
    if len(values) != len(ids):
        raise BadRow(f"'{key}' has {len(values)} values, 'input_ids' has {len(ids)}.")
    return values


def _whole_numbers(fields: dict[str, Any], key: str) -> list[int]:
    values = fields[key]
    if not isinstance(values, list):
        raise BadRow(f"'{key}' must be a list of whole numbers, this is {kind(values)}.")
    for place, value in enumerate(values, 1):
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**31:
            what = "a number beyond 32 bits or with a fraction" if kind(value) == "a number" else kind(value)
            raise BadRow(f"'{key}' must hold whole numbers, place {place} is {what}.")
    return values
