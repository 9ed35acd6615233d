"""What people see of the demo: the drawn picture, and the plain lines where there is no terminal."""

import io
import threading
from datetime import UTC, datetime

import pytest
from rich.console import Console

from tunesmith_demo import view as view_module
from tunesmith_demo.panel import BAD, GOOD, Step, colour_of, draw
from tunesmith_demo.picture import (
    EventLine,
    Lens,
    NodeLine,
    Picture,
    PodLine,
    Progress,
    ResourceLine,
    cluster_line,
    dollars,
    job_line,
    node_line,
    volume_line,
)
from tunesmith_demo.view import View, without_web_fonts

MID_TRAINING = Picture(
    resources=(
        ResourceLine("GPUCluster", "Ready", "2/2 nodes", "2 nodes with 16 GPUs are Ready."),
        ResourceLine("SharedVolume", "InUse", "1 TiB", "GPUCluster 'demo' has the volume attached."),
        ResourceLine("FineTuneJob", "Training", "16 GPUs", "Attempt 1 runs on 2 pod(s)."),
    ),
    progress=Progress(step=14, total=23, loss="2.28413", tokens_per_second="812.4", eta_seconds=12),
    pods=tuple(PodLine(f"demo-demo-74ba794f-a1-{index}-ps45v", "gpu-dp-36a3185f", "Running") for index in (0, 1)),
    events=tuple(EventLine("FineTuneJob", "Admitted", f"Event {number}. " + "long " * 40) for number in range(12)),
    dollars="3.74",
    dollars_per_hour="64.06",
)
STEPS = [Step("install the operator with Helm", 4.3, done=True), Step("fine-tune it", 33.0, done=False)]


def printed(seen: Picture, width: int, height: int) -> str:
    paper = Console(file=io.StringIO(), width=width, height=height, record=True)
    paper.print(draw(seen, STEPS, 102.0, paper))
    return paper.export_text()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 40), (120, 50)])
def test_the_picture_fits_and_says_everything(width, height):
    text = printed(MID_TRAINING, width, height)
    lines = text.splitlines()
    assert len(lines) <= height
    assert {len(line) for line in lines} == {width}
    for said in ("1:42", "$3.74", "2/2 nodes", "● Training", "step 14/23", "loss 2.284", "812 tokens/s", "Admitted"):
        assert said in text
    assert "Event 11." in text


def test_a_picture_of_nothing_yet_shows_the_steps_alone():
    text = printed(Picture(), 80, 24)
    assert "fine-tune it" in text
    assert "step 0" not in text


def test_states_have_the_colours_that_people_expect():
    assert (colour_of("Ready"), colour_of("Failed")) == (GOOD, BAD)
    assert colour_of("WaitingForControlPlaneNodes") not in {GOOD, BAD}


def test_lines_of_resources_that_are_not_there_yet_are_empty():
    lines = (cluster_line(None), volume_line(None), job_line(None))
    assert [line.state for line in lines] == ["-", "-", "-"]


def test_a_cluster_is_shown_in_the_providers_words_until_it_is_ready():
    ready = {"type": "Ready", "status": "False", "reason": "Provisioning", "message": "..."}
    cluster = {"status": {"providerStatus": "WaitingForSubnet", "conditions": [ready], "nodes": {"desired": 2}}}
    assert (cluster_line(cluster).state, cluster_line(cluster).count) == ("WaitingForSubnet", "0/2 nodes")
    ready["status"] = "True"
    assert cluster_line(cluster).state == "Ready"


def test_without_a_terminal_steps_and_answers_are_plain_lines_as_they_are():
    out = io.StringIO()
    with View(Console(file=out, width=40, highlight=False)) as view, view.step("ask both models the same question"):
        view.say("    tuned: [/b] a model may say anything, also longer than the line")
    lines = out.getvalue().splitlines()
    assert lines[0] == "... ask both models the same question"
    assert lines[1] == "    tuned: [/b] a model may say anything, also longer than the line"
    assert lines[2].startswith("ok  ask both models the same question (")


class Looks:
    """A lens that shows one picture after another, and then nothing new."""

    def __init__(self, *pictures):
        self.left, self.all_told = list(pictures), threading.Event()

    def look(self):
        if len(self.left) > 1:
            return self.left.pop(0)
        self.all_told.set()
        return self.left[0]

    def close(self):
        pass


def test_without_a_terminal_pods_on_nodes_and_dollars_are_plain_lines_when_they_change(monkeypatch):
    monkeypatch.setattr(view_module, "LOOK_EVERY_SECONDS", 0.01)
    gated, runs = PodLine("train-0", "-", "SchedulingGated"), PodLine("train-0", "gpu-0", "Running")
    looks = Looks(
        Picture(pods=(gated,)),
        Picture(pods=(runs,), dollars="0.10", dollars_per_hour="64.06"),
        Picture(pods=(runs,), dollars="0.90", dollars_per_hour="64.06"),
        Picture(pods=(runs,), dollars="1.02", dollars_per_hour="64.06"),
        Picture(dollars="0.01", dollars_per_hour="0.22"),  # the cluster is gone, and its sum with it
        Picture(dollars="0.01"),
    )
    out = io.StringIO()
    with View(Console(file=out, width=80, highlight=False)) as view:
        view.look_through(looks)
        looks.all_told.wait()
    assert out.getvalue().splitlines() == [
        "    Pod train-0  Running · on gpu-0",
        "    $0.10 so far · $64.06 an hour",
        "    $1.02 so far · $64.06 an hour",
    ]


def test_the_portrait_asks_no_web_server_for_fonts():
    paper = Console(file=io.StringIO(), record=True)
    paper.print(draw(MID_TRAINING, STEPS, 1.0, paper))
    svg = without_web_fonts(paper.export_svg())
    assert "@font-face" not in svg
    assert svg.count("http") == 1  # the name of SVG itself


def a_node(*, gpus="8", ready="True", **spec):
    conditions = [{"type": "Ready", "status": ready}]
    status = {"allocatable": {"nvidia.com/gpu": gpus}, "conditions": conditions}
    return {"metadata": {"name": "gpu-0"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("node", "leaving", "line"),
    [
        (a_node(), None, NodeLine("gpu-0", "Ready", "8 GPUs")),
        (a_node(gpus="5"), None, NodeLine("gpu-0", "Ready", "5 GPUs")),
        (a_node(ready="Unknown"), None, NodeLine("gpu-0", "NotReady", "8 GPUs")),
        (
            a_node(gpus="5", unschedulable=True),
            {"name": "gpu-0", "reason": "Repair", "repairMode": "REBOOT_VM"},
            NodeLine("gpu-0", "Ready", "5 GPUs, cordoned, Repair REBOOT_VM"),
        ),
    ],
)
def test_a_node_is_shown_with_its_gpus_and_what_is_done_about_it(node, leaving, line):
    assert node_line(node, leaving) == line


def test_nodes_stand_in_the_picture():
    text = printed(Picture(nodes=(NodeLine("gpu-0", "NotReady", "8 GPUs, cordoned"),)), 80, 24)
    assert "● NotReady" in text
    assert "8 GPUs, cordoned" in text


class LocalObjects:
    """A reader that knows nothing but paths."""

    def __init__(self, **objects):
        self.objects, self.closed = objects, False

    def get(self, path):
        return self.objects.get(path.rpartition("/")[2])

    def items(self, path):
        return []

    def close(self):
        self.closed = True


def test_only_what_a_story_has_is_looked_at():
    seen = Lens(LocalObjects(), "demo", "train").look()
    assert [line.kind for line in seen.resources] == ["GPUCluster"]


def test_a_lens_lets_go_of_a_cluster_that_was_given_back():
    gone = LocalObjects()
    lens = Lens(LocalObjects(train={"status": {}}), "demo", "train", bought=gone, _bought_id="c-1")
    lens.look()
    assert (gone.closed, lens.bought) == (True, None)


def test_another_lens_closes_the_one_before():
    with View(Console(file=io.StringIO())) as view:
        first = LocalObjects()
        view.look_through(Lens(first, "demo", "train"))
        view.look_through(None)
    assert first.closed


NOW = datetime(2026, 11, 23, 9, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "spent"),
    [
        ({"firstReadyTime": "2026-11-23T08:00:00Z"}, "11.06"),  # a minute at 63.84 an hour on what was counted
        ({"firstReadyTime": "2026-11-23T09:00:30Z"}, "10.53"),  # counted up to before it was there
        ({}, "10.00"),  # still being built
    ],
)
def test_dollars_are_carried_on_from_what_was_counted_but_not_to_before_it_began(status, spent):
    cost = {"hourlyUSD": "63.84", "computeUSD": "10.00", "asOfTime": "2026-11-23T09:00:00Z"}
    assert dollars(({"kind": "GPUCluster", "status": {"cost": cost, **status}},), NOW) == (spent, "63.84")


def test_a_volume_is_carried_on_from_what_was_counted():
    cost = {"hourlyUSD": "0.60", "computeUSD": "1.00", "asOfTime": "2026-11-23T08:56:00Z"}
    assert dollars(({"kind": "SharedVolume", "status": {"cost": cost}}, None), NOW) == ("1.05", "0.60")
