"""The stories of the demo: named, told one after another, and paid for; what they promise is proven end to end."""

import io
from decimal import Decimal

import pytest
from click.testing import CliRunner
from rich.console import Console

from tunesmith_demo import books, stories
from tunesmith_demo.cli import main
from tunesmith_demo.promises import BrokenPromiseError, promised, until
from tunesmith_demo.stories.programme import Programme
from tunesmith_demo.view import View
from tunesmith_simulator.admin_words import EntryState


def a_charge(*, minutes=30, units=8, usd_per_unit_hour="3.99"):
    return {
        "kind": "on_demand",
        "from": "2026-09-01T00:00:00Z",
        "until": f"2026-09-01T00:{minutes:02}:00Z",
        "units": units,
        "usd_per_unit_hour": usd_per_unit_hour,
        "unit_hours": str(Decimal(units * minutes) / 60),
        "usd": str(Decimal(units * minutes) / 60 * Decimal(usd_per_unit_hour)),
        "upfront": False,
    }


def an_entry(object_id="c-1", *charges, kind="cluster"):
    charges = charges or (a_charge(),)
    return EntryState.model_validate(
        {
            "kind": kind,
            "object_id": object_id,
            "name": object_id,
            "project_id": "p",
            "usd": str(sum(Decimal(each["usd"]) for each in charges)),
            "usd_per_hour": "0",
            "intervals": charges,
        }
    )


def a_story(name, end=None):
    """A story that does nothing, or ends with an error; and what was called of it."""
    called = []

    class Told:
        title = "something promised"
        namespace = f"story-{name}"

        def __init__(self, stage, view, reader):
            self.name = name

        def open(self):
            called.append("open")

        def tell(self):
            called.append("tell")
            if end is not None:
                raise end

        def close_the_books(self):
            called.append("books")

        def give_back(self):
            called.append("back")

    return Told, called


class BareStage:
    def raise_curtain(self):
        pass

    def install_operator(self):
        pass

    def reader(self):
        return io.StringIO()


def told(*chosen, keep=False):
    out = io.StringIO()
    with View(Console(file=out, width=200, highlight=False)) as view:
        programme = Programme(BareStage(), view, keep)
        programme.tell(chosen)
    return programme, out.getvalue()


def test_an_unknown_story_is_answered_with_those_there_are():
    answer = CliRunner().invoke(main, ["story", "fairy-tale"])
    assert answer.exit_code == 2
    for name in ("alternative", "repair", "idle", "crash", "all"):
        assert f"\n  {name} " in answer.output


def test_all_are_all_and_each_has_its_own_name():
    assert [each.name for each in stories.named("all")] == ["alternative", "repair", "idle", "crash"]
    assert [each.name for name in stories.STORIES for each in stories.named(name)] == list(stories.STORIES)


def test_a_broken_promise_ends_its_story_and_not_the_others():
    first, of_first = a_story("first", BrokenPromiseError("two were bought"))
    second, of_second = a_story("second")
    programme, said = told(first, second)
    assert (of_first, of_second) == (["open", "tell"], ["open", "tell", "books", "back"])
    assert "second: something promised" in said
    assert programme.told() == "A promise was broken: first: two were bought"


def test_stories_that_went_well_are_named_at_the_end():
    programme, _ = told(a_story("one")[0], a_story("two")[0])
    assert (programme.told(), programme.broken) == ("Every promise was kept: one, two.", [])


def test_what_is_kept_is_not_given_back():
    story, called = a_story("kept")
    programme, _ = told(story, keep=True)
    assert called == ["open", "tell", "books"]
    assert programme.namespaces == ["story-kept"]


def test_a_promise_that_is_not_kept_in_time_says_what_was_seen():
    with pytest.raises(BrokenPromiseError, match="still nothing"):
        until(lambda: False, 0, lambda: "still nothing")


def test_a_promise_that_is_kept_is_silent():
    promised(["something"], "there should be something")
    with pytest.raises(BrokenPromiseError, match="there should be something"):
        promised([], "there should be something")


def test_dollars_and_minutes_are_those_of_the_ledger():
    entries = (an_entry("c-1", a_charge(), a_charge(minutes=15)), an_entry("v-1", kind="volume"))
    assert books.usd(entries) == Decimal("15.96") + Decimal("7.98") + Decimal("15.96")
    assert books.minutes_billed(entries) == 45
    assert books.dearest_hour(entries) == Decimal("63.84")


@pytest.mark.parametrize(
    ("certain", "uncertain", "agree"),
    [
        ("10.00", "0", True),
        ("10.18", "0", True),
        ("10.20", "0", False),
        ("9.80", "0", False),
        ("8.00", "2.00", True),
        ("8.00", "1.50", False),
    ],
)
def test_the_ledger_lies_within_what_the_statuses_say_and_the_time_between_the_clocks(certain, uncertain, agree):
    hour = Decimal("31.92")  # 17.7 cents in 20 seconds
    assert books.Books(Decimal("10.00"), Decimal(certain), Decimal(uncertain), hour).agree is agree


def test_doubt_is_told_only_where_there_is_some():
    sure = books.Books(Decimal("1.234"), Decimal("1.23"), Decimal(0), Decimal(1))
    assert str(sure) == "1.23 by the provider's ledger, 1.23 by the operator's statuses"
    unsure = books.Books(Decimal("1.234"), Decimal("1.00"), Decimal("0.50"), Decimal(1))
    assert "1.00, at most 0.50 more by the operator's statuses" in str(unsure)
