"""Kubeflow's progress protocol: what is sent, and that training waits for no receiver."""

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tunesmith_trainer import kubeflow
from tunesmith_trainer.contract import ProgressLine
from tunesmith_trainer.kubeflow import Receiver, Sender

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Controller:
    """A receiver on loopback that answers when it is let, and keeps what came."""

    def __init__(self, *, answers=True, status=200):
        self.reports, self.tokens = [], []
        self.came = threading.Semaphore(0)
        self.answer = threading.Event()
        self.answered = threading.Event()
        if answers:
            self.answer.set()
        controller = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                controller.tokens.append(self.headers["Authorization"])
                controller.reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                controller.came.release()
                controller.answer.wait(60)
                controller.answered.set()
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/status"


@contextmanager
def a_controller(**behaviour):
    controller = Controller(**behaviour)
    thread = threading.Thread(target=controller.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield controller
    finally:
        controller.answer.set()
        controller.server.shutdown()
        thread.join()
        controller.server.server_close()


def a_line(step, **facts):
    return ProgressLine(time=NOW, attempt=1, stage="Training", step=step, total_steps=200, **facts)


def test_a_report_is_in_kubeflows_words():
    status = kubeflow.report(a_line(50, loss=1.5, eta_seconds=90.7, dropped_rows={"noTrainableTokens": 2}))
    assert status["trainerStatus"]["progressPercentage"] == 25
    assert status["trainerStatus"]["estimatedRemainingSeconds"] == 90
    assert status["trainerStatus"]["lastUpdatedTime"] == "2026-01-01T00:00:00+00:00"
    metrics = {entry["name"]: entry["value"] for entry in status["trainerStatus"]["metrics"]}
    assert metrics == {"current_step": "50", "total_steps": "200", "loss": "1.5", "dropped_rows": "2"}


def test_training_ends_while_the_first_report_still_hangs():
    with a_controller(answers=False) as controller:
        sender = Sender(Receiver(controller.url, timeout_seconds=60), seconds_between=0)
        for step in range(1, 201):
            sender.hear(a_line(step))
            if step == 1:
                assert controller.came.acquire(timeout=60)
        assert not controller.answered.is_set()
        assert len(controller.reports) == 1
        controller.answer.set()
        sender.close()
    steps = [report["trainerStatus"]["metrics"][0]["value"] for report in controller.reports]
    assert steps == ["1", "200"]  # the newest won; the last was not lost


def test_the_end_of_training_waits_a_bounded_time_for_a_receiver_that_never_answers():
    with a_controller(answers=False) as controller:
        sender = Sender(Receiver(controller.url, timeout_seconds=0.05), seconds_between=0)
        sender.hear(a_line(1))
        assert controller.came.acquire(timeout=60)
        sender.hear(a_line(200))
        sender.close()
        assert not controller.answered.is_set()
        assert not sender._thread.is_alive()


def test_a_receiver_that_refuses_or_is_not_there_raises_nothing():
    with a_controller(status=500) as controller:
        sender = Sender(Receiver(controller.url), seconds_between=0)
        sender.hear(a_line(1))
        assert controller.came.acquire(timeout=60)
        sender.close()
    gone = Sender(Receiver(controller.url), seconds_between=0)
    gone.hear(a_line(1))
    gone.close()
    assert not gone._thread.is_alive()


def test_a_token_that_was_renewed_is_read_again(tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    with a_controller() as controller:
        sender = Sender(Receiver(controller.url, token), seconds_between=0)
        sender.hear(a_line(1))
        assert controller.came.acquire(timeout=60)
        token.write_text("second\n")
        sender.hear(a_line(2))
        sender.close()
    assert (controller.tokens[0], controller.tokens[-1]) == ("Bearer first", "Bearer second")


def test_without_its_token_nothing_is_sent(tmp_path):
    with a_controller() as controller:
        sender = Sender(Receiver(controller.url, tmp_path / "missing"), seconds_between=0)
        sender.hear(a_line(1))
        sender.close()
    assert controller.reports == []


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "not a url"])
def test_only_urls_for_http_name_a_receiver(url):
    assert kubeflow.receiver_of({kubeflow.SERVER_URL_VARIABLE: url}) is None


def test_the_variables_name_the_receiver(tmp_path):
    environment = {
        kubeflow.SERVER_URL_VARIABLE: "https://controller/status",
        kubeflow.TOKEN_VARIABLE: "/token",
        kubeflow.CA_CERT_VARIABLE: "/ca.crt",
    }
    receiver = kubeflow.receiver_of(environment)
    assert (receiver.url, str(receiver.token), str(receiver.ca_cert)) == (
        "https://controller/status",
        "/token",
        "/ca.crt",
    )
