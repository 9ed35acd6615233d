"""How a story is told: one namespace of its own, the provider's record since it began, and its books at the end."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from tunesmith_demo import books
from tunesmith_demo.picture import GROUP, Lens, dollars
from tunesmith_demo.promises import BrokenPromiseError, promised, until
from tunesmith_demo.reader import Object, Reader, condition, is_true
from tunesmith_demo.stage import Stage
from tunesmith_demo.view import View
from tunesmith_simulator.admin_client import AdminClient

NAME = "train"
PLURALS = {"GPUCluster": "gpuclusters", "SharedVolume": "sharedvolumes", "FineTuneJob": "finetunejobs"}
CLUSTER_SECONDS = 300
WEIGHTS_SECONDS = 300
JOB_SECONDS = 600
GONE_SECONDS = 180
ORDER = "POST /v1/compute/clusters"


@dataclass
class Telling(ABC):
    """One story on a stage where the operator runs. What it declares is called `train`, in a namespace of its own.

    `title` is what is promised, in a line. `bought` is how many clusters are bought in all, when all goes well.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    bought: ClassVar[int] = 1
    has_volume: ClassVar[bool] = False
    has_job: ClassVar[bool] = False
    shows_nodes: ClassVar[bool] = False

    stage: Stage
    view: View
    reader: Reader
    _known: set[str] = field(default_factory=set)
    _orders: int = 0

    @abstractmethod
    def tell(self) -> None:
        """What happens, and each promise. Raises BrokenPromiseError for the first that is not kept."""

    def open(self) -> None:
        """Remember what the provider holds, make the namespace, and let the view look at it."""
        self._known = {each["cluster_id"] for each in self.stage.provider_state()["clusters"]}
        self._known |= {each["volume_id"] for each in self.stage.provider_state()["volumes"]}
        self._orders = len(self._all_orders())
        self.stage.kubectl("create", "namespace", self.namespace)
        self.view.look_through(
            Lens(
                self.stage.reader(),
                self.namespace,
                NAME,
                NAME if self.has_volume else None,
                NAME if self.has_job else None,
                with_nodes=self.shows_nodes,
            )
        )

    def close_the_books(self) -> None:
        """Compare what it has cost by the provider's ledger and by the operator's statuses."""
        shown = [self.resource("GPUCluster"), self.resource("SharedVolume") if self.has_volume else None]
        told, _ = dollars(shown, datetime.now(UTC))
        ledger = self._ledger()
        doubts = (Decimal((each or {}).get("status", {}).get("cost", {}).get("uncertainUSD") or 0) for each in shown)
        both = books.Books(books.usd(ledger), Decimal(told), sum(doubts, Decimal(0)), books.dearest_hour(ledger))
        self.say(f"dollars so far: {both}")
        promised(both.agree, f"ledger and statuses should agree; they say {both}")

    def give_back(self) -> None:
        """Delete what was declared; nothing of it is left at the provider, and nothing more was bought."""
        for kind in ("FineTuneJob", "GPUCluster", "SharedVolume"):
            arguments = ("--namespace", self.namespace, f"--timeout={GONE_SECONDS}s", "--ignore-not-found")
            self.stage.kubectl("delete", kind.lower(), NAME, *arguments)
        left = [each for each in (*self.clusters(), *self.volumes()) if not each["gone_at"]]
        promised(not left, f"the provider should hold nothing of it; it holds {left}")
        count = len(self.clusters())
        promised(count == self.bought, f"{self.bought} cluster(s) should have been bought in all; it was {count}")
        paid = self._ledger()
        self.say(
            f"in all: {count} cluster(s) bought, {books.minutes_billed(paid):.1f} minutes billed, "
            f"${books.usd(paid):.2f} by the ledger; ${self._per_hour()} an hour from now on"
        )
        promised(self._per_hour() == 0, "nothing should bill any more")

    # -- what stories do ----------------------------------------------------------------------------------------------

    @property
    def namespace(self) -> str:
        """The story's own."""
        return f"story-{self.name}"

    @property
    def manifests(self) -> Path:
        """What a user writes in this story."""
        return self.stage.root / "examples" / "stories"

    @property
    def admin(self) -> AdminClient:
        """The provider's simulator, as its own people would touch it."""
        return AdminClient(self.stage.provider_url)

    def say(self, text: str) -> None:
        """A line that stays."""
        self.view.say(f"    {text}")

    def apply(self, file: str) -> None:
        """`kubectl apply` of one of the story's files."""
        self.stage.kubectl("apply", "--namespace", self.namespace, "-f", str(self.manifests / file))

    def await_ready(self) -> None:
        """The cluster becomes Ready, by `kubectl wait`, as a script would."""
        arguments = ("wait", "--for=condition=Ready", f"gpucluster/{NAME}", "--namespace", self.namespace)
        done = self.stage.kubectl.run((*arguments, f"--timeout={CLUSTER_SECONDS}s"))
        promised(done.returncode == 0, f"the cluster did not become Ready: {self.told('GPUCluster', 'Ready')}")
        self.bought_kubectl()

    def bring_weights(self) -> None:
        """A Job in the bought cluster puts a tiny random model on the volume."""
        bought = self.bought_kubectl()
        bought("apply", "-f", str(self.manifests / "weights.yaml"))

        def complete() -> bool:
            found = bought.run(("get", "job", "weights", "--namespace", "tunesmith-jobs", "-o", "json"))
            job = json.loads(found.stdout) if found.returncode == 0 else None
            promised(not is_true(job, "Failed"), "the Job that brings the weights failed")
            return is_true(job, "Complete")

        until(complete, WEIGHTS_SECONDS, lambda: "the Job that brings the weights did not complete")

    def bring_data(self) -> None:
        """The rows to train on, as a ConfigMap."""
        rows = self.stage.root / "examples" / "demo" / "training.jsonl"
        where = ("--namespace", self.namespace, f"--from-file={rows}")
        self.stage.kubectl("create", "configmap", "rows", *where)

    def await_succeeded(self) -> None:
        """The job ends well."""

        def ended() -> bool:
            job = self.resource("FineTuneJob")
            promised(not is_true(job, "Failed"), f"the job failed: {condition(job, 'Failed').get('message')}")
            return is_true(job, "Succeeded")

        until(ended, JOB_SECONDS, lambda: f"the job did not succeed: {self.told('FineTuneJob', 'Ready')}")

    # -- what there is ------------------------------------------------------------------------------------------------

    def resource(self, kind: str) -> Object | None:
        """The story's resource of a kind."""
        return self.reader.get(f"{GROUP}/namespaces/{self.namespace}/{PLURALS[kind]}/{NAME}")

    def status(self, kind: str = "GPUCluster") -> Object:
        """Its status; empty while there is none."""
        found: Object = (self.resource(kind) or {}).get("status", {})
        return found

    def told(self, kind: str, about: str) -> str:
        """Reason and message of a condition."""
        seen = condition(self.resource(kind), about)
        return f"{seen.get('reason')}: {seen.get('message')}"

    def events(self, reason: str) -> list[str]:
        """The messages of the Events with a reason."""
        found = self.reader.items(f"/api/v1/namespaces/{self.namespace}/events")
        return [each["message"] for each in found if each["reason"] == reason]

    def clusters(self) -> list[Object]:
        """Every cluster that the provider ever sold since the story began."""
        found = self.stage.provider_state()["clusters"]
        return [each for each in found if each["cluster_id"] not in self._known]

    def volumes(self) -> list[Object]:
        """Every volume that the provider ever sold since the story began."""
        return [each for each in self.stage.provider_state()["volumes"] if each["volume_id"] not in self._known]

    def live_cluster(self) -> Object:
        """The one cluster that the provider holds for the story; there must be exactly one."""
        live = [each for each in self.clusters() if not each["gone_at"]]
        promised(len(live) == 1, f"the provider should hold one cluster; it holds {len(live)}")
        return live[0]

    def orders(self) -> list[int | None]:
        """What the provider answered to each order of a cluster since the story began; None: nobody was there."""
        return [each["status"] for each in self._all_orders()[self._orders :]]

    def bought_kubectl(self) -> Any:
        """kubectl for the bought cluster, by the kubeconfig in the operator's Secret."""
        secret = self.reader.get(f"/api/v1/namespaces/{self.namespace}/secrets/{NAME}-kubeconfig")
        if secret is None:
            raise BrokenPromiseError(f"the Secret '{NAME}-kubeconfig' should open the cluster; it is not there")
        return self.stage.kubectl_by(secret, self.stage.directory / f"{self.namespace}.kubeconfig")

    def _all_orders(self) -> list[dict[str, Any]]:
        return [each for each in self.admin.requests() if f"{each['method']} {each['path']}" == ORDER]

    def _ledger(self) -> tuple[Any, ...]:
        ids = {each["cluster_id"] for each in self.clusters()} | {each["volume_id"] for each in self.volumes()}
        return books.entries_of(self.admin.ledger(), ids)

    def _per_hour(self) -> Decimal:
        return sum((Decimal(each.usd_per_hour) for each in self._ledger()), Decimal(0))
