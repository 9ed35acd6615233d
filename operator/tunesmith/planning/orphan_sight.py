"""What was reported as an orphan and is not shown any more: is it gone, or only out of sight? Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tunesmith.planning.orphans import Orphan


@dataclass(frozen=True)
class Look:
    """One account of a sweep. `answers`: its lists are fresh. `projects`: those that its clusters are in."""

    account: str
    answers: bool
    projects: frozenset[str] = frozenset()

    def can_tell_of(self, orphan: Orphan) -> bool:
        """Whether it would show the orphan if that were there: it showed it before, or it shows its project."""
        if not self.answers:
            return False
        return orphan.found.account == self.account or orphan.found.project_id in self.projects


def out_of_sight(missing: Iterable[Orphan], looks: Iterable[Look], report: str) -> tuple[Orphan, ...]:
    """Those that no look can tell of, so that they may bill on. `report` is what the report's ConfigMap is called.

    What its user keeps is let go of with its key: he has taken its bill on himself.
    """
    looks = tuple(looks)
    in_use = {look.account for look in looks}
    why = "the key that showed it is not in use any more; look in the provider's console. When it is gone there, delete"
    why += f" ConfigMap '{report}' to have it forgotten"
    return tuple(
        each if each.found.account in in_use else replace(each, stays=why)
        for each in missing
        if (each.kept is None or each.found.account in in_use) and not any(look.can_tell_of(each) for look in looks)
    )
