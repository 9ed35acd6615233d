"""The operator is killed while the provider works on its order: the next one looks before it buys, and buys nothing."""

from __future__ import annotations

import time
from typing import ClassVar

from tunesmith_demo.operator_process import kill_operator, operator_pid
from tunesmith_demo.promises import promised, until
from tunesmith_demo.stories.telling import CLUSTER_SECONDS, Telling
from tunesmith_simulator.faults import Delay

HELD_SECONDS = 5.0
"""How long the provider thinks about the order: longer than the kill takes, shorter than the operator's `settle`."""
ARRIVAL_SECONDS = 1.0
"""The fault strikes with the first line of the request; by then the rest has come too."""
RESTART_SECONDS = 90


class Crash(Telling):
    """The operator killed in the middle of a create: one cluster bought."""

    name: ClassVar[str] = "crash"
    title: ClassVar[str] = "the operator killed in the middle of a create: one cluster bought, and it is found again"

    def tell(self) -> None:
        """An order on its way, a kill, an order that nobody hears the answer of, a new process."""
        with self.view.step(f"let the provider think {HELD_SECONDS:.0f} s about the next order"):
            fault = self.admin.arm_next("POST clusters", Delay(seconds=HELD_SECONDS))
        with self.view.step("declare a cluster, and kill the operator while its order is on its way"):
            self.apply("crash.yaml")
            until(
                lambda: any(each.number == fault.number and each.struck for each in self.admin.faults().faults),
                CLUSTER_SECONDS,
                lambda: f"no order was sent: {self.told('GPUCluster', 'Ready')}",
            )
            time.sleep(ARRIVAL_SECONDS)
            killed = kill_operator(self.stage.cluster.server)
            self.check_nobody_knows()
        with self.view.step("the order takes effect although nobody is there; another process starts"):
            until(lambda: len(self.clusters()) == 1, RESTART_SECONDS, lambda: "the provider forgot the order")
            until(
                lambda: operator_pid(self.stage.cluster.server) not in {None, killed},
                RESTART_SECONDS,
                lambda: "the operator's pod did not start it again",
            )
        with self.view.step("it looks before it buys, and takes what it finds by name"):
            until(
                lambda: bool(self.status().get("clusterID")),
                CLUSTER_SECONDS,
                lambda: f"the cluster was not found again: {self.told('GPUCluster', 'Ready')}",
            )
            self.check_the_same_one()
        with self.view.step("wait until it is usable"):
            self.await_ready()
            self.check_one_order()

    def check_nobody_knows(self) -> None:
        """What the dead process wrote before it ordered is all that is known."""
        intent = self.status().get("createIntent") or {}
        promised(intent.get("name"), "the intent should have been written before the order was sent")
        self.say(f"killed. Written before the order: status.createIntent.name {intent.get('name')}; no id")

    def check_the_same_one(self) -> None:
        """The id in the status is the one of the order whose answer was lost."""
        sold = self.live_cluster()
        found = self.status().get("clusterID")
        promised(found == sold["cluster_id"], f"status.clusterID should be {sold['cluster_id']}; it is {found}")
        self.say(f"found by its name: {sold['cluster_name']} is {found}")

    def check_one_order(self) -> None:
        """One order in the provider's record, one cluster sold."""
        answers = self.orders()
        promised(len(answers) == 1, f"one order should be in the provider's record; it has {answers}")
        self.live_cluster()
        self.say("orders at the provider, by its record: 1; clusters sold: 1")
