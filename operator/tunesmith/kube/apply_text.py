"""The text of a server-side apply: JSON that is YAML too, whatever characters users put into their resources."""

from __future__ import annotations

import json
import re

# yaml: the API server refuses JSON's usual pairs of surrogate escapes ("invalid Unicode character escape code"), so
# characters beyond the basic plane stand as they are; these here it takes as escapes only.
_ONLY_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_HALF_PAIRS = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"


def yaml_of(body: object) -> str:
    """The body of an apply. Halves of surrogate pairs, which no encoding can carry, become U+FFFD."""
    text = _HALF_PAIRS.sub(REPLACEMENT, json.dumps(body, ensure_ascii=False))
    return _ONLY_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
