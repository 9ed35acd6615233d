"""Killed without grace, anywhere, as often as one likes: the run ends as if nothing had happened, bit for bit.

The blows fall before each change that a process makes to the storage or to its own disk, and at random moments.
"""

import json
import random
import signal

import pytest

STEPS = 6
TOLD = ("loss", "grad_norm", "learning_rate", "eval_loss")


def short(workshop, uid, attempt=1, **changes):
    """Six steps with dropout, a checkpoint every second one and an evaluation in between."""
    document = workshop.configuration(uid, attempt, checkpoints={"everySteps": 2}, evaluations={"count": 2})
    document["training"] |= {"maxSteps": STEPS, "learningRate": 0.02} | changes.pop("training", {})
    document["tuning"] |= {"dropout": 0.1}
    for key, value in changes.items():
        document[key] = {**document.get(key, {}), **value}
    return document


def losses(workshop, uid):
    """What every step came to, over all attempts, as the last checkpoint tells it."""
    states = workshop.root.glob(f"jobs/{uid}/attempts/*/checkpoints/checkpoint-{STEPS}/trainer_state.json")
    (state,) = states
    history = json.loads(state.read_text())["log_history"]
    return [{"step": entry["step"], **{key: entry[key] for key in TOLD if key in entry}} for entry in history]


def under(workshop, uid):
    return [workshop.root / "jobs" / uid / "attempts", workshop.root / "output", "tunesmith-0-", "tunesmith-1-"]


def undisturbed_run(workshop, uid, **changes):
    """The run to compare with; returns the crossings that there were."""
    count = workshop.root / f"{uid}-count"
    pod = workshop.train(short(workshop, uid, **changes), {"under": under(workshop, uid), "count": str(count)})
    assert pod.ended() == 0, pod.output.read_text()
    return int(count.read_text())


def ends_as(workshop, uid, attempt, wanted):
    assert losses(workshop, uid) == losses(workshop, wanted)
    assert workshop.adapter(uid, attempt) == workshop.adapter(wanted)
    result, undisturbed = workshop.result(uid, attempt), workshop.result(wanted)
    assert (result.first_loss, result.tokens) == (undisturbed.first_loss, undisturbed.tokens)
    assert result.evaluation_loss == undisturbed.evaluation_loss


def struck(workshop, uid, strikes, **changes):
    """Attempts that die one after the other, and a last one that does not; returns its number."""
    attempt = 0
    for attempt, strike in enumerate(strikes, start=1):
        pod = workshop.train(short(workshop, uid, attempt, **changes), {"under": under(workshop, uid), **strike})
        code = pod.ended()
        if code == 0:
            return attempt
        assert code == -signal.SIGKILL, pod.output.read_text()
    pod = workshop.train(short(workshop, uid, attempt + 1, **changes))
    assert pod.ended() == 0, pod.output.read_text()
    return published(workshop, uid)


def published(workshop, uid):
    """Exactly one attempt has published."""
    (path,) = [path for path in workshop.root.glob(f"output/{uid}-a*") if path.suffix != ".tmp"]
    return int(path.name.rpartition("-a")[2])


@pytest.fixture(scope="module")
def crossings(workshop):
    return undisturbed_run(workshop, "calm")


def test_killed_between_any_two_writes_it_ends_bit_equal(workshop, crossings):
    blows = [{"crossing": crossings * part // 5} for part in (1, 2, 3, 4)]
    attempt = struck(workshop, "hit", blows)
    ends_as(workshop, "hit", attempt, "calm")


@pytest.mark.prove
@pytest.mark.parametrize("offset", range(8))
def test_killed_before_every_single_write_it_ends_bit_equal(workshop, crossings, offset):
    for crossing in range(1 + offset, crossings + 1, 8):
        uid = f"every-{crossing}"
        ends_as(workshop, uid, struck(workshop, uid, [{"crossing": crossing}]), "calm")


KINDS = {
    "packed-amp": {"training": {"packing": True, "precision": "AMP"}},
    "accumulated": {"training": {"microBatch": 1, "gradientAccumulation": 4}},
}


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments_it_ends_bit_equal(workshop, kind):
    undisturbed_run(workshop, f"calm-{kind}", **KINDS[kind])
    chance = random.Random(kind)
    for turn in range(4):
        uid = f"{kind}-{turn}"
        blows = [{"after_seconds": chance.uniform(0.2, 3.0)} for _ in range(5)]
        ends_as(workshop, uid, struck(workshop, uid, blows, **KINDS[kind]), f"calm-{kind}")
