"""Repairs of nodes in generation G2: their pages as planning's facts, and the words that they are filtered by."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from tunesmith.cloud.shapes import Maybe, Moment, Some, Text, Truth, Wire, validated
from tunesmith.planning.provider import Alert, Remediation

MODE, TRIGGER, SEVERITY = "REMEDIATION_MODE_", "REMEDIATION_TRIGGER_", "PHC_SEVERITY_"
ALL_INSTANCES = "-"  # provider: in the place of an instance's id
PAGE_SIZE = 100
MOST_PAGES = 100


@dataclass(frozen=True)
class RemediationFilter:
    """Which repairs to list; empty: all. Words without their prefixes, as in `Remediation`."""

    modes: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    instance_id: str = ALL_INSTANCES

    def query(self, page_token: str) -> dict[str, str]:
        """The query of one page. provider: lists are joined by commas."""
        given = {
            "mode": ",".join(MODE + mode for mode in self.modes),
            "state": ",".join(self.states),
            "trigger": ",".join(TRIGGER + trigger for trigger in self.triggers),
            "page_size": str(PAGE_SIZE),
            "page_token": page_token,
        }
        return {key: value for key, value in given.items() if value}


@dataclass(frozen=True)
class RemediationPage:
    """One page, and the token of the next; empty: it was the last."""

    remediations: tuple[Remediation, ...]
    next_token: str


class _Annotation(Wire):
    summary_line: Text = None
    title: Text = None
    description: Text = None


class _Alert(Wire):
    alert_name: Text = None
    severity: Text = None
    started_at: Moment = None
    resolved_at: Moment = None
    annotation: Maybe[_Annotation] = None


class _Remediation(Wire):
    id: str = Field(min_length=1)
    cluster_id: str
    instance_id: str
    mode: str
    state: str
    trigger: Text = None
    instance_name: Text = None
    reason: Text = None
    error_message: Text = None
    create_time: Moment = None
    start_time: Moment = None
    end_time: Moment = None
    linked_alerts: Some[_Alert] = ()


class _Page(Wire):
    remediations: tuple[_Remediation, ...]
    has_next: Truth = None
    next_page_token: Text = None


def read_remediation(body: object) -> Remediation:
    """One repair. Raises `NotUnderstoodError`."""
    return _remediation(validated(_Remediation, body))


def read_page(body: object) -> RemediationPage:
    """One page of repairs. A body without the list is not an empty page. Raises `NotUnderstoodError`."""
    page = validated(_Page, body)
    more = page.has_next is not False and page.next_page_token
    return RemediationPage(tuple(map(_remediation, page.remediations)), (page.next_page_token or "") if more else "")


def _remediation(wire: _Remediation) -> Remediation:
    return Remediation(
        id=wire.id,
        cluster_id=wire.cluster_id,
        instance_id=wire.instance_id,
        mode=wire.mode.removeprefix(MODE),
        state=wire.state.removeprefix("REMEDIATION_STATE_"),
        trigger=(wire.trigger or "").removeprefix(TRIGGER),
        instance_name=wire.instance_name or "",
        reason=wire.reason or "",
        error_message=wire.error_message or "",
        created=wire.create_time,
        started=wire.start_time,
        ended=wire.end_time,
        alerts=tuple(_alert(alert) for alert in wire.linked_alerts if alert is not None),
    )


def _alert(wire: _Alert) -> Alert:
    told = wire.annotation or _Annotation()
    return Alert(
        name=wire.alert_name or "",
        severity=(wire.severity or "").removeprefix(SEVERITY),
        started=wire.started_at,
        resolved=wire.resolved_at,
        summary=told.summary_line or told.title or told.description or "",
    )
