"""The test of the test: a bug of each known class is planted into the operator, and the oracles must find it."""

import logging

import pytest
from tests.simulation.life import lived
from tests.simulation.planted import PLANTED, planted

LIVES = 240


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("tunesmith").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("tunesmith").setLevel(logging.NOTSET)


def first_found(letter, *, lives=LIVES):
    with planted(letter):
        for seed in range(lives):
            told = lived(seed)
            if told.violation is not None:
                return told
    return None


@pytest.mark.parametrize("letter", ("a", "b", "j"))
def test_the_oracles_find_a_planted_bug(letter):
    assert first_found(letter, lives=12) is not None


@pytest.mark.prove
@pytest.mark.parametrize("letter", sorted(PLANTED))
def test_simulation_finds_the_planted_bug(letter):
    assert first_found(letter) is not None
