"""The first choice is out of stock, so is the second: the third is bought, and the status says which and why."""

from __future__ import annotations

from typing import ClassVar

from tunesmith_demo.promises import promised, until
from tunesmith_demo.stories.telling import CLUSTER_SECONDS, Telling
from tunesmith_simulator.happenings.to_accounts import SetStock

FIRST = {"region": "us-central-4", "gpuType": "H100_SXM"}
SECOND = {"region": "us-central-8", "gpuType": "B200_SXM"}
THIRD = {"region": "us-central-4", "gpuType": "H200_SXM"}
SOLD_OUT = 409


class Alternative(Telling):
    """Out of stock, then an alternative."""

    name: ClassVar[str] = "alternative"
    title: ClassVar[str] = (
        "out of stock, then an alternative: one cluster bought, and said why it is not the first choice"
    )

    def tell(self) -> None:
        """Three choices, of which two are sold out."""
        with self.view.step("somebody else takes the last B200s; the H100s of us-central-4 are sold out already"):
            self.admin.happen(SetStock(region=SECOND["region"], gpu_type=SECOND["gpuType"], free_gpus=0))
        with self.view.step("declare a cluster with two alternatives"):
            self.apply("alternative.yaml")
            until(
                lambda: bool(self.status().get("clusterID")),
                CLUSTER_SECONDS,
                lambda: f"no alternative was bought: {self.told('GPUCluster', 'Ready')}",
            )
            self.check_the_choice()
        with self.view.step("wait until it is usable"):
            self.await_ready()
            self.check_what_was_sold()

    def check_the_choice(self) -> None:
        """The status says what was bought, an Event why."""
        choice = self.status().get("choice")
        promised(choice == THIRD, f"status.choice should be {THIRD}; it is {choice}")
        why = self.events("Bought")
        promised(
            any(FIRST["gpuType"] in each and "out of stock" in each.lower() for each in why),
            f"the Event 'Bought' should say why it is not the first choice; it says {why}",
        )
        self.say(f"status.choice: {THIRD['gpuType']} in {THIRD['region']}")
        self.say(f"Event Bought: {why[-1]}")

    def check_what_was_sold(self) -> None:
        """The provider refused each choice once, in order, and sold one cluster: the third choice."""
        answers = self.orders()
        promised(
            len(answers) == 3 and answers[:2] == [SOLD_OUT, SOLD_OUT] and answers[2] in {200, 201},
            f"two refusals and a sale should be in the provider's record; it has {answers}",
        )
        sold = self.live_cluster()
        promised(
            (sold["region"], sold["gpu_type"]) == (THIRD["region"], THIRD["gpuType"]),
            f"the provider should have sold {THIRD}; it sold {sold['gpu_type']} in {sold['region']}",
        )
        self.say(f"orders at the provider, by its record: {', '.join(map(str, answers))}")
