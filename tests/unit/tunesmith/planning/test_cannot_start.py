"""Pods that wait for an image or settings that somebody must mend: they hold no GPUs, and keep no cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    NOON,
    a_cluster,
    a_job,
    admitted,
    after,
    circumstances,
    made,
    message,
    preparing,
    reason,
    settled,
    the_batch_job,
    the_pods,
    with_errand,
    with_workload,
)

from tunesmith.planning.actions import CopyPullSecret, DeleteObject
from tunesmith.planning.admission import holding_of, request_of
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.kube_facts import pod_fact
from tunesmith.planning.neighbours import waiting_jobs, wanting_jobs
from tunesmith.resources.conditions import is_true
from tunesmith.resources.gpu_cluster_status import Release
from tunesmith.resources.schema import to_raw

LATE = circumstances(minutes=11)
OURS = {"image": "example.org/trainer:typo"}
NO_SUCH_IMAGE = {
    "phase": "Pending",
    "started": False,
    "image": OURS["image"],
    "waiting_reason": "ErrImagePull",
    "waiting_message": "manifest unknown",
    "on_node_since": NOON,
}
ALLOWED = {"allowed_images": (OURS["image"],)}


def late(**installation):
    return circumstances(minutes=11, **ALLOWED, **installation)


def an_errand_that_waits(spec=None, **changes):
    """Its preparation's pod has a node and cannot pull."""
    seen = preparing(a_job({**OURS, **(spec or {})}), around=circumstances(**ALLOWED))
    return with_errand(seen, **{**NO_SUCH_IMAGE, **changes})


def an_attempt_that_waits(**changes):
    """Its pods hold GPUs and cannot pull."""
    seen = admitted(a_job(OURS), around=circumstances(**ALLOWED))
    return with_workload(seen, jobs=[the_batch_job(seen)], pods=the_pods(seen, **{**NO_SUCH_IMAGE, **changes}))


def wants_its_cluster(decision, seen) -> bool:
    raw = to_raw(seen.job.model_copy(update={"status": decision.status}))
    return wanting_jobs([raw], "gpus") != frozenset()


def test_a_registry_may_be_down_for_a_moment():
    seen = an_errand_that_waits()
    decision = decide(replace(seen, around=circumstances(minutes=9, **ALLOWED)))
    assert reason(decision, "DatasetReady") == "ImagePullFailed"
    assert not is_true(decision.status.conditions, "Stalled")
    assert wants_its_cluster(decision, seen)


def test_an_image_that_nobody_pushed_is_told_once_and_keeps_no_cluster():
    seen = replace(an_errand_that_waits(), around=late())
    decision = decide(seen)
    assert is_true(decision.status.conditions, "Stalled")
    assert reason(decision, "DatasetReady") == "ImagePullFailed"
    assert "Image 'example.org/trainer:typo' cannot be pulled" in message(decision)
    assert "manifest unknown" in message(decision)
    assert "make another with the right `spec.image`" in message(decision)
    assert not wants_its_cluster(decision, seen)
    assert [(note.type.value, note.reason) for note in decision.events] == [("Warning", "ImagePullFailed")]
    assert decide(after(seen, decision)).events == ()


def test_the_preparation_goes_on_by_itself_once_the_image_can_be_pulled():
    stuck = replace(an_errand_that_waits(), around=late())
    pulled = with_errand(after(stuck, decide(stuck)))
    assert not is_true(decide(pulled).status.conditions, "Stalled")


def test_another_image_of_the_installation_is_tried_at_once_and_not_counted():
    seen = preparing(a_job())
    stuck = with_errand(seen, **{**NO_SUCH_IMAGE, "image": "trainer:1"})
    decision = decide(replace(stuck, around=circumstances(minutes=1, trainer_image="trainer:2")))
    assert decision.status.preparation.number == 2
    assert decision.status.preparation.restarts.infrastructure is None
    assert "'trainer:1' could not be pulled; the image is 'trainer:2'" in message(decision)


def test_the_administrator_is_named_when_the_image_is_the_installations():
    seen = with_errand(preparing(a_job()), **{**NO_SUCH_IMAGE, "image": "trainer:1"})
    assert "`trainer.image` of the installation" in message(decide(replace(seen, around=circumstances(minutes=11))))


def test_a_name_that_is_none_is_told_at_once():
    assert is_true(decide(an_errand_that_waits(waiting_reason="InvalidImageName")).status.conditions, "Stalled")


def test_settings_of_which_no_container_can_be_made_are_told_in_kubernetes_words():
    words = {"waiting_reason": "CreateContainerConfigError", "waiting_message": "image will run as root"}
    decision = decide(replace(an_errand_that_waits(**words), around=late()))
    assert is_true(decision.status.conditions, "Stalled")
    assert reason(decision, "DatasetReady") == "ContainerNotConfigured"
    assert "image will run as root" in message(decision)


def test_a_corrected_pull_secret_is_copied_again():
    seen = an_errand_that_waits({"imagePullSecretRefs": [{"name": "registry"}]})
    actions = decide(replace(seen, around=late())).actions
    assert [action.name for action in actions if isinstance(action, CopyPullSecret)] == ["registry"]


class TestAnAttempt:
    @pytest.fixture
    def given_back(self):
        """Its pods waited for ten minutes; their GPUs have gone back."""
        seen = replace(an_attempt_that_waits(), around=late())
        return after(seen, decide(seen))

    def test_its_gpus_are_kept_for_a_while(self):
        assert decide(an_attempt_that_waits()).status.admission is not None

    def test_its_gpus_go_back_and_the_cluster_may_go_idle(self, given_back):
        assert given_back.status.admission is None
        assert holding_of(given_back.job, ()) is None
        assert request_of(given_back.job) is None
        assert is_true(given_back.status.conditions, "Stalled")
        assert wanting_jobs([to_raw(given_back.job)], "gpus") == frozenset()
        assert "The GPUs of attempt 1 have gone back" in message(given_back)

    def test_its_pods_go_before_a_pod_without_gpus_takes_their_place(self, given_back):
        assert [action.kind for action in decide(given_back).actions if isinstance(action, DeleteObject)] == ["Job"]
        decision = decide(with_workload(given_back))
        assert made(decision) == ["Job"]
        assert is_true(decision.status.conditions, "Stalled")

    def test_it_stays_stalled_until_that_pod_starts(self, given_back):
        waits = settled(with_errand(given_back, part="finish-1", **NO_SUCH_IMAGE))
        assert is_true(waits.status.conditions, "Stalled")
        assert reason(decide(waits)) == "ImagePullFailed"
        assert not is_true(decide(with_errand(waits, part="finish-1")).status.conditions, "Stalled")

    def test_then_it_asks_for_gpus_again_which_is_counted(self, given_back):
        started = with_errand(given_back, 0, "Success", part="finish-1")
        again = settled(with_workload(after(started, decide(started))))
        assert request_of(again.job).attempt == 2
        assert again.status.restarts.infrastructure == 1


def test_a_cluster_that_was_given_back_is_not_bought_again_for_it():
    seen = replace(an_errand_that_waits(), around=late())
    released = a_cluster()
    status = released.status.model_copy(update={"release": Release(reason="Idle", time=NOON + timedelta(hours=1))})
    seen = after(seen, decide(seen), cluster=released.model_copy(update={"status": status}))
    decision = decide(seen)
    assert is_true(decision.status.conditions, "Stalled")
    raw = to_raw(seen.job.model_copy(update={"status": decision.status}))
    assert waiting_jobs([raw], "gpus", 3) == frozenset()
    assert "tunesmith.dev/reacquire-requested-at" in message(decision)
    assert decide(after(seen, decision)).status == decision.status


def test_a_pods_image_and_its_time_on_the_node_are_read():
    raw = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"image": "trainer:1"}]},
        "status": {"startTime": "2025-11-08T12:00:00Z"},
    }
    assert (pod_fact(raw).image, pod_fact(raw).on_node_since) == ("trainer:1", NOON)
