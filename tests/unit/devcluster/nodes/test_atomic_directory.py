"""Files of a volume change all at once."""

from tunesmith_devcluster.nodes.atomic_directory import AtomicDirectory, FileContent


def test_files_are_replaced_together_and_old_ones_go(tmp_path):
    directory = AtomicDirectory(tmp_path / "volume")
    directory.write({"a": FileContent(b"1"), "deep/b": FileContent(b"2", 0o400)})
    assert (tmp_path / "volume/a").read_bytes() == b"1"
    assert (tmp_path / "volume/deep/b").stat().st_mode & 0o777 == 0o400
    assert directory.write({"a": FileContent(b"new")})
    assert (tmp_path / "volume/a").read_bytes() == b"new"
    assert not (tmp_path / "volume/deep").exists()
    assert len([entry for entry in (tmp_path / "volume").iterdir() if entry.is_dir() and not entry.is_symlink()]) == 1


def test_the_same_content_is_not_written_again(tmp_path):
    directory = AtomicDirectory(tmp_path / "volume")
    assert directory.write({"a": FileContent(b"1")})
    assert not directory.write({"a": FileContent(b"1")})
