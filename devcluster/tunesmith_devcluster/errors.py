"""What devcluster says when it cannot do what was asked."""

from __future__ import annotations


class DevclusterError(Exception):
    """Something went wrong; the message says what, why, and what to do next."""
