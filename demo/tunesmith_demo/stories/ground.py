"""The stage of the stories: the demo's, with a trainer that takes its time and repairs without patience."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from tunesmith_demo.stage import Say, Stage

HERE = Path(__file__).parent
SAVE_GRACE_SECONDS = 10

VALUES: dict[str, Any] = {
    "trainer": {"allowedImages": ["tunesmith/paced-trainer:dev"]},
    "saveGraceSeconds": SAVE_GRACE_SECONDS,
    # With the chart's own times a broken node is watched for ten minutes before anything is done.
    "repair": {"afterSeconds": 4, "afterAlertSeconds": 2, "replaceAfterSeconds": 5, "cooldownSeconds": 5},
}


def stage_for_stories(directory: Path, say: Say) -> Stage:
    """The stage, not raised yet; its files are in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    images, scenario = directory / "images.yaml", directory / "scenario.yaml"
    images.write_text((HERE / "images.yaml").read_text().replace("${STORIES}", str(HERE)))
    played = yaml.safe_load(resources.files("tunesmith_simulator").joinpath("scenarios/demo.yaml").read_text())
    scenario.write_text(yaml.safe_dump({**played, "node_images": str(images)}))
    # A process that is killed is started again after a pause that doubles: ten seconds on real nodes, one here.
    return Stage(directory, say=say, scenario=str(scenario), values=VALUES, images=images, backoff_factor=0.1)
