"""Times as Kubernetes writes them."""

from datetime import UTC, datetime


def now_text() -> str:
    """Now, to the second (metav1.Time)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro_text() -> str:
    """Now, to the microsecond (metav1.MicroTime)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
