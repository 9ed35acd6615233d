"""The names that objects carry at the provider: the only mark of ours there, so they say whose an object is."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

LONGEST_NAME = 63  # a DNS label
LONGEST_TEXT = 36  # leaves room for an incarnation of four digits
NAMES_REMEMBERED = 16384  # every pass reads the names of all objects of its account

_NAME = re.compile(
    r"ts-(?P<installation>[a-z0-9]{6})-(?P<text>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)"
    r"-(?P<identity>[0-9a-f]{6})-(?P<uid>[0-9a-f]{4})-(?P<incarnation>[1-9][0-9]{0,3})"
)


@dataclass(frozen=True)
class ProviderName:
    """`ts-<installation>-<namespace-name, cut>-<identity>-<uid>-<incarnation>`, in its parts.

    `identity` is a hash of kind, namespace and name, the same after a rebuild of the management cluster; `uid` is a
    hash of the object's uid; `incarnation` counts up after each confirmed absence.
    """

    installation: str
    text: str
    identity: str
    uid: str
    incarnation: int

    def __str__(self) -> str:
        return f"ts-{self.installation}-{self.text}-{self.identity}-{self.uid}-{self.incarnation}"

    def is_same_object(self, other: ProviderName) -> bool:
        """Given by the same installation to the same object, whatever the incarnation."""
        return self.is_called_like(other) and (self.installation, self.uid) == (other.installation, other.uid)

    def is_predecessor_of(self, other: ProviderName) -> bool:
        """The same kind, namespace and name, but another object or another installation."""
        return self.is_called_like(other) and not self.is_same_object(other)

    def is_called_like(self, other: ProviderName) -> bool:
        """The same kind, namespace and name. Of thousands of resources two may share the short hash, so both count."""
        return (self.identity, self.text) == (other.identity, other.text)


def provider_name(
    *, installation_id: str, kind: str, namespace: str, name: str, uid: str, incarnation: int = 1
) -> ProviderName:
    """The name of this object's `incarnation`-th purchase. Always a DNS label of at most 63 characters."""
    if not 1 <= incarnation <= 9999:
        raise ValueError(f"an incarnation must be between 1 and 9999, not {incarnation}")
    return ProviderName(
        installation=installation_mark(installation_id),
        text=_text(namespace, name),
        identity=_hash(f"{kind}/{namespace}/{name}", 6),
        uid=_hash(uid, 4),
        incarnation=incarnation,
    )


def installation_mark(installation_id: str) -> str:
    """Six characters for an installation: its id when that has the form already, else a hash of it."""
    return installation_id if re.fullmatch(r"[a-z0-9]{6}", installation_id) else _hash(installation_id, 6)


@lru_cache(maxsize=NAMES_REMEMBERED)
def parse_provider_name(name: str) -> ProviderName | None:
    """The parts of a name that some installation of Tunesmith gave; None for every other name."""
    found = _NAME.fullmatch(name)
    if found is None or len(name) > LONGEST_NAME:
        return None
    return ProviderName(
        installation=found["installation"],
        text=found["text"],
        identity=found["identity"],
        uid=found["uid"],
        incarnation=int(found["incarnation"]),
    )


def _text(namespace: str, name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", f"{namespace}-{name}".lower())
    return plain.strip("-")[:LONGEST_TEXT].strip("-") or "x"


def _hash(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
