"""What decisions learn of a pod from what Kubernetes stores."""

import pytest

from tunesmith.planning.kube_facts import pod_fact


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            {"status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"},
            "0/1 nodes are available",
        ),
        ({"status": "False", "reason": "SchedulingGated", "message": "Scheduling is blocked"}, ""),
        ({"status": "True"}, ""),
    ],
    ids=["no node", "at the gate", "bound"],
)
def test_only_the_scheduler_says_why_no_node_takes_a_pod(condition, said):
    status = {"phase": "Pending", "conditions": [{"type": "PodScheduled", **condition}]}
    assert pod_fact({"metadata": {"name": "p"}, "status": status}).unschedulable == said
