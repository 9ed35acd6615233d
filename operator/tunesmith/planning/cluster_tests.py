"""What the provider's acceptance tests said of a cluster: passed, failed, skipped, not asked for, or still running.

provider: there is no failed status. A failure shows only as a phase, of the hardware tests or of the NCCL tests; which
status goes with it is not documented, so the phases alone are believed.
"""

from __future__ import annotations

from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.provider import Phase, ProviderCluster
from tunesmith.planning.verdict import Verdict
from tunesmith.resources.gpu_cluster_parts import AcceptanceTest
from tunesmith.resources.reasons import Reason

_PREFIX = "CLUSTER_PHASE_"
SUITES = {
    "acceptance tests": ("RUNNING_ACCEPTANCE_TESTS", "ACCEPTANCE_TESTS_FAILED"),
    "NCCL tests": ("RUNNING_NCCL_TESTS", "NCCL_TESTS_FAILED"),
}


def failed_suites(cluster: ProviderCluster) -> tuple[str, ...]:
    """The suites whose newest word is a failure. One that runs again after it has not failed."""
    newest = {step.phase.removeprefix(_PREFIX): step.time for step in sorted(cluster.phases, key=lambda s: s.time)}
    failed = []
    for suite, (running, failure) in SUITES.items():
        if failure in newest and (running not in newest or newest[running] <= newest[failure]):
            failed.append(suite)
    return tuple(failed)


def tests_failed_as_asked(seen: ClusterObservation, cluster: ProviderCluster) -> bool:
    """They failed, and the cluster is not usable for it: they were asked for, or the provider has not let it pass."""
    if not failed_suites(cluster):
        return False
    return seen.spec.acceptance_tests is not None or cluster.phase is Phase.IN_PROGRESS


def tested(seen: ClusterObservation, cluster: ProviderCluster) -> Verdict:
    """Condition AcceptanceTested."""
    failed = failed_suites(cluster)
    if failed:
        message = f"The provider's {' and '.join(failed)} failed. Ask its support with the id '{cluster.id}', or delete"
        return Verdict(False, Reason.TESTS_FAILED, f"{message} this resource and buy another cluster.")
    ran = any(step.phase.removeprefix(_PREFIX) in _RUNNING for step in cluster.phases)
    handed_over = cluster.phase in {Phase.READY, Phase.DEGRADED} or seen.status.first_ready_time is not None
    wanted = seen.spec.acceptance_tests
    if wanted is not None and set(wanted.skip) == set(AcceptanceTest):
        return Verdict(None, Reason.TESTS_SKIPPED, "Every acceptance test is left out, as `spec.acceptanceTests` says.")
    if not handed_over:
        return Verdict(None, Reason.NOT_TESTED_YET, "The provider tests the cluster before it is Ready.")
    if ran:
        left_out = ", ".join(wanted.skip) if wanted is not None else ""
        but = f" Left out, as asked: {left_out}." if left_out else ""
        return Verdict(True, Reason.TESTS_PASSED, f"The provider's acceptance tests let it pass.{but}")
    if wanted is None:
        message = "No acceptance tests were asked for, and the provider shows none."
        return Verdict(None, Reason.TESTS_NOT_ASKED_FOR, message)
    if not cluster.phases:
        message = "The provider handed the cluster over after the tests that were asked for; it shows no details."
        return Verdict(True, Reason.TESTS_PASSED, message)
    message = (
        "The tests that were asked for do not show among the cluster's phases; the provider may have skipped them."
    )
    return Verdict(None, Reason.TESTS_NOT_SHOWN, message)


_RUNNING = frozenset(running for running, _ in SUITES.values())
