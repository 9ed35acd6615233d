"""A mirror of the checkpoints: the volume is lost, and the next attempt goes on from the copies."""

import shutil
import signal

from tests.integration.trainer.test_kills import losses, short

KEYS = {"TUNESMITH_MIRROR_ACCESS_KEY_ID": "a", "TUNESMITH_MIRROR_SECRET_ACCESS_KEY": "b"}
MIRROR = {"mirror": {"endpoint": "https://store.example", "bucket": "copies", "prefix": "tunesmith"}}


def mirrored(workshop, uid, attempt=1):
    return short(workshop, uid, attempt, checkpoints={"everySteps": 2, **MIRROR})


def test_a_lost_volume_is_resumed_from_the_mirror_and_ends_bit_equal(workshop):
    place = {"MIRROR_DIRECTORY": str(workshop.root / "store"), **KEYS}
    calm = workshop.train(mirrored(workshop, "mirrored-calm"), **place)
    assert calm.ended() == 0, calm.output.read_text()
    first = workshop.train(mirrored(workshop, "mirrored"), **place)
    first.wait_for_checkpoint(4)
    first.signal(signal.SIGKILL)
    first.ended()
    shutil.rmtree(workshop.root / "jobs" / "mirrored")  # the volume is lost

    second = workshop.train(mirrored(workshop, "mirrored", attempt=2), **place)
    assert second.ended() == 0, second.output.read_text()
    assert workshop.result("mirrored", 2).resumed_from_step >= 2  # the copy of step 4 may be on its way
    assert losses(workshop, "mirrored") == losses(workshop, "mirrored-calm")
    assert workshop.adapter("mirrored", 2) == workshop.adapter("mirrored-calm")


def test_without_its_keys_a_mirror_ends_the_attempt_before_it_trains(workshop):
    pod = workshop.train(mirrored(workshop, "keyless"))
    assert pod.ended() == 13
    assert "TUNESMITH_MIRROR_ACCESS_KEY_ID" in pod.message().message
