"""Killed without grace, anywhere, as often as one likes: the run ends as if nothing had happened, bit for bit.

The blows fall before each change that a process makes to the storage or to its own disk, and at random moments.
"""

import hashlib
import json
import random
import signal
from itertools import pairwise
from typing import get_args

import pytest
from tests.integration.trainer.conftest import DROPPED
from tests.unit.trainer.fetch_builders import web_file

from tunesmith_trainer.contract.messages import Stage
from tunesmith_trainer.testing import conversations, tiny_preparation, write_rows
from tunesmith_trainer.testing_sources import ServedFiles

STEPS = 6
TOLD = ("loss", "grad_norm", "learning_rate", "eval_loss")


def short(workshop, uid, attempt=1, **changes):
    """Six steps with dropout, a checkpoint every second one and an evaluation in between."""
    document = workshop.configuration(uid, attempt, checkpoints={"everySteps": 2}, evaluations={"count": 2})
    document["training"] |= {"maxSteps": STEPS, "learningRate": 0.02} | changes.pop("training", {})
    document["tuning"] = changes.pop("tuning", document["tuning"] | {"dropout": 0.1})
    for key, value in changes.items():
        document[key] = {**document.get(key, {}), **value}
    if document.get("method", {}).get("type") == "DPO":
        path = write_rows(workshop.root / "data" / "pairs.jsonl", pairs(64))
        document["data"] = {"training": {"path": str(path)}, "validation": {"path": str(path)}}
    return document


def pairs(count):
    """Preferences: of two answers to the same question the one with the right animal."""
    rows = conversations(count + 1)
    return [
        {
            "input": {"messages": row["messages"][:1]},
            "preferred_output": row["messages"][1:],
            "non_preferred_output": other["messages"][1:],
        }
        for row, other in pairwise(rows)
    ]


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


def weights(workshop, uid, attempt=1):
    """The bytes of everything that was trained."""
    found = {path.name: path.read_bytes() for path in workshop.output(uid, attempt).glob("*.safetensors")}
    assert found
    return found


def ends_as(workshop, uid, attempt, wanted):
    assert losses(workshop, uid) == losses(workshop, wanted)
    assert weights(workshop, uid, attempt) == weights(workshop, wanted)
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


BY_THE_CLOCK = {"everySteps": None, "count": 1, "maxSecondsApart": 0.001}


def test_with_one_checkpoint_in_all_the_clock_makes_more_and_the_next_attempt_goes_on_from_there(workshop, crossings):
    last = workshop.root / "jobs" / "rare" / "attempts" / "1" / "unfinished" / f"checkpoint-{STEPS}"
    attempt = struck(workshop, "rare", [{"under": [str(last)], "crossing": 1}], checkpoints=BY_THE_CLOCK)
    assert 0 < workshop.result("rare", attempt).resumed_from_step < STEPS
    ends_as(workshop, "rare", attempt, "calm")


def test_killed_in_every_stage_it_ends_bit_equal(workshop, crossings):
    blows = [{"stage": stage} for stage in get_args(Stage) if stage != "Fetching"]
    attempt = struck(workshop, "staged", blows)
    assert attempt == len(blows)  # the last one had published, and died before it could say so
    ends_as(workshop, "staged", attempt, "calm")


@pytest.mark.prove
def test_a_preparation_killed_in_every_stage_is_made_again_and_says_the_same(workshop, tmp_path):
    calm, killed = (tmp_path / name for name in ("calm", "killed"))
    calm.mkdir()
    killed.mkdir()
    content = (workshop.root / "data" / "train.jsonl").read_bytes()
    with ServedFiles({"/rows": content}) as web:

        def document(root):
            return tiny_preparation(
                root,
                model={"path": f"{workshop.root}/model"},
                data={"training": None},
                fetch={"datasets": {"training": web_file(f"{web.url}/rows", hashlib.sha256(content).hexdigest())}},
            )

        def prepared(root):
            pod = workshop.prepare(document(root))
            assert pod.ended() == 0, pod.output.read_text()
            return pod.message().model_dump_json().replace(str(root), "")

        for stage in ("Starting", "Fetching", "Preparing", "Finished"):
            pod = workshop.prepare(document(killed), {"stage": stage})
            assert pod.ended() == -signal.SIGKILL, pod.output.read_text()
        assert prepared(killed) == prepared(calm)


@pytest.mark.prove  # the killed one's lock is believed for a minute and a half
def test_killed_while_it_makes_rows_ready_the_next_attempt_makes_them(workshop, crossings):
    rows = write_rows(workshop.root / "data" / "anew.jsonl", [*conversations(64), DROPPED])
    document = short(workshop, "unprepared", data={"training": {"path": str(rows)}})
    document["training"] |= {"contextLength": 63}
    pod = workshop.train(document, {"under": [".partial-"], "crossing": 2})
    assert pod.ended() == -signal.SIGKILL
    document = short(workshop, "unprepared", 2, data=document["data"], training={"contextLength": 63})
    pod = workshop.train(document)
    assert pod.ended() == 0, pod.output.read_text()
    assert losses(workshop, "unprepared") == losses(workshop, "calm")


@pytest.mark.prove
@pytest.mark.parametrize("offset", range(8))
def test_killed_before_every_single_write_it_ends_bit_equal(workshop, crossings, offset):
    for crossing in range(1 + offset, crossings + 1, 8):
        uid = f"every-{crossing}"
        ends_as(workshop, uid, struck(workshop, uid, [{"crossing": crossing}]), "calm")


DPO = {"method": {"type": "DPO", "dpo": {"beta": 0.5}}}
FULL = {"tuning": {"type": "Full"}, "training": {"learningRate": 0.002}}
KINDS = {
    "packed-amp": {"training": {"packing": True, "precision": "AMP"}},
    "full": FULL,
    "dpo": DPO,
    "dpo-full": DPO | FULL,
    "accumulated": {"training": {"microBatch": 1, "gradientAccumulation": 4}},
}


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments_it_ends_bit_equal(workshop, kind):
    undisturbed_run(workshop, f"calm-{kind}", **KINDS[kind])
    chance = random.Random(kind)
    for turn in range(3):
        uid = f"{kind}-{turn}"
        blows = [{"after_seconds": chance.uniform(0.2, 3.0)} for _ in range(5)]
        ends_as(workshop, uid, struck(workshop, uid, blows, **KINDS[kind]), f"calm-{kind}")
