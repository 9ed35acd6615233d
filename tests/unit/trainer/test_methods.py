"""Every method really trains: on a tiny model, with LoRA and full, and its loss is the formula's."""

import pytest
import torch
from tests.unit.trainer.looping import (
    DPO,
    DPO_NLL,
    FULL,
    LN_DPO,
    LORA,
    REFERENCE_FREE,
    SIMPO,
    a_configuration,
    some_examples,
    some_pairs,
    train,
)
from torch.nn.functional import log_softmax, logsigmoid

from tunesmith_trainer.model import load_base

PREFERENCES = {
    "DPO": DPO,
    "LN-DPO": LN_DPO,
    "DPO+NLL": DPO_NLL,
    "SimPO": SIMPO,
    "reference-free DPO": REFERENCE_FREE,
}
TUNINGS = pytest.mark.parametrize("tuning", [LORA, pytest.param(FULL, marks=pytest.mark.prove)], ids=["LoRA", "Full"])
ONE_BATCH = {"microBatch": 4, "gradientAccumulation": 1, "globalBatch": 4, "learningRate": 0.005}


@TUNINGS
def test_supervised_loss_is_the_mean_over_learnt_tokens_and_falls(model_path, tmp_path, tuning):
    rows = some_examples(4)
    configuration = a_configuration(model_path, tmp_path, tuning=tuning, **ONE_BATCH)
    trained = train(configuration, tmp_path, steps=4, rows=rows, held_out=rows)
    assert trained.losses[0] == pytest.approx(likelihood_loss(load_base(configuration), rows), abs=2e-5)
    at_the_end = likelihood_loss(trained.loop.model.eval(), rows)
    assert trained.listener.evaluations[-1] == pytest.approx(at_the_end, abs=2e-5)
    assert at_the_end < trained.losses[0] - 0.002


def test_rows_in_one_pack_are_learnt_as_if_they_were_apart(model_path, tmp_path):
    """Without any kernel for it: the positions alone tell the attention where a row begins. Some rows are learnt whole:
    their first token has nothing before it that it could be told from, in a pack neither."""
    rows = [row | ({"labels": row["input_ids"]} if number % 2 else {}) for number, row in enumerate(some_examples(4))]
    pack = {key: [one for row in rows for one in row[key]] for key in ("input_ids", "labels")}
    pack["seq_lengths"] = [len(row["input_ids"]) for row in rows]
    one_pack = ONE_BATCH | {"microBatch": 1, "globalBatch": 1, "packing": True, "contextLength": 64}
    packed = train(a_configuration(model_path, tmp_path, **one_pack), tmp_path, steps=2, rows=[pack])
    apart = train(a_configuration(model_path, tmp_path, **ONE_BATCH), tmp_path, steps=2, rows=rows)
    assert packed.losses == pytest.approx(apart.losses, abs=2e-5)


def likelihood_loss(model, rows):
    """The mean of -log p over all tokens that are learnt."""
    parts = [
        (row["input_ids"][: row["labels"].count(-100)], row["input_ids"][row["labels"].count(-100) :]) for row in rows
    ]
    tokens = sum(len(answer) for _, answer in parts)
    return -sum(log_probability(model, *part).item() for part in parts) / tokens


def log_probability(model, prompt, answer):
    """Sum of the answer's log-probabilities, token by token: slow and obvious."""
    ids = torch.tensor([prompt + answer])
    logits = model(input_ids=ids, use_cache=False).logits[0]
    return sum(log_softmax(logits[at - 1], -1)[ids[0, at]] for at in range(len(prompt), len(prompt) + len(answer)))


def formula(learning, policy, reference, pairs):
    """The loss of one micro batch as the papers write it."""
    losses, chosen_sum, chosen_tokens = [], 0.0, 0
    for row in pairs:
        prompt, chosen, rejected = row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]
        better, worse = log_probability(policy, prompt, chosen), log_probability(policy, prompt, rejected)
        chosen_sum, chosen_tokens = chosen_sum + better, chosen_tokens + len(chosen)
        if not learning.get("referenceFree"):
            better = better - log_probability(reference, prompt, chosen)
            worse = worse - log_probability(reference, prompt, rejected)
        if learning.get("normalizeLogratiosByLength"):
            better, worse = better / len(chosen), worse / len(rejected)
        margin = learning["beta"] * (better - worse) - learning.get("simpoGamma", 0)
        losses.append(-logsigmoid(margin))
    return torch.stack(losses).mean() - learning.get("rpoAlpha", 0) * chosen_sum / chosen_tokens


@TUNINGS
@pytest.mark.parametrize("name", PREFERENCES)
def test_every_preference_loss_is_the_papers_formula_and_falls(model_path, tmp_path, name, tuning):
    configuration = a_configuration(model_path, tmp_path, method=PREFERENCES[name], tuning=tuning, **ONE_BATCH)
    pairs = some_pairs(4)
    trained = train(configuration, tmp_path, steps=4, rows=pairs, held_out=pairs)
    learning = PREFERENCES[name]["dpo"]
    reference, policy = load_base(configuration), trained.loop.model.eval()
    at_the_end = formula(learning, policy, reference, pairs).item()
    assert configuration.method.title == name
    assert trained.losses[0] == pytest.approx(formula(learning, reference, reference, pairs).item(), abs=2e-5)
    assert trained.listener.evaluations[-1] == pytest.approx(at_the_end, abs=2e-5)
    assert at_the_end < trained.losses[0] - 0.01
