"""What a job goes on from: an earlier job of the same storage, base and tuning, or a path."""

from __future__ import annotations

import pytest
from tests.unit.tunesmith.planning.job_builders import a_job, an_observation

from tunesmith.planning.continuing import continued_path
from tunesmith.planning.fine_tune_job import decide
from tunesmith.resources.fine_tune_job_status import FineTuneJobStatus, OutputStatus, Pinned

DONE = FineTuneJobStatus(output=OutputStatus(path="outputs/first/uid-a1"))
AT_30 = FineTuneJobStatus.model_validate(
    {"checkpoint": {"step": 30, "time": "2025-11-08T11:00:00Z", "path": "uid/attempts/1/checkpoints/checkpoint-30"}}
)


def an_earlier_job(status=DONE, **spec):
    job = a_job(spec, name="first", uid="11112222-8a56-4c3a-9d55-111122223333")
    return job.model_copy(update={"status": status})


def seen_after(earlier, checkpoint=None, **spec):
    job = {"name": "first"} if checkpoint is None else {"name": "first", "checkpoint": checkpoint}
    return an_observation(a_job({"continueFrom": {"type": "Job", "job": job}, **spec}), earlier=earlier)


def accepted(decision):
    return next(one for one in decision.status.conditions if one.type == "Accepted")


def test_a_job_goes_on_from_the_result_of_an_earlier_one():
    seen = seen_after(an_earlier_job())
    assert continued_path(seen) == "/storage/outputs/first/uid-a1"
    assert accepted(decide(seen)).status == "True"


def test_a_job_goes_on_from_the_newest_checkpoint_of_an_earlier_one():
    assert continued_path(seen_after(an_earlier_job(AT_30), 30)).endswith("/attempts/1/checkpoints/checkpoint-30")


@pytest.mark.parametrize(
    ("earlier", "checkpoint", "spec", "reason"),
    [
        (None, None, {}, "EarlierJobNotFound"),
        (an_earlier_job(storage={"sharedVolume": {"name": "other"}}), None, {}, "EarlierJobElsewhere"),
        (an_earlier_job(model={"catalog": {"name": "other"}}), None, {}, "BaseModelDiffers"),
        (an_earlier_job(), None, {"tuning": {"type": "Full"}}, "TuningDiffers"),
        (an_earlier_job(), None, {"tuning": {"lora": {"rank": 16}}}, "TuningDiffers"),
        (an_earlier_job(), None, {"tuning": {"lora": {"alpha": 4}}}, "TuningDiffers"),
        (an_earlier_job(), None, {"tuning": {"lora": {"targetModules": ["q_proj"]}}}, "TuningDiffers"),
        (an_earlier_job(AT_30), 20, {}, "CheckpointNotFound"),
        (an_earlier_job(), 20, {}, "CheckpointNotFound"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(earlier, checkpoint, spec, reason):
    decision = decide(seen_after(earlier, checkpoint, **spec))
    assert (accepted(decision).status, accepted(decision).reason) == ("False", reason)
    assert decision.actions == ()


def test_a_job_waits_for_the_earlier_one_to_have_a_result():
    decision = decide(seen_after(an_earlier_job(FineTuneJobStatus())))
    assert decision.status.state == "Waiting"
    assert accepted(decision).reason == "EarlierJobNotFinished"
    assert decision.actions == ()


def test_what_was_pinned_holds_although_the_earlier_job_is_gone():
    seen = seen_after(None)
    pinned = FineTuneJobStatus(pinned=Pinned(continue_from="outputs/first/uid-a1"))
    seen = an_observation(seen.job.model_copy(update={"status": pinned}))
    assert continued_path(seen) == "/storage/outputs/first/uid-a1"


def test_a_job_does_not_go_on_from_itself():
    seen = seen_after(a_job().model_copy(update={"status": DONE}))
    assert accepted(decide(seen)).reason == "EarlierJobNotFound"
