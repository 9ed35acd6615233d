"""Identifiers of what comes into being without a request: derived from its cause, so the world stays pure."""

import uuid


def derived_id(*cause: str) -> str:
    """An identifier (UUID form), the same for the same cause."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(cause)))
