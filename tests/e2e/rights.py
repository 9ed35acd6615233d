"""What the chart's roles grant, what the audit log shows of it, and the rights that only a rare moment needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.e2e.audit import Request

OURS = "tunesmith.dev"
CREATED = 201


class Right(NamedTuple):
    """One thing that a role allows: a verb on a resource, with its subresource after a slash."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' if self.group else ''}{self.group}"


class Rare(NamedTuple):
    """Why a right is granted that an ordinary run does not need, and the test that meets the moment."""

    why: str
    shown_by: str


_CONFLICT = Rare(
    "read again when somebody else wrote first",
    "tests/unit/tunesmith/controllers/test_reconciler.py::"
    "test_a_failed_status_write_ends_the_pass_before_anything_outside_is_touched",
)
_REPEATED = Rare(
    "an Event that was told before counts up",
    "tests/unit/tunesmith/kube/test_events.py::test_a_repetition_counts_up_the_event_that_is_there",
)

RARE: Mapping[Right, Rare] = {
    **{Right(OURS, kind, "get"): _CONFLICT for kind in ("finetunejobs", "gpuclusters", "catalogmodels", "gpuregions")},
    Right("", "events", "get"): _REPEATED,
    Right("", "events", "patch"): _REPEATED,
    Right("", "pods", "delete"): Rare(
        "`onDelete: Abort` ends pods at once",
        "tests/unit/tunesmith/planning/test_fine_tune_job.py::test_abort_does_not_wait_for_a_checkpoint",
    ),
    Right("", "secrets", "delete"): Rare(
        "the kubeconfig of a cluster that vanished, before the next one is bought",
        "tests/unit/tunesmith/planning/test_lifetime.py::test_what_a_vanished_cluster_left_here_goes_first",
    ),
    Right("", "namespaces", "get"): Rare(
        "kube-system, once at the start, where the chart's `installationID` is left to be derived",
        "tests/integration/operator/test_install.py::test_its_service_account_may_do_all_that_it_does",
    ),
}
"""By right."""


def granted(roles: Iterable[Mapping[str, Any]]) -> frozenset[Right]:
    """Every right of these roles."""
    return frozenset(
        Right(group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def used(requests: Iterable[Request]) -> frozenset[Right]:
    """The rights that these requests needed. An apply that makes the object needs `create` beside `patch`."""
    found: set[Right] = set()
    for each in requests:
        resource = "/".join(filter(None, (each.resource, each.subresource)))
        found.add(Right(each.group, resource, each.verb))
        if each.verb == "patch" and each.code == CREATED:
            found.add(Right(each.group, resource, "create"))
    return frozenset(found)
