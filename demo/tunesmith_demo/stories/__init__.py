"""The stories of `make demo STORY=...`: what a platform engineer would ask to see before spending money with it."""

from __future__ import annotations

from tunesmith_demo.stories.alternative import Alternative
from tunesmith_demo.stories.crash import Crash
from tunesmith_demo.stories.idle import Idle
from tunesmith_demo.stories.repair import Repair
from tunesmith_demo.stories.telling import Telling

STORIES: dict[str, type[Telling]] = {each.name: each for each in (Alternative, Repair, Idle, Crash)}
ALL = "all"


def named(name: str) -> tuple[type[Telling], ...]:
    """The stories of that name; `all` are all. Raises KeyError with the list of names when there is none."""
    if name == ALL:
        return tuple(STORIES.values())
    if name not in STORIES:
        raise KeyError(listed())
    return (STORIES[name],)


def listed() -> str:
    """A line for each story: its name and what it promises."""
    return "\n".join(f"  {each.name:<12} {each.title}" for each in STORIES.values()) + f"\n  {ALL:<12} all of them"
