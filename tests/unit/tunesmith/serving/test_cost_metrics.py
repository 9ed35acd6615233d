"""Metrics of money: by resource, but never more series than a scraper bears."""

from tunesmith.serving.cost_metrics import LARGEST_SERIES, OTHERS, cost_families


def a_resource(name, usd="10.00", hourly="31.92"):
    cost = {"hourlyUSD": hourly, "computeUSD": usd, "idleUSD": "1.00", "uncertainUSD": "0.50"}
    return {"metadata": {"namespace": "ml", "name": name}, "status": {"cost": cost}}


def samples(family):
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


def test_every_sum_of_a_resource_is_told_with_its_rate():
    spent, hourly = cost_families({"GPUCluster": [a_resource("train")], "SharedVolume": [a_resource("data", "3.00")]})
    assert samples(hourly)["GPUCluster", "ml", "train"] == 31.92
    assert samples(spent)["GPUCluster", "ml", "train", "idle"] == 1.0
    assert samples(spent)["SharedVolume", "ml", "data", "spent"] == 3.0
    assert {sample.name for sample in spent.samples} == {"tunesmith_cost_usd_total"}


def test_beyond_the_bound_resources_are_one_sum():
    many = [a_resource(f"c-{number}", hourly=str(number)) for number in range(LARGEST_SERIES + 3)]
    spent, hourly = cost_families({"GPUCluster": many})
    assert len(hourly.samples) == LARGEST_SERIES + 1
    assert samples(hourly)["GPUCluster", OTHERS, OTHERS] == 0 + 1 + 2
    assert samples(spent)["GPUCluster", OTHERS, OTHERS, "spent"] == 30.0


def test_what_was_never_bought_has_no_series():
    spent, hourly = cost_families({"GPUCluster": [{"metadata": {"name": "new"}}]})
    assert not spent.samples
    assert not hourly.samples
