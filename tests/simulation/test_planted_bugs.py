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


def assert_found_by_its_oracle(letter, *, lives=LIVES):
    """Some life is whole without the bug, and ends with the words of the oracle that is there for it."""
    others = []
    for seed in range(lives):
        with planted(letter):
            told = lived(seed)
        if told.violation is not None and any(words in told.violation for words in PLANTED[letter].found_by):
            assert lived(seed).violation is None
            return
        others.append(told.violation)
    raise AssertionError(f"its oracle did not find '{letter}' in {lives} lives; said was {set(others)}")


@pytest.mark.parametrize("letter", ("a", "b", "j"))
def test_the_oracles_find_a_planted_bug(letter):
    assert_found_by_its_oracle(letter, lives=12)


@pytest.mark.prove
@pytest.mark.parametrize("letter", sorted(PLANTED))
def test_simulation_finds_the_planted_bug(letter):
    assert_found_by_its_oracle(letter)
