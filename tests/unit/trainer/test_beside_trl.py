"""What the bench compares is the same work: ours and plain TRL come to the same loss on the same rows."""

import pytest
from rich.console import Console
from tests.bench.trainer.beside_trl import OURS_AND_PLAIN, Bench, Case

from tunesmith_trainer.testing import tiny_model

SETTINGS = {"microBatch": 2, "gradientAccumulation": 2, "globalBatch": 4, "contextLength": 128, "epochs": 2}


@pytest.mark.prove
def test_ours_and_plain_trl_learn_the_same(tmp_path):
    # Not packed: without FlashAttention plain TRL lets packed rows see each other, and ours does not.
    bench = Bench(Console(quiet=True), tmp_path)
    case = Case("tiny", tiny_model(tmp_path / "tiny"), 32, SETTINGS)
    found = bench.run(case, OURS_AND_PLAIN)
    ours, plain = found["ours"], found["plain"]
    assert ours.loss == pytest.approx(plain.loss, abs=1e-5)
    assert ours.save_seconds > 0
    assert min(ours.tokens_per_second, plain.tokens_per_second) > 0
