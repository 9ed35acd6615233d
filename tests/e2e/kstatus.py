"""What generic tools (Flux, Helm, cli-utils) conclude from a resource: the kstatus algorithm, as test code.

Source: fluxcd/cli-utils, pkg/kstatus/status/{generic,status}.go, in the order in which it asks.
"""

from collections.abc import Mapping
from typing import Any

IN_PROGRESS, FAILED, CURRENT, TERMINATING = "InProgress", "Failed", "Current", "Terminating"


def kstatus(resource: Mapping[str, Any]) -> str:
    """One of the four words for a custom resource."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return TERMINATING
    observed = status.get("observedGeneration")
    if observed is not None and metadata.get("generation") is not None and observed != metadata["generation"]:
        return IN_PROGRESS
    conditions = status.get("conditions") or []
    for condition in conditions:
        if condition["type"] == "Reconciling" and condition["status"] == "True":
            return IN_PROGRESS
        if condition["type"] == "Stalled" and condition["status"] == "True":
            return FAILED
    ready = next((each["status"] for each in conditions if each["type"] == "Ready"), None)
    return IN_PROGRESS if ready in {"False", "Unknown"} else CURRENT


def intended(resource: Mapping[str, Any]) -> str:
    """The same word by what the operator means: ready, stuck as it is, still at it, or released; never two at once."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return TERMINATING
    if status.get("observedGeneration") != metadata.get("generation"):
        return IN_PROGRESS
    said = {each["type"]: each["status"] for each in status.get("conditions") or []}
    words = {
        (True, False, False): CURRENT,
        (False, True, False): IN_PROGRESS,
        (False, False, True): FAILED,
    }
    if status.get("release"):
        words[False, False, False] = IN_PROGRESS  # at rest on purpose, for which there is no word
    seen = tuple(said.get(kind) == "True" for kind in ("Ready", "Reconciling", "Stalled"))
    return words.get(seen, f"contradictory: Ready, Reconciling, Stalled = {seen}")
