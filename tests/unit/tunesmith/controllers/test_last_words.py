"""The end of a failed pod's log, and Secrets for pulling images: what is read, once, and what never leaves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tunesmith.controllers.controller import ActionFailed, Key
from tunesmith.controllers.last_words import LINES, LastWords
from tunesmith.controllers.pull_secrets import TYPE, copy_pull_secret
from tunesmith.kube.errors import unreachable
from tunesmith.planning.actions import CopyPullSecret, RemoteCluster
from tunesmith.planning.kube_facts import PodFact

JOB = Key("FineTuneJob", "team", "tune")
POD = PodFact("team", "tune-0", uid="pod-1")
COPY = CopyPullSecret(
    RemoteCluster("team", "gpus"), "team", "registry", "tunesmith-jobs", "tune-a1-pull-0", "tune-a1", "job-1"
)


class Logs:
    """A Kubernetes that has one log, or none that can be read."""

    def __init__(self, lines: list[str] | None) -> None:
        self.lines, self.reads = lines, 0

    async def logs(self, namespace: str, pod: str, **how: Any):
        self.reads += 1
        assert how["follow"] is False
        if self.lines is None:
            raise unreachable("read the log", "no answer")
        for line in self.lines:
            yield line

    async def kube_for(self, where: RemoteCluster | None):
        return self


async def test_the_log_of_a_failed_pod_is_read_once_bounded_and_without_secrets():
    kube = Logs(["x" * 9000, *["line"] * 500, '{"tunesmith": "heartbeat/v1"', "token s3cret"])
    words = LastWords(kube.kube_for, lambda text: text.replace("s3cret", "[hidden]"))
    said = await words.of(JOB, None, POD)
    assert await words.of(JOB, None, POD) == said
    assert (kube.reads, len(said), said[-1]) == (1, LINES, "token [hidden]")
    assert max(map(len, said)) <= 500


async def test_a_log_that_cannot_be_read_holds_nothing_up():
    kube = Logs(None)
    words = LastWords(kube.kube_for, str)
    assert await words.of(JOB, None, POD) == ()
    assert await words.of(JOB, None, POD) == ()
    assert kube.reads == 1


class Secrets:
    """One Secret here, and what was written there."""

    def __init__(self, secret: dict[str, Any] | None) -> None:
        self.secret, self.applied, self.remembered = secret, [], []
        remotes = SimpleNamespace(kube_for=self.kube_for)
        self.ports: Any = SimpleNamespace(kube=self, remotes=remotes, secret=self.remembered.append)

    async def get(self, kind, namespace, name):
        return self.secret if (namespace, name) == ("team", "registry") else None

    async def kube_for(self, where):
        return self

    async def apply(self, manifest):
        self.applied.append(manifest)


async def test_a_pull_secret_is_copied_to_where_the_pods_are_and_goes_with_the_attempt():
    secrets = Secrets({"type": TYPE, "data": {".dockerconfigjson": "e30=", "other": "eA=="}})
    await copy_pull_secret(secrets.ports, COPY)
    [copy] = secrets.applied
    assert (copy["metadata"]["name"], copy["data"]) == ("tune-a1-pull-0", {".dockerconfigjson": "e30="})
    assert copy["metadata"]["ownerReferences"][0]["uid"] == "job-1"
    assert secrets.remembered == ["e30="]


@pytest.mark.parametrize(
    ("secret", "words"), [(None, "does not exist"), ({"type": "Opaque", "data": {"apiKey": "eA=="}}, "is not of type")]
)
async def test_no_other_secret_leaves_the_cluster(secret, words):
    secrets = Secrets(secret)
    with pytest.raises(ActionFailed, match=words):
        await copy_pull_secret(secrets.ports, COPY)
    assert secrets.applied == []
