"""A node loses GPUs under a running job: the job saves and goes on elsewhere, the node is repaired and comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from tunesmith_demo.promises import promised, until
from tunesmith_demo.stories.telling import JOB_SECONDS, Telling
from tunesmith_devcluster.cluster import Cluster
from tunesmith_devcluster.nodes import fault

LOST_GPUS = 3
REPAIR_SECONDS = 180


class Repair(Telling):
    """A broken node repaired under a running job."""

    name: ClassVar[str] = "repair"
    title: ClassVar[str] = "a broken node repaired under a running job: no step of training lost, nothing bought for it"
    has_volume: ClassVar[bool] = True
    has_job: ClassVar[bool] = True
    shows_nodes: ClassVar[bool] = True
    broken: str = ""

    def tell(self) -> None:
        """Training, three GPUs gone, a move, a repair, an end."""
        with self.view.step("declare a cluster of two nodes, and put a model on its volume"):
            self.apply("repair.yaml")
            self.await_ready()
            self.bring_weights()
            self.bring_data()
        with self.view.step("train on one of them until a checkpoint is there"):
            self.apply("repair-job.yaml")
            self.await_checkpoint()
        with self.view.step(f"break that node: {LOST_GPUS} of its 8 GPUs fall off the bus"):
            self.break_the_node()
        with self.view.step("the job is told first: it saves, and goes on on the other node"):
            self.await_moved()
        with self.view.step("the node is repaired by the provider and used again"):
            self.await_repaired()
        with self.view.step("the job goes on to its end"):
            self.await_succeeded()
            self.check_nothing_lost()

    def await_checkpoint(self) -> None:
        """Training is under way, and there is something to lose."""
        until(
            lambda: bool((self.status("FineTuneJob").get("checkpoint") or {}).get("step")),
            JOB_SECONDS,
            lambda: f"no checkpoint was told: {self.told('FineTuneJob', 'Ready')}",
        )

    def break_the_node(self) -> None:
        """The machine goes on, with five GPUs that Kubernetes can give out; who holds the others keeps running."""
        self.broken = self._node_of_the_job()
        sold = self.live_cluster()
        directory = self.stage.directory / "provider" / "clusters" / sold["cluster_id"]
        fault.lose_gpus(Cluster.open(directory).node_directory(self.broken), LOST_GPUS)
        self.say(f"{self.broken} has {8 - LOST_GPUS} GPUs now; the job was at step {self._step()}")

    def await_moved(self) -> None:
        """A second attempt runs, on the node that is well."""
        until(
            lambda: self.status("FineTuneJob").get("attempt") == 2 and self._node_of_the_job() not in {"", self.broken},
            REPAIR_SECONDS,
            lambda: f"the job did not move: {self.told('FineTuneJob', 'Ready')}",
        )
        saving = self.events("Saving")
        promised(saving, "the job should have been told to save (Event Saving)")
        self.say(f"Event Saving: {saving[-1]}")
        self.say(f"attempt 2 is on {self._node_of_the_job()}")

    def await_repaired(self) -> None:
        """The repair is in the provider's record and in the status; the node is whole and may be used."""

        def repaired() -> bool:
            records = [each for each in self.status().get("repairs", []) if each.get("node") == self.broken]
            return any(each.get("outcome") == "SUCCEEDED" for each in records) and self._is_whole()

        until(repaired, REPAIR_SECONDS, lambda: f"the node was not repaired: {self._seen_of_the_repair()}")
        asked = self.admin.repairs()["remediations"]
        mine = [each for each in asked if each.get("cluster_id", "") in {"", self.live_cluster()["cluster_id"]}]
        promised(len(mine) == 1, f"one repair should be in the provider's record; it has {len(mine)}")
        record = next(each for each in self.status()["repairs"] if each.get("node") == self.broken)
        self.say(f"status.repairs: {record['mode']} of {self.broken} {record['outcome']}; it has 8 GPUs, uncordoned")

    def check_nothing_lost(self) -> None:
        """The second attempt began where the first had saved, and no restart was counted; one cluster was bought."""
        status = self.status("FineTuneJob")
        promised(not status.get("restarts"), f"a repair counts as no restart; status has {status.get('restarts')}")
        promised(not status.get("blamedNodes"), f"no node should be blamed; {status.get('blamedNodes')} is")
        result = json.loads((self._volume() / status["output"]["path"] / "result.json").read_text())
        self.say(
            f"succeeded in attempt {status['attempt']}, resumed from step {result['resumedFromStep']}; restarts: 0"
        )
        promised(result["resumedFromStep"] > 0, "the second attempt should have gone on from a checkpoint")
        self.live_cluster()
        promised(len(self.clusters()) == 1, "no other cluster should have been bought")

    # -- how ----------------------------------------------------------------------------------------------------------

    def _node_of_the_job(self) -> str:
        admission = self.status("FineTuneJob").get("admission") or {}
        pods: list[dict[str, Any]] = admission.get("pods", [])
        return str(pods[0]["node"]) if pods else ""

    def _step(self) -> int:
        return int((self.status("FineTuneJob").get("progress") or {}).get("step", 0))

    def _is_whole(self) -> bool:
        node = json.loads(self.bought_kubectl()("get", "node", self.broken, "-o", "json"))
        whole = node["status"].get("allocatable", {}).get("nvidia.com/gpu") == "8"
        return whole and not node["spec"].get("unschedulable")

    def _seen_of_the_repair(self) -> str:
        status = self.status()
        return json.dumps({key: status.get(key) for key in ("repairs", "suspectNodes", "leavingNodes")})

    def _volume(self) -> Path:
        return self.stage.directory / "provider" / "volumes" / str(self.status("SharedVolume")["volumeID"])
