"""The table of known images: what stands for each of them on this machine.

A YAML list; the first entry whose `image` pattern (fnmatch) fits counts. `${PREFIX}` is the Python environment that
runs the node, so our own images run from the checkout's `.venv`:

    - image: tunesmith/trainer:*
      command: [tunesmith-trainer]      # used when the pod names none, as an entry point is
      path: ["${PREFIX}/bin"]           # put before the host's PATH
      files: ["${PREFIX}/.."]           # directories of its own: no volume of a pod hides them
      environment: {PYTHONUNBUFFERED: "1"}
"""

import fnmatch
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

DEFAULT_TABLE = Path(__file__).with_name("images.yaml")


@dataclass(frozen=True)
class Image:
    """One entry of the table."""

    image: str
    command: list[str] = field(default_factory=list)
    args: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    working_directory: str = "/"

    def variables(self) -> dict[str, str]:
        """The environment that every container of this image begins with."""
        path = ":".join([*self.path, os.environ.get("PATH", os.defpath)])
        return {"PATH": path, "HOME": "/root", **self.environment}

    def hidden_by(self, mount_paths: Iterable[str]) -> list[str]:
        """The image's directories that lie below a mount path, as a checkout in `/tmp` does below a volume there."""
        own = {os.path.normpath(each) for each in (*self.path, *self.files)}
        mounted = [Path(each) for each in mount_paths]
        return sorted(each for each in own if any(Path(each).is_relative_to(one) for one in mounted))


class ImageTable:
    """Looks image names up; knows no registry."""

    def __init__(self, images: list[Image]) -> None:
        self._images = images

    @classmethod
    def read(cls, path: Path = DEFAULT_TABLE) -> "ImageTable":
        """Read a table; ValueError says which entry is wrong."""
        entries = yaml.safe_load(path.read_text(encoding="utf-8").replace("${PREFIX}", sys.prefix))
        try:
            return cls([Image(**entry) for entry in entries])
        except TypeError as error:
            raise ValueError(f"{path} is not a table of images: {error}") from error

    def find(self, name: str) -> Image | None:
        """The entry for an image name, with or without a registry host before it; None when there is none."""
        bare = name.removeprefix("docker.io/")
        return next((one for one in self._images if fnmatch.fnmatchcase(bare, one.image)), None)
