"""What nobody needs goes from the storage, and what anybody may need stays, with several clearing up at once."""

import os
import threading
import time

import pytest
from tests.unit.trainer.fetch_builders import QUICK, fetched, web_file

from tunesmith_trainer import clean_up as clearing
from tunesmith_trainer.clean_up import DAY_SECONDS, Rules, clean_up, clock_of
from tunesmith_trainer.contract.messages import DatasetSaid
from tunesmith_trainer.data.cache import MARK, in_use, kept
from tunesmith_trainer.locks import taken
from tunesmith_trainer.testing_sources import ServedFiles
from tunesmith_trainer.writing_lock import held

COMMIT, KEY, ROWS = "a" * 40, "b" * 64, "c" * 24
DOWNLOADS = (f"weights/org--tiny/{COMMIT}.partial", f"datasets/{KEY}.partial")
REMAINS = (
    f"prepared/{ROWS}.partial-x_1", f"prepared/{ROWS}.damaged-x_1", f"prepared/{ROWS}.removed-f00",
    f"datasets/{KEY}.damaged-f00", f"weights/org--tiny/{COMMIT}.removed-f00",
)  # fmt: skip


def put(root, name, days_from_now=None):
    path = root / name
    path.mkdir(parents=True)
    (path / "file").write_bytes(b"x" * 1000)
    if days_from_now is not None:
        touched = time.time() + days_from_now * DAY_SECONDS
        os.utime(path / "file", (touched, touched))
    return path


def put_rows(root, key=ROWS):
    def make(path):
        path.write_text("rows")
        return DatasetSaid(rows=1, trained=1, tokens=3)

    return kept(root / "prepared", key, make).rows.parent


def cleared(root, days, **how):
    """Clears up as if so many days had passed; what is told."""
    told = []
    clean_up(root, told.append, now=lambda root: clock_of(root) + days * DAY_SECONDS, **how)
    return told


@pytest.mark.parametrize("name", [*DOWNLOADS, *REMAINS])
def test_what_was_given_up_a_week_ago_goes_and_is_told(tmp_path, name):
    path = put(tmp_path, name)
    assert cleared(tmp_path, 6) == []
    assert path.exists()
    [told] = cleared(tmp_path, 8)
    assert str(path) in told
    assert [one for one in path.parent.iterdir() if one.name != ".locks"] == []


def test_prepared_rows_stay_for_a_month_after_they_were_last_used(tmp_path):
    rows = put_rows(tmp_path)
    assert cleared(tmp_path, 29) == []
    (rows / MARK).touch()
    os.utime(rows / MARK, (time.time() + 5 * DAY_SECONDS,) * 2)
    assert cleared(tmp_path, 34) == []
    [told] = cleared(tmp_path, 36)
    assert str(rows) in told
    assert list(rows.parent.iterdir()) == []
    assert put_rows(tmp_path) == rows, "and are made again for who wants them"


@pytest.mark.parametrize(
    "name",
    [
        f"weights/org--tiny/{COMMIT}", f"datasets/{KEY}", "datasets/mine.partial", "datasets/mine", "prepared/mine",
        f"{COMMIT}.partial", f"{'d' * 8}-1111-2222-3333-{'e' * 12}/attempts/1", f"weights/org--tiny/mine/{KEY}.partial",
    ],
)  # fmt: skip
def test_complete_downloads_and_what_others_put_there_stay_for_ever(tmp_path, name):
    path = put(tmp_path, name)
    assert cleared(tmp_path, 10_000) == []
    assert path.exists()


def test_what_another_process_is_at_is_left_alone(tmp_path):
    download = put(tmp_path, f"datasets/{KEY}.partial")
    with held(tmp_path / "datasets" / ".locks" / KEY) as lock:
        fresh = (time.time() + 8 * DAY_SECONDS,) * 2
        os.utime(lock._path, fresh)
        assert cleared(tmp_path, 8) == []
        lock.ensure()
    rows = put_rows(tmp_path)
    with taken(tmp_path / "prepared" / f"{ROWS}.lock"):
        os.utime(tmp_path / "prepared" / f"{ROWS}.lock", (time.time() + 31 * DAY_SECONDS,) * 2)
        assert cleared(tmp_path, 31, rules=Rules(abandoned_seconds=DAY_SECONDS * 9)) != []
    assert rows.exists()
    assert not download.exists(), "its lock was given back"


def test_the_lock_of_a_process_that_died_holds_nothing_up(tmp_path):
    download, rows = put(tmp_path, f"datasets/{KEY}.partial"), put_rows(tmp_path)
    locks = tmp_path / "datasets" / ".locks" / KEY
    locks.mkdir(parents=True)
    (locks / "7").write_text("somebody 000000000012\n")
    (tmp_path / "prepared" / f"{ROWS}.lock").write_text("somebody 12")
    (tmp_path / "prepared" / f"{'d' * 24}.lock").write_text("who died before there were rows")
    (tmp_path / "prepared" / f"{'d' * 24}.lock.stale-f00").write_text("and who took another's away and died")
    assert len(cleared(tmp_path, 31)) == 2
    assert not download.exists()
    assert not rows.exists()
    assert [path.name for path in locks.iterdir()] == ["8"], "who wakes sees the number above his own"
    assert list((tmp_path / "prepared").iterdir()) == []


def test_rows_that_somebody_opens_at_that_moment_go_back(tmp_path, monkeypatch):
    rows = put_rows(tmp_path)
    aside = clearing._aside

    def opened_just_now(path):
        os.utime(rows / MARK, (time.time() + 60,) * 2)
        return aside(path)

    monkeypatch.setattr(clearing, "_aside", opened_just_now)
    assert cleared(tmp_path, 31) == []
    assert [path.name for path in rows.parent.iterdir()] == [ROWS]
    assert put_rows(tmp_path) == rows


def test_many_at_once_remove_everything_say_nothing_twice_and_harm_nobody(tmp_path):
    for number in range(20):
        put(tmp_path, f"datasets/{number:064x}.partial")
        put(tmp_path, f"weights/org--tiny/{number:040x}.removed-f00")
        put_rows(tmp_path, f"{number:024x}")
    stays = put(tmp_path, f"datasets/{KEY}.partial", days_from_now=30)
    told, together = [], threading.Barrier(6)

    def clear():
        together.wait()
        told.extend(cleared(tmp_path, 31))

    threads = [threading.Thread(target=clear) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("is removed" in one for one in told)
    named = [one.split("'")[1] for one in told if ".removed-" not in one.split("'")[1]]
    assert len(named) == len(set(named))
    left = [path for path in (tmp_path / "datasets").iterdir() if path.name != ".locks"]
    assert left == [stays]
    assert list((tmp_path / "weights" / "org--tiny").iterdir()) == list((tmp_path / "prepared").iterdir()) == []


def test_a_download_that_was_cleared_away_is_simply_made_again(tmp_path):
    with ServedFiles({"/rows": b'{"text":"a"}\n'}) as web:
        found = fetched(tmp_path, training=web_file(f"{web.url}/rows"), rhythm=QUICK)
    place = found.datasets["training"].path.parent
    place.rename(place.with_name(f"{place.name}.partial"))
    (place.with_name(f"{place.name}.partial") / "COMPLETE.json").unlink()
    assert len(cleared(tmp_path, 8)) == 1
    with ServedFiles({"/rows": b'{"text":"a"}\n'}) as web:
        assert fetched(tmp_path, training=web_file(f"{web.url}/rows"), rhythm=QUICK).datasets


def test_what_may_not_be_removed_is_told_and_nothing_fails(tmp_path, monkeypatch):
    path = put(tmp_path, f"datasets/{KEY}.removed-f00")
    monkeypatch.setattr(clearing.shutil, "rmtree", lambda *_, **__: None)
    [told] = cleared(tmp_path, 8)
    assert f"'{path}' is needed by nobody and could not be removed" in told


def test_it_takes_no_longer_than_it_may(tmp_path):
    path = put(tmp_path, f"datasets/{KEY}.partial")
    assert cleared(tmp_path, 8, rules=Rules(budget_seconds=-1)) == []
    assert cleared(tmp_path, 8, stop_wanted=lambda: True) == []
    assert path.exists()


def test_a_storage_that_cannot_be_read_is_told(tmp_path):
    [told] = cleared(tmp_path / "nothing", 8)
    assert "could not be looked through" in told


def test_rows_in_use_are_marked_again_and_again(tmp_path):
    rows = put_rows(tmp_path)
    with in_use(kept(tmp_path / "prepared", ROWS, lambda _: None), every_seconds=0.01):
        os.utime(rows / MARK, (0, 0))
        deadline = time.monotonic() + 20
        while (rows / MARK).stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert (rows / MARK).stat().st_mtime > 0
