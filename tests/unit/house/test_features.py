"""The tables of features name tests that exist: a row cannot outlive what shows it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from tests.e2e.rights import RARE

ROOT = Path(__file__).parents[3]
TABLES = [ROOT / "docs" / "training.md", *sorted((ROOT / "docs" / "features").glob("*.md"))]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows(table: Path) -> list[tuple[str, str]]:
    """Feature and what shows it, of every row below a header."""
    lines = [line for line in table.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(row[0], row[1]) for row in cells if row[0] != "Feature" and set(row[0]) - set("-: ")]


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The test functions of a file; those that are skipped do not count."""
    found = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return frozenset(
        node.name
        for node in found
        if not any(ast.unparse(mark).startswith("pytest.mark.skip") for mark in node.decorator_list)
    )


def test_there_are_tables():
    assert TABLES


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_every_row_names_tests_that_exist(table: Path):
    assert rows(table)
    for feature, shown_by in rows(table):
        named = TEST.findall(shown_by)
        assert named, f"nothing shows: {feature}"
        for path, name in named:
            assert name in functions_of(ROOT / path), f"{path}::{name} of: {feature}"


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_no_feature_is_told_twice(table: Path):
    features = [feature for feature, _ in rows(table)]
    assert len(features) == len(set(features))


@pytest.mark.parametrize("right", RARE, ids=str)
def test_a_right_for_a_rare_moment_names_the_test_that_meets_it(right):
    assert RARE[right].why
    path, name = RARE[right].shown_by.split("::")
    assert name in functions_of(ROOT / path)
