"""Logs through the API server, as `kubectl logs` reads them."""

import ssl

import httpx
import pytest

from tunesmith_devcluster.nodes.api import Access


def test_a_log_can_be_cut_and_stamped(playground):
    apart = "sleep 1"  # what is written to two streams at the same moment has no order
    playground.pod("p", f"for i in 1 2 3 4; do echo line $i; done; {apart}; echo oops >&2")
    assert playground.said("p") == "line 1\nline 2\nline 3\nline 4\noops\n"
    assert playground.log("p", tailLines="2") == "line 4\noops\n"
    assert playground.log("p", limitBytes="6") == "line 1"
    assert playground.log("p", sinceSeconds="3600").count("\n") == 5
    assert playground.log("p", sinceTime="2999-01-01T00:00:00Z") == ""
    stamp, text = playground.log("p", timestamps="true", tailLines="1").split(" ", 1)
    assert (stamp[-1], text) == ("Z", "oops\n")


def test_a_followed_log_ends_with_the_container(playground):
    playground.pod("p", "for i in 1 2 3; do echo $i; sleep 0.5; done; printf unfinished")
    playground.until_phase("p", "Running", "Succeeded")
    assert playground.log("p", follow="true") == "1\n2\n3\nunfinished"


def test_the_log_of_the_previous_run_is_kept(playground):
    script = "if [ -e /s/again ]; then echo second; sleep 600; else touch /s/again; echo first; exit 1; fi"
    spec = {"restartPolicy": "Always", "volumes": [{"name": "s", "emptyDir": {}}], "terminationGracePeriodSeconds": 0}
    playground.pod("p", script, spec=spec, volumeMounts=[{"name": "s", "mountPath": "/s"}])
    playground.until_container("p", lambda c: c.get("restartCount") == 1 and "running" in c["state"])
    playground.until(lambda: playground.log("p") == "second\n", "the second run speaks")
    assert playground.log("p", previous="true") == "first\n"


def test_a_stranger_is_refused_by_the_nodes_server(playground):
    node = playground.api.get("/api/v1/nodes/gpu-a")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    tls = ssl.create_default_context(cadata=Access.read(playground.cluster.kubeconfig).ca_pem.decode())
    with httpx.Client(verify=tls, trust_env=False) as stranger, pytest.raises(httpx.TransportError):
        stranger.get(f"https://127.0.0.1:{port}/pods")


def test_a_container_that_has_not_started_has_no_log_yet(playground):
    playground.pod("p", "true", image="registry.example/nothing:1")
    playground.until_container("p", lambda c: "waiting" in c.get("state", {}))
    with pytest.raises(httpx.HTTPStatusError) as refused:
        playground.log("p")
    assert refused.value.response.status_code == 400
    assert "is waiting to start" in refused.value.response.text
