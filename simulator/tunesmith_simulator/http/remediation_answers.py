"""What the API answers about remediations and the alerts that led to them."""

from typing import Any

from tunesmith_simulator.alerts import MNEMONICS, Alert, AlertName
from tunesmith_simulator.http.times import given_times, time_text
from tunesmith_simulator.remediations import Remediation
from tunesmith_simulator.world import World

Json = dict[str, Any]


def remediation_json(remediation: Remediation, world: World) -> Json:
    """A remediation, whole; what is not known yet is left out."""
    review = remediation.review
    linked = [alert for alert in world.alerts.values() if alert.remediation_id == remediation.remediation_id]
    answer: Json = {
        "id": remediation.remediation_id,
        "cluster_id": remediation.cluster_id,
        "instance_id": remediation.instance_id,
        "instance_name": remediation.host_name,
        "mode": remediation.mode.value,
        "state": remediation.state.value,
        "trigger": remediation.trigger.value,
        "requested_by": remediation.requested_by,
        "linked_alerts": [alert_json(alert) for alert in linked],
    }
    texts = {
        "reason": remediation.reason,
        "error_message": remediation.error_message,
        "passive_health_check_event_id": linked[0].alert_id if linked else "",
        "reviewed_by": review.reviewer if review else "",
        "review_comment": review.comment if review else "",
    }
    times = given_times(
        create_time=remediation.created_at,
        update_time=remediation.updated_at,
        start_time=remediation.started_at,
        end_time=remediation.ended_at,
        review_time=review.time if review else None,
    )
    return answer | {name: text for name, text in texts.items() if text} | times


def alert_json(alert: Alert) -> Json:
    """An alert, in the typed form and in the older one of key and value."""
    annotation: Json = {
        "title": alert.title,
        "description": f"The health checks of the provider watch for this: {alert.title}.",
        "summary_line": alert.summary,
    }
    if alert.signal.name is AlertName.XID_ERROR:
        code = alert.signal.xid_code
        annotation["xid"] = {"events": [{"count": 1, "mnemonic": MNEMONICS.get(code, ""), "xid_code": code}]}
    if alert.signal.name is AlertName.SLURM_NODE_UNAVAILABLE:
        annotation["slurm_node_unavailable"] = {"reason": "node is drained"}
    answer: Json = {
        "alert_name": alert.signal.name.value,
        "annotation": annotation,
        "annotations": {"summary": alert.title, "evidence": alert.summary},
        "cluster_id": alert.cluster_id,
        "instance_id": alert.instance_id,
        "passive_health_check_alert_id": alert.alert_id,
        "severity": alert.severity.value,
        "started_at": time_text(alert.started_at),
        "target_vm": alert.host_name,
    }
    link = {"node_remediation_intent_id": alert.remediation_id} if alert.remediation_id else {}
    return answer | link | given_times(resolved_at=alert.resolved_at)
