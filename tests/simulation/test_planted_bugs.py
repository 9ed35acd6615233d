"""The test of the test: a bug of each known class is planted into the operator, and the oracles must find it."""

import logging

import pytest
from tests.simulation.life import lived
from tests.simulation.planted import PLANTED, planted

LIVES = 60


def first_found(letter):
    logging.getLogger("tunesmith").setLevel(logging.CRITICAL)
    with planted(letter):
        for seed in range(LIVES):
            told = lived(seed)
            if told.violation is not None:
                return told
    return None


@pytest.mark.prove
@pytest.mark.parametrize("letter", sorted(PLANTED))
def test_simulation_finds_the_planted_bug(letter):
    assert first_found(letter) is not None
