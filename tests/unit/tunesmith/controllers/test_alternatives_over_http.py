"""Out of stock over HTTP: the next of `spec.alternatives` is bought, and the status says which and why."""

import pytest
from tests.unit.tunesmith.controllers.story import a_story
from tests.unit.tunesmith.controllers.test_bought import CLUSTER

from tunesmith.resources.timestamps import format_time
from tunesmith_simulator import happenings as happen

FIRST = {"region": "us-central-4", "gpuType": "H200_SXM"}
SECOND = {"region": "us-central-8", "gpuType": "B200_SXM"}
THIRD = {"region": "us-central-8", "gpuType": "H200_SXM"}
SPEC = {**FIRST, "alternatives": [SECOND, THIRD], "nodes": 1, "drift": {"intervalSeconds": 60}}


def stock(operator, choice, gpus):
    operator.provider.simulation.happen(
        happen.SetStock(region=choice["region"], gpu_type=choice["gpuType"], free_gpus=gpus)
    )


@pytest.fixture
async def operator():
    """Neither the first choice nor the second is in stock."""
    async with a_story(SPEC) as story:
        stock(story, SECOND, 0)
        yield story


async def test_the_first_choice_in_stock_is_bought_once_and_the_status_says_which_and_why(operator):
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "OutOfStock")
    told = operator.condition(CLUSTER)["message"]
    assert "'H200_SXM' in 'us-central-4' since" in told
    assert "Nothing was bought. Next it is tried with 'B200_SXM' in 'us-central-8'" in told
    await operator.until(lambda: operator.is_ready(CLUSTER))
    assert operator.status(CLUSTER)["choice"] == THIRD
    assert (len(operator.orders()), operator.orders()[-1]) == (3, 200)
    (bought,) = operator.provider.simulation.world().clusters.values()
    assert (bought.order.region, bought.order.gpu_type) == ("us-central-8", "H200_SXM")
    assert operator.events.count("Bought") == 1


async def test_after_a_whole_round_it_waits_and_begins_with_the_first_again(operator):
    stock(operator, THIRD, 0)
    await operator.until(lambda: operator.status(CLUSTER).get("nextTryTime"))
    assert len(operator.orders()) == 3
    assert "it is tried with 'H200_SXM' in 'us-central-4'" in operator.condition(CLUSTER)["message"]
    stock(operator, FIRST, 8)
    await operator.until(lambda: operator.status(CLUSTER).get("clusterID"))
    assert operator.status(CLUSTER)["choice"] == FIRST
    assert (len(operator.orders()), operator.orders()[-1]) == (4, 200)


async def test_what_is_bought_again_later_begins_with_the_first_choice(operator):
    operator.change(CLUSTER, expireAfterSeconds=600)
    await operator.until(lambda: operator.condition(CLUSTER).get("reason") == "Released")
    assert len(operator.orders()) == 3
    stock(operator, FIRST, 8)
    wish = {"tunesmith.dev/reacquire-requested-at": format_time(operator.clock.now())}
    operator.change(CLUSTER, annotations=wish, expireAfterSeconds=86400)
    await operator.until(lambda: operator.is_ready(CLUSTER))
    assert (operator.status(CLUSTER)["choice"], operator.status(CLUSTER)["incarnation"]) == (FIRST, 2)
    assert (len(operator.orders()), operator.orders()[-1]) == (4, 200)
