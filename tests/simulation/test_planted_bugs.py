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
    """The first life in which an oracle speaks only because of the bug."""
    for seed in range(lives):
        with planted(letter):
            told = lived(seed)
        if told.violation is not None:
            assert lived(seed).violation is None
            return told
    raise AssertionError(f"no oracle found the planted bug '{letter}' in {lives} lives")


def assert_found_by_its_oracle(letter, told):
    assert any(words in told.violation for words in PLANTED[letter].found_by), told.violation


@pytest.mark.parametrize("letter", ("a", "b", "j"))
def test_the_oracles_find_a_planted_bug(letter):
    assert_found_by_its_oracle(letter, first_found(letter, lives=12))


@pytest.mark.prove
@pytest.mark.parametrize("letter", sorted(PLANTED))
def test_simulation_finds_the_planted_bug(letter):
    assert_found_by_its_oracle(letter, first_found(letter))
