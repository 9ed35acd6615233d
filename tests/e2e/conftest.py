"""One stage for all end-to-end tests of a run: a management cluster, the provider played, the operator by Helm.

What must be true of the whole run is in `test_the_whole_run.py`, which goes last whatever the order on disk.
"""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.oracles import KEY, broken
from tests.e2e.recorder import Recorder
from tests.e2e.world import Namespace, World

from tunesmith_demo.stage import Stage
from tunesmith_trainer.testing import tiny_model
from tunesmith_trainer.testing_sources import ServedHub

HERE = Path(__file__).parent
LAST = "test_the_whole_run.py"

NewNamespace = Callable[[], Namespace]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == LAST and item.path.parent == HERE)


@pytest.fixture(scope="session")
def hub() -> Iterator[ServedHub]:
    """A mirror of the Hub, which the installation is told of. Tests put their repositories there."""
    with ServedHub({}) as served:
        yield served


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, hub: ServedHub) -> Iterator[Stage]:
    """The stage, with the operator on it."""
    directory = tmp_path_factory.mktemp("stage")
    images, scenario = directory.with_name("images.yaml"), directory.with_name("scenario.yaml")
    images.write_text((HERE / "images.yaml").read_text().replace("${TESTS}", str(HERE)))
    scenario.write_text((HERE / "scenario.yaml").read_text().replace("${IMAGES}", str(images)))
    with Stage(
        directory,
        scenario=str(scenario),
        local_gpu_nodes=3,
        key=KEY,
        values={
            "trainer": {"allowedImages": ["tests/broken-trainer:dev", "tests/slow-trainer:dev"]},
            "hub": {"endpoint": hub.url},
            "saveGraceSeconds": 5,
            "nodeSelector": {"kubernetes.io/hostname": "management-0"},  # the others are broken by tests
        },
        images=images,
        backoff_factor=0.1,
    ) as built:
        yield built


@pytest.fixture(scope="session")
def world(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The stage with a running operator, and a watcher that remembers everything; at the end it is asked about it."""
    recorder = Recorder(stage.reader)
    stage.install_operator()
    recorder.start()
    model = tiny_model(tmp_path_factory.mktemp("tiny"))
    built = World(stage, recorder, model, stage.reader())
    yield built
    try:
        assert broken(built) == []
    finally:
        built.close()


@pytest.fixture
def namespace(world: World, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace of the test's own. It is deleted afterwards, with everything in it."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    made = world.namespace(f"{name}-{uuid.uuid4().hex[:4]}")
    yield made
    world.stage.kubectl("delete", "namespace", made.name, "--wait=false", "--ignore-not-found")
