"""The environment that background processes start with: the little they need, and no secrets of the user's shell."""

from __future__ import annotations

import os

KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME")


def plain_environment(**extra: str) -> dict[str, str]:
    """The kept variables of our own environment, and these."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | extra
