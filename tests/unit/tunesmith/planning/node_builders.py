"""Bought clusters with broken nodes: what the provider records of them, and a world in which passes follow passes."""

from dataclasses import replace
from datetime import timedelta

from tests.unit.tunesmith.planning.cluster_builders import (
    INSTALLATION,
    MONOTONIC,
    NOW,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    nodes,
)

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.circumstances import FailureRecord, Known
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider, LookAtRemediations
from tunesmith.planning.provider import ProviderNode, Remediation
from tunesmith.planning.retry import hold_back

READY_LONG_AGO = "2026-01-01T10:00:00Z"


def a_record(index, **more):
    """The provider's record of `node-<index>`."""
    return ProviderNode(
        **{"id": f"id-{index}", "host_name": f"node-{index}", "instance_id": f"vm-{index}", "phase": "RUNNING", **more}
    )


def a_repair(index=0, state="RUNNING", *, mode="REBOOT_VM", at=NOW, repair_id="r-1", **more):
    """A repair of `node-<index>` at the provider."""
    facts = {"instance_name": f"node-{index}", "created": at, **more}
    return Remediation(repair_id, "c-1", f"vm-{index}", mode, state, **facts)


class World:
    """One bought cluster, its provider and the time. A pass writes its status, cordons and looks as asked for."""

    def __init__(self, count=4, *, status=None, installation=INSTALLATION, events=(), **spec):
        self.spec = {"nodes": count, "repair": {"mode": "Reboot"}, **spec}
        self.installation = installation
        self.count, self.events = count, events
        self.nodes = list(nodes(count).value)
        self.records = [a_record(index) for index in range(count)]
        self.repairs: tuple[Remediation, ...] = ()
        self.jobs, self.pods, self.blames = (), (), {}
        self.seconds = 0.0
        self.status = status or bought_status(firstReadyTime=READY_LONG_AGO)
        self.listed = self.looked = None
        self.failures, self.asked, self.told = {}, [], []
        self.lists_repairs = True
        self.refuses = None  # a Failure: how the provider answers every request to repair

    def break_node(self, index=0, **how):
        self.nodes[index] = replace(self.nodes[index], **{"ready": False, **how})

    def mend_node(self, index=0):
        self.nodes[index] = replace(self.nodes[index], ready=True, gpus=8)

    def forget(self):
        """The operator's process is a new one."""
        self.listed = self.looked = None
        self.failures = {}

    def observe(self):
        monotonic = MONOTONIC + self.seconds
        cluster = a_provider_cluster(gpus=self.count * 8, nodes=tuple(self.records), events=tuple(self.events))
        view = a_view(cluster, begun=monotonic if self.listed is None else self.listed)
        if self.looked is not None:
            view = replace(view, remediations={"c-1": self.looked})
        seen = a_running_cluster(
            view=view,
            status=self.status,
            spec=self.spec,
            nodes=Known(tuple(self.nodes), monotonic),
            pods=Known(tuple(self.pods), monotonic),
            jobs=tuple(self.jobs),
            blames=self.blames,
        )
        around = replace(
            seen.around,
            now=NOW + timedelta(seconds=self.seconds),
            monotonic=monotonic,
            failures=self.failures,
            installation=self.installation,
        )
        return replace(seen, around=around)

    def step(self):
        """One pass; the requests to repair are kept in `asked`."""
        seen = self.observe()
        decision = hold_back(decide(seen), seen.around)
        self.status = decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.told += [event.reason for event in decision.events]
        for action in decision.actions:
            self._carry_out(action)
        return decision

    def settle(self, seconds=0.0):
        """Time passes, then passes until nothing more is to be done."""
        self.seconds += seconds
        for _ in range(20):
            before = self.status
            decision = self.step()
            if not decision.actions and self.status == before:
                return decision
        raise AssertionError("it does not come to rest")

    def _carry_out(self, action):
        monotonic = MONOTONIC + self.seconds
        match action:
            case LookAtProvider():
                self.listed = monotonic
            case LookAtRemediations():
                self.looked = Known(self.repairs if self.lists_repairs else (), monotonic)
            case ApplyObject():
                self._cordon(action.manifest)
            case _:
                self._ask(action)

    def _ask(self, action):
        self.asked.append(action)
        before = self.failures.pop(action.identity, None)
        if self.refuses is not None:
            count = before.count + 1 if before is not None else 1
            record = FailureRecord(count, MONOTONIC + self.seconds, self.refuses)
            self.failures = {**self.failures, action.identity: record}

    def _cordon(self, manifest):
        name, why = manifest["metadata"]["name"], manifest["metadata"].get("annotations", {})
        for index, node in enumerate(self.nodes):
            if node.name == name:
                mark = why.get("tunesmith.dev/cordoned-for", "")
                self.nodes[index] = replace(node, cordoned="spec" in manifest, cordoned_for=mark)

    def leaving(self):
        return {node["name"]: node["reason"] for node in self.status.get("leavingNodes", ())}

    def condition(self, kind="NodesHealthy"):
        return next(each for each in self.status["conditions"] if each["type"] == kind)
