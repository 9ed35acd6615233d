"""The table of known images."""

import sys

import pytest

from tunesmith_devcluster.nodes.images import ImageTable


@pytest.mark.parametrize("name", ["tunesmith/trainer:dev", "ghcr.io/acme/tunesmith/trainer:1.2.3"])
def test_our_images_run_from_the_checkouts_environment(name):
    image = ImageTable.read().find(name)
    assert image is not None
    assert image.variables()["PATH"].startswith(f"{sys.prefix}/bin:")


def test_an_unknown_image_is_not_found():
    assert ImageTable.read().find("nginx:latest") is None


def test_a_table_with_an_unknown_field_is_refused_by_name(tmp_path):
    table = tmp_path / "images.yaml"
    table.write_text("- {image: x, entrypoint: y}")
    with pytest.raises(ValueError, match="entrypoint"):
        ImageTable.read(table)


def test_an_images_own_files_are_found_again_below_a_volume(tmp_path):
    table = tmp_path / "images.yaml"
    table.write_text("[{image: 'x:*', path: [/tmp/checkout/.venv/bin], files: [/tmp/checkout/.venv/..]}]")
    image = ImageTable.read(table).find("x:1")
    assert image is not None
    assert image.hidden_by(["/tmp", "/mnt/shared"]) == ["/tmp/checkout", "/tmp/checkout/.venv/bin"]
    assert image.hidden_by(["/mnt/shared"]) == []
