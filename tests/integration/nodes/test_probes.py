"""Probes decide about readiness and restarts."""

SERVER = (
    "import http.server, os, pathlib\n"
    "class Answer(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200 if self.path == '/good' else 500); self.end_headers()\n"
    "http.server.HTTPServer((os.environ['POD_IP'], 8080), Answer).serve_forever()\n"
)
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
QUICK = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 10}


def served(playground, name, **probes):
    playground.pod(
        name, image="tunesmith/trainer:dev", command=["python", "-c", SERVER], env=[POD_IP],
        ports=[{"name": "web", "containerPort": 8080}], spec={"terminationGracePeriodSeconds": 0}, **probes,
    )  # fmt: skip


def test_http_and_tcp_probes_ask_the_pods_own_address(playground):
    served(playground, "http", readinessProbe={"httpGet": {"path": "/good", "port": "web"}, **QUICK})
    served(playground, "tcp", readinessProbe={"tcpSocket": {"port": 8080}, **QUICK})
    served(playground, "bad", readinessProbe={"httpGet": {"path": "/bad", "port": 8080}, **QUICK})
    playground.until_container("http", lambda c: c.get("ready"))
    playground.until_container("tcp", lambda c: c.get("ready"))
    playground.until(lambda: any("500" in one["message"] for one in playground.events("bad")), "the failure is told")
    assert not playground.container("bad")["ready"]
    conditions = {one["type"]: one["status"] for one in playground.seen("http")["status"]["conditions"]}
    assert conditions["Ready"] == conditions["ContainersReady"] == "True"


def test_an_exec_probe_runs_inside_the_container(playground):
    mount = {"volumeMounts": [{"name": "here", "mountPath": "/only/here"}]}
    probe = {"exec": {"command": ["test", "-e", "/only/here/up"]}, **QUICK}
    playground.pod(
        "p", "touch /only/here/up; sleep 600", readinessProbe=probe,
        spec={"volumes": [{"name": "here", "emptyDir": {}}], "terminationGracePeriodSeconds": 0}, **mount,
    )  # fmt: skip
    playground.until_container("p", lambda c: c.get("ready"))


def test_a_container_that_fails_its_liveness_probe_is_started_again(playground):
    playground.pod(
        "p", "sleep 600", livenessProbe={"exec": {"command": ["false"]}, **QUICK},
        spec={"restartPolicy": "Always", "terminationGracePeriodSeconds": 0},
    )  # fmt: skip
    playground.until_container("p", lambda c: c.get("restartCount", 0) >= 1)
    assert "liveness probe" in playground.until_event("p", "Killing")


def test_nothing_else_is_asked_before_the_startup_probe_succeeds(playground):
    playground.pod(
        "p", "sleep 2; touch /here/up; sleep 600",
        startupProbe={"exec": {"command": ["test", "-e", "/here/up"]}, **QUICK, "failureThreshold": 1000},
        livenessProbe={"exec": {"command": ["test", "-e", "/here/up"]}, **QUICK},
        spec={"volumes": [{"name": "here", "emptyDir": {}}], "terminationGracePeriodSeconds": 0},
        volumeMounts=[{"name": "here", "mountPath": "/here"}],
    )  # fmt: skip
    ready = playground.until_container("p", lambda c: c.get("started"))
    assert ready["restartCount"] == 0
