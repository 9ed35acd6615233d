"""The kubeconfig of a bought cluster: written down by the Cluster API contract, renewed in time, and what it reaches.

It is asked for anew, past the provider's list, while there is none, when the cluster rejects it (401), and from 80 % of
the life of its certificate or token on.
"""

from __future__ import annotations

import base64
from typing import Any

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.bought import quietly, stalled, working
from tunesmith.planning.circumstances import NotYet, OtherCluster, Refused, Rejected, Unknown
from tunesmith.planning.cluster_follow import holds_since, since_in_words, usable_from
from tunesmith.planning.cluster_kubeconfig_facts import (
    CLUSTER_ID_ANNOTATION,
    KUBE_SYSTEM_ANNOTATION,
    REPLACED_ANNOTATION,
    hash_of,
    kept_kubeconfig,
    not_given,
)
from tunesmith.planning.cluster_observation import ClusterObservation, StoredSecret
from tunesmith.planning.cluster_status import as_seen, is_being_built, standing
from tunesmith.planning.deadlines import Stage, allowed_seconds, latest, seconds_left
from tunesmith.planning.decision import Decision
from tunesmith.planning.kube_facts import MANAGED_BY, MANAGED_BY_LABEL
from tunesmith.planning.looks import LookAtCluster
from tunesmith.planning.ownership import is_paused
from tunesmith.planning.provider import Credential, Phase, ProviderCluster
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

KUBECONFIG_KEY = "value"  # the Cluster API contract names both
KUBECONFIG_TYPE = "cluster.x-k8s.io/secret"
CLUSTER_NAME_LABEL = "cluster.x-k8s.io/cluster-name"

NEEDED_NOW_SECONDS = 30.0
"""How often one is asked for while there is none that works."""
AGEING_SECONDS = 600.0
"""How often a newer one is asked for while the present one still works."""


def kubeconfig_missing(seen: ClusterObservation) -> ClusterDecision | None:
    """The kubeconfig goes into a Secret of the Cluster API's form, which is never taken from somebody else."""
    cluster = seen.bought
    if cluster is None:
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    if isinstance(seen.kubeconfig_secret, Unknown):
        if not cluster.kubeconfig:
            return _none_given(seen, cluster)
        message = f"Secret '{seen.secret_name}' could not be read: {seen.kubeconfig_secret.why}"
        return working(seen, Reason.KUBECONFIG_UNREADABLE, message, status=status, verdicts=facts)
    stored = seen.kubeconfig_secret.value
    if stored is not None and seen.resource.metadata.uid not in stored.owner_uids:
        message = f"Secret '{seen.secret_name}' exists and is not this resource's, so it is left alone. "
        message += "Delete or rename it; `spec.kubeconfigSecretName` cannot be changed."
        verdicts = {**facts, "KubeconfigAvailable": Verdict(False, Reason.SECRET_NOT_OURS, message)}
        return stalled(seen, Reason.SECRET_NOT_OURS, message, status=status, verdicts=verdicts)
    kept = kept_kubeconfig(seen)
    if cluster.kubeconfig and seen.offered.problem and seen.offered.whole and kept is None:
        message = (
            f"{facts['KubeconfigAvailable'].message} Ask the provider for one with a certificate or token only. With "
        )
        message += "`spec.oidc` only the key of a project's administrator is given one."
        return stalled(seen, Reason.KUBECONFIG_REFUSED, message, status=status, verdicts=facts)
    wanted = _wanted_secret(seen, cluster, kept)
    if wanted is None:
        return _none_given(seen, cluster)
    return None if wanted == kept else quietly(seen, ApplyObject(None, kubeconfig_secret(seen, wanted)))


def kubeconfig_secret(seen: ClusterObservation, wanted: StoredSecret) -> dict[str, Any]:
    """The Secret that holds the admin kubeconfig, owned by the resource, with the cluster that it belongs to."""
    meta = seen.resource.metadata
    owner = {
        "apiVersion": "tunesmith.dev/v1alpha1",
        "kind": "GPUCluster",
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    annotations = {
        CLUSTER_ID_ANNOTATION: wanted.cluster_id,
        KUBE_SYSTEM_ANNOTATION: wanted.kube_system_uid,
        REPLACED_ANNOTATION: wanted.replaced,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": KUBECONFIG_TYPE,
        "metadata": {
            "name": seen.secret_name,
            "namespace": meta.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY, CLUSTER_NAME_LABEL: meta.name},
            "annotations": {key: value for key, value in annotations.items() if value},
            "ownerReferences": [owner],
        },
        "data": {KUBECONFIG_KEY: base64.b64encode(wanted.value.encode()).decode()},
    }


def not_reachable(seen: ClusterObservation) -> ClusterDecision | None:
    """Without an answer from the cluster's own API nothing is known of its nodes; unknown never means "none"."""
    cluster = seen.bought
    unknown = next((fact for fact in (seen.nodes, seen.inside) if isinstance(fact, Unknown)), None)
    if unknown is None or cluster is None:
        return None
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    if isinstance(unknown, OtherCluster):
        message = (
            f"{unknown.why} Nothing is run there. If the provider has built the cluster anew under its id, delete "
        )
        message += f"the Secret '{seen.secret_name}': it is written again."
        return stalled(seen, Reason.ANOTHER_CLUSTER, message, status=status, verdicts=facts)
    if isinstance(unknown, Refused):
        message = f"{unknown.why} Nothing is run in the cluster. Ask the provider for one with a certificate or token "
        message += "only, or delete this resource."
        return stalled(seen, Reason.KUBECONFIG_REFUSED, message, status=status, verdicts=facts)
    if not isinstance(unknown, NotYet):
        return _no_answer(seen, cluster, unknown)
    if seen.status.first_ready_time is not None:
        return quietly(seen)  # this process has only just begun to look; what was told before still stands
    message = "The provider has built the cluster; the operator is connecting to its own Kubernetes."
    return working(seen, Reason.CONNECTING, message, status=status, verdicts=facts)


def with_fresh_kubeconfig(seen: ClusterObservation, decision: ClusterDecision) -> ClusterDecision:
    """The decision, with a look at the one cluster past the list when its kubeconfig is missing, rejected or ageing."""
    cluster = seen.bought
    metadata = seen.resource.metadata
    if (
        cluster is None
        or is_paused(metadata)
        or metadata.is_being_deleted
        or not isinstance(seen.credential, Credential)
    ):
        return decision
    if reason_of(decision.status.conditions, "Ready") == Reason.ALREADY_OWNED:
        return decision  # it is somebody else's to ask for
    interval = _ask_every_seconds(seen, cluster)
    if interval is None or any(action.costs_money for action in decision.actions):
        return decision
    asked = seen.provider.fetched.get(cluster.id)
    if asked is not None and seen.around.monotonic < asked + interval:
        return decision
    return decision.with_actions(LookAtCluster(seen.around.monotonic, cluster.id))


def _ask_every_seconds(seen: ClusterObservation, cluster: ProviderCluster) -> float | None:
    """How often a newer kubeconfig is asked for; None: the present one will do."""
    if cluster.phase in {Phase.DELETING, Phase.PAUSED} or is_being_built(seen, cluster):
        return None
    if isinstance(seen.nodes, Rejected):
        return NEEDED_NOW_SECONDS
    if isinstance(seen.kubeconfig_secret, Unknown):
        return None
    kept = kept_kubeconfig(seen)
    if kept is None:
        return None if cluster.kubeconfig and seen.offered.whole else NEEDED_NOW_SECONDS
    ageing = kept.renew_at is not None and seen.around.now >= kept.renew_at
    return AGEING_SECONDS if ageing else None


def _wanted_secret(
    seen: ClusterObservation, cluster: ProviderCluster, kept: StoredSecret | None
) -> StoredSecret | None:
    """What the Secret should hold; None: there is nothing to put into it."""
    offered = cluster.kubeconfig if not seen.offered.problem else ""
    if kept is None:
        return StoredSecret(frozenset(), offered, cluster.id) if offered else None
    uid = kept.kube_system_uid or seen.kube_system_uid
    if not offered or offered == kept.value or hash_of(offered) == kept.replaced:
        # A list can be older than the answer that the newer one came from: what was replaced never comes back.
        return kept if uid == kept.kube_system_uid else _marked(kept, uid)
    return StoredSecret(kept.owner_uids, offered, cluster.id, uid, hash_of(kept.value))


def _marked(kept: StoredSecret, uid: str) -> StoredSecret:
    return StoredSecret(kept.owner_uids, kept.value, kept.cluster_id, uid, kept.replaced)


def _none_given(seen: ClusterObservation, cluster: ProviderCluster) -> ClusterDecision:
    """The provider is done and gives no kubeconfig: awaited for a while, then told as a fault."""
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    message, since = not_given(seen, cluster), usable_from(seen, cluster)
    left = seconds_left(seen.around, Stage.KUBECONFIG, since)
    if left > 0:
        return working(seen, Reason.KUBECONFIG_MISSING, message, status=status, verdicts=facts, again=left)
    allowed = allowed_seconds(seen.around, Stage.KUBECONFIG)
    message += (
        f" It was awaited{since_in_words(since)}, longer than the {allowed} s that the installation allows. Ask the "
    )
    message += f"provider's support with the id '{cluster.id}'; the cluster costs money all the while."
    return stalled(seen, Reason.KUBECONFIG_MISSING, message, status=status, verdicts=facts)


def _no_answer(seen: ClusterObservation, cluster: ProviderCluster, unknown: Unknown) -> ClusterDecision:
    """Nobody answers, or nobody lets us in: tried on, and after a while told as a fault."""
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    since = holds_since(seen, "NodesHealthy", holds=None)
    if since is not None:
        since = latest(since, usable_from(seen, cluster), holds_since(seen, "KubeconfigAvailable", holds=True))
    left = seconds_left(seen.around, Stage.REACHABLE, since)
    if isinstance(unknown, Rejected):
        reason, message = Reason.KUBECONFIG_REJECTED, f"{unknown.why} The provider is asked for a newer one."
    else:
        reason, message = Reason.CLUSTER_UNREACHABLE, f"The cluster's own Kubernetes cannot be reached: {unknown.why}"
    if left > 0:
        return working(seen, reason, message, status=status, verdicts=facts, again=left)
    allowed = allowed_seconds(seen.around, Stage.REACHABLE)
    message += (
        f" That has been so{since_in_words(since)}, longer than the {allowed} s that the installation allows. See "
    )
    message += f"the provider's console, or ask its support with the id '{cluster.id}'; it is tried on."
    lasting = Reason.UNREACHABLE if reason is Reason.CLUSTER_UNREACHABLE else reason
    return stalled(seen, lasting, message, status=status, verdicts=facts)
