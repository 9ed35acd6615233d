"""The arithmetic of money: exact, the same however it is cut, never less than before and never negative."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.planning.money import Holding, Range, Rates, account, hourly_usd, rate_of, storage_hourly_usd
from tunesmith.planning.price_table import PUBLISHED, Prices

BEGIN = datetime(2026, 9, 1, tzinfo=UTC)
RATES = Rates(Decimal("3.99"), Decimal("1.99"))


def at(seconds):
    return BEGIN + timedelta(seconds=seconds)


RANGES = st.builds(lambda least, more: Range(8 * least, 8 * (least + more)), st.integers(0, 8), st.integers(0, 8))
MOMENTS = st.floats(min_value=0, max_value=3_000_000, allow_nan=False)


@st.composite
def holdings(draw):
    since, length = draw(MOMENTS), draw(MOMENTS)
    on_demand, preemptible = draw(RANGES), draw(RANGES)
    return Holding(at(since), at(since + length), on_demand + preemptible, on_demand, preemptible)


HISTORIES = st.lists(holdings(), max_size=8)


@given(HISTORIES, MOMENTS, MOMENTS, MOMENTS)
def test_splitting_an_interval_changes_nothing(history, one, two, three):
    first, middle, last = sorted(at(each) for each in (one, two, three))
    assert account(history, RATES, first, middle) + account(history, RATES, middle, last) == account(
        history, RATES, first, last
    )


@given(HISTORIES, MOMENTS, MOMENTS, st.randoms(use_true_random=False))
def test_the_order_of_what_was_held_changes_nothing(history, one, two, random):
    shuffled = list(history)
    random.shuffle(shuffled)
    first, last = sorted((at(one), at(two)))
    assert account(history, RATES, first, last) == account(shuffled, RATES, first, last)


@given(HISTORIES, MOMENTS, MOMENTS)
def test_sums_grow_with_time_and_are_never_negative(history, one, two):
    sooner, later = sorted((at(one), at(two)))
    before, after = account(history, RATES, BEGIN, sooner), account(history, RATES, BEGIN, later)
    assert 0 <= before.usd_seconds <= after.usd_seconds
    assert 0 <= before.uncertain_usd_seconds <= after.uncertain_usd_seconds
    assert 0 <= before.gpu_seconds <= after.gpu_seconds


@given(HISTORIES, MOMENTS, MOMENTS)
def test_the_end_before_the_beginning_is_nothing(history, one, two):
    first, last = sorted((at(one), at(two)))
    assert account(history, RATES, last, first).usd_seconds == 0


def test_a_day_of_eight_gpus_is_a_day_of_their_price():
    day = account([Holding(BEGIN, None, Range(8, 8), Range(8, 8))], RATES, BEGIN, at(86400))
    assert (day.usd, day.uncertain_usd, day.gpu_seconds) == (8 * 24 * Decimal("3.99"), 0, 8 * 86400)


def test_what_has_no_price_has_no_sum_rather_than_zero():
    held = [Holding(BEGIN, None, Range(8, 8), on_demand=Range(8, 8))]
    assert account(held, Rates(preemptible=Decimal(2)), BEGIN, at(60)) is None
    assert rate_of(held[0], Rates()) is None


@pytest.mark.parametrize(("gpu_type", "usd"), [("H100_SXM", "63.84"), ("B200_SXM", "131.04"), ("GB200_SXM", None)])
def test_an_hour_costs_what_the_table_says(gpu_type, usd):
    assert hourly_usd(PUBLISHED, gpu_type, 16) == (None if usd is None else Decimal(usd))


def test_storage_is_a_month_by_its_hours():
    assert storage_hourly_usd(PUBLISHED, 10) * 730 == pytest.approx(Decimal("1638.4"))
    assert storage_hourly_usd(Prices(), 10) is None
