"""Many clusters: each is bought once, and once all are in order they cost one list for each credential and no write.

How much memory and time they take is measured by `tests/bench/scale.py`; here stands what holds at any speed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.proof.many_clusters import (
    IN_ORDER,
    NOTHING_YET,
    SETTINGS,
    Reading,
    a_market,
    all_say,
    asked_of,
    create_many,
    read,
)
from tests.integration.proof.stage import Installed, ManagementCluster, OperatorProcess, Provider, path_of, until

from tunesmith.planning.looking import SOONEST

ACCOUNTS = 2
INTERVAL_SECONDS = 2  # how often the provider is looked at
ROUNDS = 2  # how often each cluster has its turn while it is watched whether anything is done
COLLECTIONS = {"clusters", "volumes", "regions"}


class Crowd:
    """So many clusters of two accounts, and the operator that buys them."""

    def __init__(
        self, management: ManagementCluster, provider: Provider, operator: OperatorProcess, count: int
    ) -> None:
        self.management = management
        self.provider = provider
        self.operator = operator
        self.count = count

    def buy(self) -> None:
        """Until all are in order."""
        drift = {"intervalSeconds": INTERVAL_SECONDS}
        create_many(self.management, self.count, ACCOUNTS, team=f"crowd-{self.count}", drift=drift)
        self._until(lambda: all_say(self.management, IN_ORDER, self.count), "all should be in order")
        self._until(self._rests, "what follows a purchase should end")

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        def lives_and_holds() -> bool:
            assert self.operator.ended is None, f"the operator ended with {self.operator.ended}; {what}"
            return holds()

        until(lives_and_holds, what, 600)

    def _rests(self) -> bool:
        before = read(self.operator)
        return not self.after_rounds(1, before).writes_since(before)

    def after_rounds(self, rounds: int, before: Reading) -> Reading:
        """What was asked for when each cluster has had its turn so often, with nothing left to do for it."""
        wanted = before.settled + rounds * self.count
        self._until(lambda: read(self.operator).settled >= wanted, "the operator should look at all")
        return read(self.operator)

    def versions(self) -> dict[str, str]:
        """Changed by every write that changes anything."""
        metadata = [each["metadata"] for each in self.management.items("GPUCluster")]
        return {each["name"]: each["resourceVersion"] for each in metadata}

    def bought(self) -> list[str]:
        """Every cluster that ever was bought, by its id."""
        return sorted(each["cluster_id"] for each in self.provider.state()["clusters"])

    def owned(self) -> list[str]:
        """Every cluster that a resource says is its own."""
        return sorted(each["status"]["clusterID"] for each in self.management.items("GPUCluster"))

    def remove(self) -> None:
        """Without the operator, which has ended: nothing was bought for money."""
        for each in self.management.items("GPUCluster"):
            path = path_of("GPUCluster", each["metadata"]["namespace"], each["metadata"]["name"])
            self.management.api.delete(path)
            self.management.api.merge_patch(path, {"metadata": {"finalizers": None}})


@contextmanager
def a_crowd(management: ManagementCluster, directory: Path, count: int) -> Iterator[Crowd]:
    """With a running operator."""
    with a_market(directory, count, ACCOUNTS, answers=True) as provider:
        installed = Installed(management.cluster.kubeconfig, provider.url, directory, "key-0", SETTINGS)
        operator = OperatorProcess(installed)
        crowd = Crowd(management, provider, operator, count)
        try:
            with operator:
                yield crowd
        finally:
            management.forget_lease()
            crowd.remove()


def live(management: ManagementCluster, directory: Path, count: int) -> None:
    """From the purchase over a rest to a death and what follows it."""
    with a_crowd(management, directory, count) as crowd:
        crowd.buy()
        bought, versions = crowd.bought(), crowd.versions()
        assert len(bought) == count
        assert crowd.owned() == bought
        nothing_is_done(crowd, since=read(crowd.operator))

        crowd.operator.kill()
        management.forget_lease()
        crowd.operator.start()
        nothing_is_done(crowd, since=NOTHING_YET)
        assert all_say(management, IN_ORDER, count)
        assert crowd.versions() == versions
        assert crowd.bought() == bought
        assert crowd.operator.complaints() == []


def nothing_is_done(crowd: Crowd, *, since: Reading) -> None:
    """Nothing is written, and the provider is asked for whole lists only, as often as it would be for one cluster."""
    asked_before, begun = len(asked_of(crowd.provider)), time.monotonic()
    after = crowd.after_rounds(ROUNDS, since)
    asked = asked_of(crowd.provider)[asked_before:]
    most = 2 + (time.monotonic() - begun) / (SOONEST * INTERVAL_SECONDS)  # one at each end may come late
    assert after.writes_since(since) == {}
    lists = Counter((each["account"], each["method"], each["path"].rsplit("/", 1)[1]) for each in asked)
    assert {(method, collection) for _, method, collection in lists} <= {("GET", each) for each in COLLECTIONS}
    assert {account for account, _, collection in lists if collection == "clusters"} == {"a0", "a1"}
    assert [f"{what}: {number}, at most {most:.1f}" for what, number in lists.items() if number > most] == []


def test_twenty_clusters_are_bought_once_and_cost_a_list_for_each_credential_also_after_a_death(
    management: ManagementCluster, tmp_path: Path
) -> None:
    live(management, tmp_path, 20)


@pytest.mark.prove
def test_two_hundred_clusters_are_bought_once_and_cost_a_list_for_each_credential_also_after_a_death(
    management: ManagementCluster, tmp_path: Path
) -> None:
    live(management, tmp_path, 200)
