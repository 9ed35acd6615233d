"""An idle cluster is given back, its resource and its volume stay; a waiting job has it bought again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from tunesmith_demo.promises import promised, until
from tunesmith_demo.reader import condition
from tunesmith_demo.stories.telling import CLUSTER_SECONDS, GONE_SECONDS, NAME, Telling

KEEP_ALIVE = "tunesmith.dev/keep-alive-until"
SECOND = 2  # incarnations count from 1


class Idle(Telling):
    """An idle cluster released, and bought again for a waiting job."""

    name: ClassVar[str] = "idle"
    title: ClassVar[str] = "an idle cluster given back by itself, and bought again for a job that waits"
    bought: ClassVar[int] = 2
    has_volume: ClassVar[bool] = True
    has_job: ClassVar[bool] = True

    def tell(self) -> None:
        """Used, unused, given back, wanted, had again."""
        with self.view.step("declare a cluster that is given back when nothing has used it for 12 s"):
            self.apply("idle.yaml")
            self.keep_alive()
            self.await_ready()
        with self.view.step("put a model on its volume; the annotation keep-alive-until keeps the cluster meanwhile"):
            self.bring_weights()
            self.bring_data()
        with self.view.step("leave it alone: it is warned about, then given back"):
            self.let_go()
            self.await_release()
            self.check_released()
        with self.view.step("submit a job for that cluster: it is bought again, and trains"):
            self.apply("idle-job.yaml")
            self.await_bought_again()
            self.await_succeeded()
            self.check_trained()

    def keep_alive(self) -> None:
        """The user's word that the cluster is needed for some time, though nothing runs on it."""
        until_time = (datetime.now(UTC) + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._annotate(f"{KEEP_ALIVE}={until_time}")

    def let_go(self) -> None:
        """That word taken back."""
        self._annotate(f"{KEEP_ALIVE}-")

    def await_release(self) -> None:
        """Released: given back at the provider, while the resource stays."""

        def released() -> bool:
            ready = condition(self.resource("GPUCluster"), "Ready")
            return ready.get("reason") == "Released" and all(each["gone_at"] for each in self.clusters())

        until(released, GONE_SECONDS, lambda: f"it was not released: {self.told('GPUCluster', 'Ready')}")

    def check_released(self) -> None:
        """The cluster is gone, the volume is not; the status says why and since when; only the volume bills."""
        release = self.status().get("release") or {}
        promised(release.get("reason") == "Idle", f"status.release should say Idle; it says {release}")
        promised(self.events("IdleLong"), "it should have been warned about first (Event IdleLong)")
        volumes = [each for each in self.volumes() if not each["gone_at"]]
        promised(len(volumes) == 1, f"the volume should have stayed; the provider holds {len(volumes)}")
        hourly = self.status().get("cost", {}).get("hourlyUSD") or "0"
        promised(float(hourly) == 0, f"a released cluster costs nothing an hour; the status says {hourly}")
        self.say(f"{self.told('GPUCluster', 'Ready')}")
        self.say(f"the provider holds no cluster and 1 volume; its ledger grows by ${self._per_hour():.4f} an hour")

    def await_bought_again(self) -> None:
        """The waiting job has a new incarnation bought; the job never has to be touched."""
        until(
            lambda: self.status().get("incarnation") == SECOND and bool(self.status().get("clusterID")),
            CLUSTER_SECONDS,
            lambda: f"it was not bought again: {self.told('GPUCluster', 'Ready')}",
        )
        sold = [each["cluster_name"] for each in self.clusters()]
        promised(len(set(sold)) == 2, f"two incarnations with names of their own should have been sold; it was {sold}")
        self.say(f"bought again as {sold[-1]}")

    def check_trained(self) -> None:
        """The job trained on the new cluster, from the weights on the old volume.

        The cluster may be on its way back by now: nothing uses it any more.
        """
        volumes = {each["volume_id"] for each in self.volumes()}
        attached = {each["volume_id"] for each in self.clusters()}
        promised(len(volumes) == 1, f"one volume should have served both clusters; there were {len(volumes)}")
        promised(attached == volumes, f"both clusters should have had the volume {volumes}; they had {attached}")
        output = self.status("FineTuneJob").get("output", {})
        self.say(f"the job succeeded; its adapter lies at {output.get('path')} on the volume")

    def _annotate(self, annotation: str) -> None:
        self.stage.kubectl("annotate", f"gpucluster/{NAME}", annotation, "--namespace", self.namespace, "--overwrite")
