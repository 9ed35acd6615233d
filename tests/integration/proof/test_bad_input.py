"""Whatever the API server accepts leads to a condition of this generation, and never to an exception in the log."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from tests.integration.proof.resource_strategies import annotations, specs
from tests.integration.proof.stage import (
    CLUSTER_SCOPED,
    Installed,
    ManagementCluster,
    OperatorProcess,
    Provider,
    path_of,
    places_with_a_key,
    until,
)

KEY, OTHER_KEY = "simulated-key-acme", "simulated-key-globex"
KINDS = ("GPUCluster", "SharedVolume", "FineTuneJob", "CatalogModel")
NAMESPACE = "bad-input"
NEEDED = {
    "GPUCluster": {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1},
    "SharedVolume": {"region": "us-central-8", "sizeTiB": 1},
}


def some(examples: int, **more: bool) -> settings:
    """So many examples, as fast or slow as the operator answers."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),  # the operator remembers, so a shrunk example is another story
        database=None,
        **more,
    )


class Trial:
    """The operator and what it is given."""

    def __init__(self, management: ManagementCluster, operator: OperatorProcess) -> None:
        self.management = management
        self.operator = operator
        self.accepted = 0
        self.refused = 0
        self._numbers = itertools.count()

    def give(self, kind: str, spec: dict, marks: dict) -> str | None:
        """Create it; its name, or None when the API server does not take it."""
        name = f"it-{kind.lower()}-{next(self._numbers)}"
        metadata = {"name": name, "annotations": marks}
        if kind not in CLUSTER_SCOPED:
            metadata["namespace"] = NAMESPACE
        manifest = {"apiVersion": "tunesmith.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        note(json.dumps(manifest))
        taken = self.management.accepts(manifest)
        self.accepted, self.refused = self.accepted + taken, self.refused + (not taken)
        return name if taken else None

    def change(self, kind: str, name: str, spec: dict) -> None:
        """Ask for something else; whether the API server lets it is its affair."""
        note(json.dumps(spec))
        self.management.accepts({"spec": spec}, path=path_of(kind, NAMESPACE, name))

    def is_answered(self, kind: str, name: str) -> None:
        """The operator says something about the resource as it is, and complains of nothing."""

        def answered() -> bool:
            assert self.operator.ended is None, self.operator.log.read_text()[-3000:]
            complaints = self.operator.complaints()
            assert not complaints, complaints[0]
            found = self.management.get(kind, NAMESPACE, name)
            if found is None:
                return True
            status = found.get("status") or {}
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            return current and any(each["type"] == "Ready" for each in status.get("conditions") or ())

        until(answered, f"{kind} '{name}' should get a condition")

    def is_left_alone(self, kind: str, name: str, spec: dict) -> None:
        """While it is paused nothing is written; one of the same spec that came later and is not is answered."""
        later = self.give(kind, spec, {})
        assert later is not None
        self.is_answered(kind, later)
        paused = self.management.get(kind, NAMESPACE, name)
        assert not (paused.get("status") or {}).get("conditions"), paused
        assert not paused["metadata"].get("finalizers"), paused
        self.take_away(kind, name)
        self.take_away(kind, later)

    def take_away(self, kind: str, name: str) -> None:
        """Delete it; the operator goes on with that while the next one comes."""
        self.management.api.delete(path_of(kind, NAMESPACE, name))


@pytest.fixture
def trial(management: ManagementCluster, provider: Provider, tmp_path: Path) -> Iterator[Trial]:
    """The operator over an empty cluster; afterwards everything must be gone, here and at the provider."""
    installed = Installed(management.cluster.kubeconfig, provider.url, tmp_path, KEY)
    management.make_namespace(NAMESPACE)
    core = f"/api/v1/namespaces/{NAMESPACE}"
    key = {"metadata": {"name": "key"}, "stringData": {"apiKey": OTHER_KEY}}
    management.api.post(f"{core}/secrets", key)
    management.api.post(f"{core}/configmaps", {"metadata": {"name": "rows"}, "data": {"training.jsonl": "{}\n"}})
    with OperatorProcess(installed) as operator:
        management.forget_lease()
        yield Trial(management, operator)
        assert places_with_a_key(management, operator, KEY, OTHER_KEY) == []
        _everything_goes(management)
        complaints = operator.complaints()
        assert not complaints, complaints[0]
    management.api.delete(core)
    until(lambda: not management.api.exists(core), "the namespace should go")


def _everything_goes(management: ManagementCluster) -> None:
    """Deleted by a user who lets go of what cannot be given back, as the message says: a Secret may never have been."""
    in_the_way = dict.fromkeys(f"tunesmith.dev/{name}" for name in ("paused", "deletion-protection", "abandon"))
    for kind in KINDS:
        for found in management.items(kind):
            meta = found["metadata"]
            management.annotate(kind, meta.get("namespace"), meta["name"], in_the_way)
            management.api.delete(path_of(kind, meta.get("namespace"), meta["name"]))

    def gone() -> bool:
        left = [
            (kind, found) for kind in ("GPUCluster", "SharedVolume", "FineTuneJob") for found in management.items(kind)
        ]
        for kind, found in left:
            told = {each["type"]: each for each in found["status"].get("conditions") or ()}
            if told and told["Ready"]["reason"] == "AbsenceUnproven":
                [name] = re.findall("'tunesmith.dev/abandon' to '([^']+)'", told["Ready"]["message"])
                management.annotate(kind, NAMESPACE, found["metadata"]["name"], {"tunesmith.dev/abandon": name})
        return not left

    until(gone, "all that was given should go", seconds=240)


def whatever_is_accepted_is_answered(trial: Trial, data: st.DataObject) -> None:
    """One resource, and then its spec changed."""
    kind = data.draw(st.sampled_from(("GPUCluster", "GPUCluster", *KINDS)))
    drawn = {**NEEDED.get(kind, {}), **data.draw(specs(kind))}
    marks = data.draw(annotations())
    name = trial.give(kind, drawn, marks)
    if name is None:
        return
    if marks.get("tunesmith.dev/paused") == "true":
        trial.is_left_alone(kind, name, drawn)
        return
    trial.is_answered(kind, name)
    if data.draw(st.booleans()):
        trial.change(kind, name, data.draw(specs(kind)))
        trial.is_answered(kind, name)
    trial.take_away(kind, name)


def test_some_tens_of_inputs(trial: Trial) -> None:
    @some(18, derandomize=True)
    @given(data=st.data())
    def each(data: st.DataObject) -> None:
        whatever_is_accepted_is_answered(trial, data)

    each()
    assert trial.accepted >= 5, f"only {trial.accepted} of {trial.accepted + trial.refused} were accepted"


@pytest.mark.prove
def test_input_some_hundreds(trial: Trial) -> None:
    begun = time.monotonic()

    @some(800)
    @given(data=st.data())
    def each(data: st.DataObject) -> None:
        whatever_is_accepted_is_answered(trial, data)

    each()
    assert trial.accepted >= 200, f"only {trial.accepted} of {trial.accepted + trial.refused} were accepted"
    print(f"{trial.accepted} accepted and answered, {trial.refused} refused, {time.monotonic() - begun:.0f} s")
