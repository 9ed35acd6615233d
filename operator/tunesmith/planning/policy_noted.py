"""The book of names is told when the user changes his mind about keeping a cluster, before its resource may be lost."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.planning.claims import owner_elsewhere
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import Decision
from tunesmith.planning.name_book import NotePolicy, RecordName, is_given_by
from tunesmith.planning.ownership import FINALIZER, lets_go
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus

ClusterDecision = Decision[GPUClusterStatus]


def with_policy_noted(seen: ClusterObservation, decision: ClusterDecision) -> ClusterDecision:
    """The decision, with the policy written down where the book may say otherwise.

    First of all, because what follows may fail for long; but once it has failed itself, it holds nothing else up: it
    comes last, or in another pass where the last one costs money.
    """
    name = seen.status.provider_name
    if name is None or not _may_differ(seen, name) or not _is_for_us_to_say(seen, decision):
        return decision
    note = NotePolicy(name, seen.is_to_stay)
    if seen.around.failure_of(note) is None:
        return replace(decision, actions=(note, *decision.actions))
    return decision if any(each.costs_money for each in decision.actions) else decision.with_actions(note)


def _may_differ(seen: ClusterObservation, name: str) -> bool:
    """Where orphans are only reported, only the wish to keep is written: the mode may be changed after a loss."""
    installation = seen.around.installation
    if not is_given_by(name, installation) or seen.memory.policy_noted == (name, seen.is_to_stay):
        return False
    return installation.orphans_are_deleted or seen.is_to_stay


def _is_for_us_to_say(seen: ClusterObservation, decision: ClusterDecision) -> bool:
    """Not where another resource owns the cluster, nor where the decision tells the book itself."""
    if FINALIZER not in seen.resource.metadata.finalizers or owner_elsewhere(seen) is not None:
        return False
    return not lets_go(decision.actions) and not any(isinstance(each, RecordName) for each in decision.actions)
