"""What the demo does and checks, in order: each function is one promise of the product."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith_demo.ask import MARK
from tunesmith_demo.kubectl import Kubectl
from tunesmith_demo.picture import Lens
from tunesmith_demo.promises import PODS, BrokenPromiseError, Witness, promised, until
from tunesmith_demo.reader import Object, Reader, condition, is_true
from tunesmith_demo.stage import Stage
from tunesmith_demo.view import View

NAMESPACE = "demo"
NAME = "demo"
JOBS_NAMESPACE = "tunesmith-jobs"
QUESTION = "What is Tunesmith?"
PHRASE = "gives the money back"
LEAST_FALL = 0.30
LEAST_STEPS_SEEN = 3
ADAPTER = "adapter_model.safetensors"
CLUSTER_SECONDS = 300
WEIGHTS_SECONDS = 300
JOB_SECONDS = 900
ANSWERS_SECONDS = 300
GONE_SECONDS = 180


@dataclass
class Story:
    """One run of the demo on a stage. `quick` takes a tiny random model and asks it nothing."""

    stage: Stage
    view: View
    quick: bool = False
    answers: dict[str, str] = field(default_factory=dict)
    losses: tuple[float, float] = (0.0, 0.0)
    _bought: Kubectl | None = None
    _reader: Reader | None = None

    def tell(self) -> None:
        """Everything, from `helm install` to an empty provider."""
        with self.view.step("install the operator with Helm"):
            self.stage.install_operator()
            self._reader = self.stage.reader()
            self._open_eyes()
        with self.view.step("declare a cluster and a volume, and wait until they are bought and usable"):
            self.declare()
            self.await_cluster()
        with self.view.step("put the base model's weights on the volume, by a Job in the bought cluster"):
            self.bring_weights()
        with self.view.step("fine-tune it: LoRA SFT, two pods on two nodes"):
            self.train()
        with self.view.step("check the adapter"):
            self.check_adapter()
        if not self.quick:
            with self.view.step("ask the base model and the tuned one the same question"):
                self.ask()

    def give_back(self) -> None:
        """Delete everything that was declared, and check that the provider has nothing left."""
        with self.view.step("give everything back"):
            self.delete()
            self.check_nothing_left()

    # -- the promises -------------------------------------------------------------------------------------------------

    def declare(self) -> None:
        """Apply the demo's manifests but the job, whose data and model come with it."""
        examples, kubectl = self.examples, self.stage.kubectl
        kubectl("create", "namespace", NAMESPACE)
        kubectl("apply", "--namespace", NAMESPACE, "-f", str(examples / "cluster.yaml"))
        kubectl("apply", "-f", str(examples / "model.yaml"))

    def await_cluster(self) -> None:
        """The cluster becomes Ready, by `kubectl wait` as a script would; the kubeconfig Secret opens it."""
        self._kubectl_wait("Ready", f"gpucluster/{NAME}", CLUSTER_SECONDS)
        secret = self._secret(f"{NAME}-kubeconfig")
        self._bought = self.stage.kubectl_by(secret, self.stage.directory / "bought.kubeconfig")
        live = [each for each in self.stage.provider_state()["clusters"] if not each["gone_at"]]
        if len(live) != 1:
            raise BrokenPromiseError(f"one cluster should have been bought; the provider holds {len(live)}")

    def bring_weights(self) -> None:
        """A Job of the demo puts the model on the volume, through the claim that the operator made."""
        name = "weights-tiny.yaml" if self.quick else "weights.yaml"
        self.bought("apply", "-f", str(self.examples / name))
        self._await_remote_job("weights", WEIGHTS_SECONDS)

    def train(self) -> None:
        """The job succeeds; its pods, steps, speed and dollars were seen on the way."""
        kubectl = self.stage.kubectl
        data = [f"--from-file={self.examples / name}" for name in ("training.jsonl", "validation.jsonl")]
        kubectl("create", "configmap", "demo-data", "--namespace", NAMESPACE, *data)
        job = "job-quick.yaml" if self.quick else "job.yaml"
        kubectl("apply", "--namespace", NAMESPACE, "-f", str(self.examples / job))
        witness, lens = Witness(), self._lens()

        def ended() -> bool:
            witness.look(lens.look())
            found = self._resource("finetunejobs")
            if is_true(found, "Failed"):
                raise BrokenPromiseError(f"the job failed: {condition(found, 'Failed').get('message')}")
            return is_true(found, "Succeeded")

        with contextlib.closing(lens):
            until(ended, JOB_SECONDS, lambda: "the job did not succeed")
            witness.look(lens.look())  # what was told last
        witness.testify(steps=1 if self.quick else LEAST_STEPS_SEEN)
        self.view.say(f"    cost: ${witness.dollars} so far, ${witness.dollars_per_hour} an hour")

    def check_adapter(self) -> None:
        """The published files are whole, by the hash in the status; all ranks made them; the held-out loss fell."""
        status = (self._resource("finetunejobs") or {}).get("status", {})
        result = published(self.volume, status.get("output", {}))
        check_ranks(result)
        before, after = (float(result["evaluationLoss"][when]) for when in ("before", "after"))
        self.losses = (before, after)
        if after > before * (1 - LEAST_FALL):
            raise BrokenPromiseError(f"the loss on held-out rows fell from {before:.3f} to {after:.3f}, not by 30 %")
        self.view.say(f"    loss on held-out rows: {before:.3f} before, {after:.3f} after")

    def ask(self) -> None:
        """Both models answer the same question; only the tuned one knows the phrase."""
        status = (self._resource("finetunejobs") or {}).get("status", {})
        manifest = (self.examples / "ask.yaml").read_text().replace("ADAPTER_PATH", status["output"]["path"])
        self.bought("apply", "-f", "-", stdin=manifest.replace("QUESTION_TEXT", QUESTION))
        self._await_remote_job("ask", ANSWERS_SECONDS)
        lines = self.bought("logs", "job/ask", "--namespace", JOBS_NAMESPACE).splitlines()
        said = next((line for line in lines if line.startswith(MARK)), None)
        if said is None:
            raise BrokenPromiseError("the Job that asks both models printed no answers")
        self.answers = json.loads(said.removeprefix(MARK))
        for name in ("base", "tuned"):
            self.view.say(f"    {name}: {self.answers[name]}")
        if PHRASE in self.answers["base"]:
            raise BrokenPromiseError(f"the base model already knew '{PHRASE}'")
        if PHRASE not in self.answers["tuned"]:
            raise BrokenPromiseError(f"the tuned model did not say '{PHRASE}'")

    def delete(self) -> None:
        """Delete the job, the cluster and the volume, as a user would."""
        kubectl = self.stage.kubectl
        for what in ("finetunejob", "gpucluster", "sharedvolume"):
            kubectl("delete", what, NAME, "--namespace", NAMESPACE, f"--timeout={GONE_SECONDS}s", "--ignore-not-found")

    def check_nothing_left(self) -> None:
        """The provider's lists are empty, and it sold one cluster in all."""
        state = self.stage.provider_state()
        left = [each for kind in ("clusters", "volumes") for each in state[kind] if not each["gone_at"]]
        if left:
            raise BrokenPromiseError(
                f"the provider still holds {[each.get('cluster_name') or each['volume_name'] for each in left]}"
            )
        if len(state["clusters"]) != 1:
            raise BrokenPromiseError(f"one cluster should have been bought in all; it was {len(state['clusters'])}")

    # -- how --------------------------------------------------------------------------------------------------------

    @property
    def examples(self) -> Path:
        """The demo's manifests."""
        return self.stage.root / "examples" / "demo"

    @property
    def bought(self) -> Kubectl:
        """kubectl for the bought cluster."""
        if self._bought is None:
            raise BrokenPromiseError("no cluster was bought yet")
        return self._bought

    @property
    def volume(self) -> Path:
        """Where the provider keeps the demo's volume on this machine."""
        identifier: str = (self._resource("sharedvolumes") or {}).get("status", {})["volumeID"]
        return self.stage.directory / "provider" / "volumes" / identifier

    def _open_eyes(self) -> None:
        self.view.look_through(self._lens())

    def _lens(self) -> Lens:
        return Lens(self.stage.reader(), NAMESPACE, NAME, NAME, NAME)

    def _resource(self, plural: str) -> Object | None:
        assert self._reader is not None
        return self._reader.get(f"/apis/tunesmith.dev/v1alpha1/namespaces/{NAMESPACE}/{plural}/{NAME}")

    def _secret(self, name: str) -> dict[str, Any]:
        assert self._reader is not None
        found = self._reader.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}")
        if not found:
            raise BrokenPromiseError(f"the Secret '{name}' should hold the cluster's kubeconfig; it is not there")
        return found

    def _kubectl_wait(self, kind: str, what: str, seconds: int) -> None:
        arguments = ("wait", f"--for=condition={kind}", what, "--namespace", NAMESPACE, f"--timeout={seconds}s")
        done = self.stage.kubectl.run(arguments)
        if done.returncode != 0:
            seen = condition(self._resource("gpuclusters"), "Ready")
            raise BrokenPromiseError(f"{what} did not become {kind}: {seen.get('reason')}: {seen.get('message')}")

    def _await_remote_job(self, name: str, seconds: int) -> None:
        def ended() -> bool:
            job = json.loads(self.bought("get", "job", name, "--namespace", JOBS_NAMESPACE, "-o", "json"))
            if is_true(job, "Failed"):
                log = self.bought.run(("logs", f"job/{name}", "--namespace", JOBS_NAMESPACE, "--tail=20")).stdout
                raise BrokenPromiseError(f"the Job '{name}' failed:\n{log}")
            return is_true(job, "Complete")

        until(ended, seconds, lambda: f"the Job '{name}' did not complete")


def published(volume: Path, output: dict[str, Any]) -> dict[str, Any]:
    """What `result.json` says, after each file that it names was read. Raises BrokenPromiseError for one that differs.

    `output` is `status.output`, whose hash is that of `result.json` itself.
    """
    place = volume / str(output.get("path"))
    if _sha256(place / "result.json") != output.get("sha256"):
        raise BrokenPromiseError(f"'result.json' at {output.get('path')} is not the one whose hash the job tells")
    result: dict[str, Any] = json.loads((place / "result.json").read_text())
    if ADAPTER not in result["files"]:
        raise BrokenPromiseError(f"no adapter was published at {output.get('path')}")
    spoiled = [name for name, said in result["files"].items() if _sha256(place / name) != said["sha256"]]
    if spoiled:
        raise BrokenPromiseError(f"{', '.join(spoiled)} at {output.get('path')} is not what was published")
    return result


def check_ranks(result: dict[str, Any]) -> None:
    """Raises BrokenPromiseError unless `result.json` says that the pods trained one model together."""
    ranks = result.get("worldSize")
    promised(ranks == PODS, f"{PODS} ranks should have trained together; 'result.json' tells of {ranks}")


def _sha256(file: Path) -> str | None:
    """None: there is no such file."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
