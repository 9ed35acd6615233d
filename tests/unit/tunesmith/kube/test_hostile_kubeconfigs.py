"""Reading a hostile kubeconfig starts no process, reads no file and opens no socket: Python's own auditing sees it."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.tunesmith.kube.test_kubeconfig import HOSTILE, a_kubeconfig

from tunesmith.kube.credential_life import facts_of

REACHES_OUT = ("open", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "socket.")


class Audit:
    """What Python tells of the world's being touched, while it is on. A hook cannot be taken away again."""

    def __init__(self) -> None:
        self.on = False
        self.events: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event.startswith(REACHES_OUT):
            self.events.append(f"{event} {arguments[:1]}")


AUDIT = Audit()


def reading(text: str) -> list[str]:
    AUDIT.events.clear()
    AUDIT.on = True
    try:
        facts_of(text, allow_loopback=False)
    finally:
        AUDIT.on = False
    return list(AUDIT.events)


def test_the_audit_sees_a_file_being_opened() -> None:
    AUDIT.events.clear()
    AUDIT.on = True
    try:
        Path(__file__).read_text(encoding="utf-8")
    finally:
        AUDIT.on = False
    assert AUDIT.events


@pytest.mark.parametrize("form", HOSTILE)
def test_a_hostile_kubeconfig_reaches_nothing(form: str) -> None:
    config = copy.deepcopy(a_kubeconfig())
    HOSTILE[form](config)
    assert reading(yaml.safe_dump(config)) == []


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "!!python/name:os.system", "a: &a [*a]"])
def test_neither_do_yaml_tags(text: str) -> None:
    assert reading(text) == []
