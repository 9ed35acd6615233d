"""What the house holds itself to and no tool checks: sizes with reasons, pure planning, nothing of any one machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tunesmith.resources.reasons import Reason

ROOT = Path(__file__).parents[3]
ABOUT_400_LINES = 420
PURE_ROOMS = ("resources", "catalog", "planning")
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "urandom", "getenv", "monotonic", "time_ns", "perf_counter"}
IMPURE_MODULES = {"random", "secrets", "time", "socket", "subprocess", "asyncio", "threading", "requests", "httpx"}
READS_FILES = {"generator.py", "loader.py"}  # a program of its own, and the reader of the bundled catalogue

# Written in parts, so that this file does not find itself.
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")))
OF_ONE_MACHINE = re.compile(
    r"/(?:" + "|".join(("ro" + "ot", "ho" + "me/[a-z]", "wo" + "rk", "Us" + "ers/[a-z]")) + r")/"
)
PACKAGE_HOSTS = re.compile(
    "|".join(
        ("files.pythonho" + "sted", "pypi" + r"\.org", "proxy.gola" + "ng", "registry.npm" + "js", "index-" + "url")
    )
)


def committed_files():
    """The text files that git keeps."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.splitlines() if (ROOT / name).is_file()]


FILES = committed_files()
SOURCES = [path for path in FILES if path.suffix == ".py"]


def where(pattern, files):
    """Each line that the pattern finds, as path and line."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_for_and_a_long_one_why_it_is_long(path):
    text = path.read_text(encoding="utf-8")
    said = ast.get_docstring(ast.parse(text)) or ""
    assert said or not text.strip()
    if len(text.splitlines()) > ABOUT_400_LINES:
        assert "Long because" in said, "over about 400 lines: split it, or say in its docstring 'Long because ...'"


def test_the_rooms_that_decide_ask_no_clock_no_chance_and_no_machine():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {impure}"
        for room in PURE_ROOMS
        for path in (ROOT / "operator" / "tunesmith" / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (impure := _impure(node, may_read=path.name in READS_FILES))
    ]
    assert found == []


def test_nothing_is_left_unfinished():
    assert where(UNFINISHED, [path for path in FILES if path.suffix not in {".sum", ".lock", ".jsonl"}]) == []


def test_no_committed_file_speaks_of_one_machine():
    # Containers have root directories too; what must not be there is a checkout's or a person's place.
    assert where(OF_ONE_MACHINE, FILES) == []


def test_no_committed_file_names_a_host_that_packages_come_from():
    assert where(PACKAGE_HOSTS, [path for path in FILES if path.name != "lock.sh"]) == []


def test_links_between_documents_lead_somewhere():
    link = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
    broken = [
        f"{path.relative_to(ROOT)} -> {target}"
        for path in FILES
        if path.suffix == ".md"
        for target in link.findall(path.read_text(encoding="utf-8"))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_files_that_documents_name_are_there():
    named = re.compile(r"`((?:examples|docs|operator|contract|tools|charts|tests)/[\w./-]+)`")
    gone = [
        f"{path.relative_to(ROOT)} -> {target}"
        for path in FILES
        if path.suffix == ".md"
        for target in named.findall(path.read_text(encoding="utf-8"))
        if not (ROOT / target).exists()
    ]
    assert gone == []


def test_the_reasons_of_the_page_of_faults_are_reasons():
    rows = re.findall(r"^\|[^|]+\|([^|]+)\|", (ROOT / "docs/guide/faults.md").read_text(), flags=re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`([A-Z][A-Za-z]+)`", row)}
    assert len(named) > 10
    assert named <= {reason.value for reason in Reason}


def test_every_reason_of_the_reference_is_given_by_something():
    """Nobody should look for what can never come."""
    sources = [path for path in SOURCES if "operator" in path.parts and path.name != "reasons.py"]
    said = "".join(path.read_text(encoding="utf-8") for path in (*sources, ROOT / "contract/v1/exit-codes.json"))
    never = [each.name for each in Reason if f'"{each}"' not in said and not re.search(rf"Reason\.{each.name}\b", said)]
    assert never == []


def test_the_menu_has_a_line_for_every_target_that_is_promised():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    described = set(re.findall(r"^([a-z]+):.*## ", text, flags=re.MULTILINE))
    assert {"help", "demo", "test", "prove", "check", "generate", "bench", "up", "down", "clean"} <= described


def test_what_a_target_does_not_need_is_not_built_for_it():
    """A Kubernetes that is given, or that kind makes, needs no binaries of ours."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    first_needs = dict(re.findall(r"^([a-z]+): ([a-z]+)", text, flags=re.MULTILINE))
    assert {first_needs[target] for target in ("up", "down", "check", "generate", "lock")} == {"setup"}


def _impure(node, *, may_read):
    if isinstance(node, ast.Import):
        return next((name.name for name in node.names if name.name.split(".")[0] in IMPURE_MODULES), None)
    if isinstance(node, ast.ImportFrom):
        return node.module if (node.module or "").split(".")[0] in IMPURE_MODULES else None
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in IMPURE_CALLS or (name in {"open", "print"} and not may_read):
            return f"{name}()"
    return None
