"""A scenario file says everything that is played, and a wrong one is refused in words."""

import re
import typing
from pathlib import Path

import pytest
import yaml

from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.courses import Course, VolumeCourse
from tunesmith_simulator.faults import Effect
from tunesmith_simulator.happenings import AnyHappening
from tunesmith_simulator.scenario import ScenarioError

SMALLEST = """
accounts: [{name: a, key: secret-key, projects: [p]}]
regions: [{name: r, stock: {H100_SXM: 8}, drivers: []}]
"""


@pytest.mark.parametrize("name", ["default", "demo"])
def test_the_scenarios_of_the_package_can_be_played(name):
    scenario = scenarios.named(name)
    assert "us-central-8" in scenario.world().regions
    assert scenario.accounts_by_key()


def test_a_small_scenario_is_enough(tmp_path):
    file = tmp_path / "scenario.yaml"
    file.write_text(SMALLEST)
    assert scenarios.load(file).world().stock == {("r", "H100_SXM"): 8}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALLEST + "colour: red", "colour: Extra inputs are not permitted"),
        (SMALLEST + "durations: {gpu_node: {booting_second: 1}}", "durations.gpu_node.booting_second"),
        (SMALLEST + "speed: 0", "speed: Input should be greater than 0"),
        (SMALLEST.replace("H100_SXM: 8", "H100_SXM: -8"), "regions.0.stock.H100_SXM"),
        (SMALLEST.replace("H100_SXM", "ABACUS"), "regions.0.stock.ABACUS"),
        (SMALLEST.replace("projects: [p]", "projects: []"), "accounts.0.projects"),
        ("accounts: [", "not valid YAML in line"),
        ("just text", "not valid"),
    ],
)
def test_a_wrong_scenario_is_refused_and_shows_no_key(text, message):
    with pytest.raises(ScenarioError) as refused:
        scenarios.parsed(text)
    assert message in str(refused.value)
    assert "secret-key" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ScenarioError, match=r"none\.yaml cannot be read"):
        scenarios.load(tmp_path / "none.yaml")


def test_a_key_is_not_in_the_scenarios_text():
    assert "secret-key" not in repr(scenarios.parsed(SMALLEST))


def test_the_examples_of_the_guide_can_be_played(tmp_path):
    page = Path(__file__).parents[3] / "docs" / "guide" / "simulator-provider.md"
    parts = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump({key: value for part in parts for key, value in part.items()}))
    scenario = scenarios.load(file)
    world = scenario.world()
    assert world.repair_policy.proposes
    assert world.pools["pool-acme"].free_gpus == 64
    assert world.preemptible_stock == {("us-central-8", "H100_SXM"): 64}
    assert {account.organization for account in scenario.accounts_by_key().values()} == {"acme", "penniless"}


GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "simulator.md"


def test_the_example_of_the_guide_can_be_played_and_says_what_it_says():
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    scenario = scenarios.parsed(example)
    assert [fault.effect.kind for fault in scenario.faults] == ["cut", "answer", "delay"]
    world = scenario.world(scenario.virtual_clock()())
    assert [each.happening.what for each in world.planned] == ["set_stock", "fail_node", "list_lag", "credit", "credit"]
    assert world.courses.of_cluster("unlucky-1").tests_fail == "NCCL_TESTS_FAILED"
    assert world.billing.bill_from == "Ready"


def test_the_guide_names_every_happening_effect_and_field_of_a_course():
    text = GUIDE.read_text()
    happenings = typing.get_args(typing.get_args(AnyHappening)[0])
    effects = typing.get_args(typing.get_args(Effect)[0])
    names = {each.model_fields["what"].default for each in happenings}
    names |= {each.model_fields["kind"].default for each in effects}
    names |= set(Course.model_fields) | set(VolumeCourse.model_fields)
    assert {name for name in names if f"`{name}`" not in text} == set()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("faults: [{route: POST moons, effect: {kind: cut}}]", "faults.0.route"),
        ("faults: [{effect: {kind: explode}}]", "faults.0.effect"),
        ("timeline: [{at_seconds: 1, happening: {what: explode}}]", "timeline.0.happening"),
        ("courses: {clusters: [{never_leaves: [LIMBO]}]}", "courses.clusters.0.never_leaves"),
        ("clock: {starts_at: 2026-09-01T00:00:00}", "clock.starts_at"),
        ("billing: {bill_from: Monday}", "billing.bill_from"),
    ],
)
def test_a_wrong_fault_course_or_happening_is_refused_by_its_place(extra, message):
    with pytest.raises(ScenarioError, match=message):
        scenarios.parsed(SMALLEST + extra)
