"""Progress in Kubeflow Trainer's words, for its controller, when its variables are set (KEP-2779).

The library's own client sends on the training thread, and a receiver that never answers was seen to make training five
times slower. This one has a thread and one slot: the newest report waits there, training never does.
"""

import json
import logging
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_trainer.contract import ProgressLine

SERVER_URL_VARIABLE = "KUBEFLOW_TRAINER_SERVER_URL"
TOKEN_VARIABLE = "KUBEFLOW_TRAINER_SERVER_TOKEN"  # noqa: S105  a path to one
CA_CERT_VARIABLE = "KUBEFLOW_TRAINER_SERVER_CA_CERT"

TIMEOUT_SECONDS = 2.0
SECONDS_BETWEEN_REPORTS = 5.0
LONGEST_BACK_OFF_SECONDS = 60.0
SECONDS_FOR_THE_LAST = 2 * TIMEOUT_SECONDS + 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receiver:
    """Where reports go. Token and certificate are files that are renewed while training runs."""

    url: str
    token: Path | None = None
    ca_cert: Path | None = None
    timeout_seconds: float = TIMEOUT_SECONDS

    def post(self, body: Mapping[str, Any]) -> None:
        """Sends one report; raises OSError or ValueError when it was not taken."""
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.read_text(encoding='utf-8').strip()}"
        request = urllib.request.Request(  # noqa: S310  the scheme was checked when the receiver was made
            self.url, data=json.dumps(body).encode(), headers=headers, method="POST"
        )
        context = ssl.create_default_context(cafile=str(self.ca_cert)) if self.ca_cert is not None else None
        with urllib.request.urlopen(request, timeout=self.timeout_seconds, context=context):  # noqa: S310  as above
            return


class Sender:
    """Passes progress on to a receiver. Never waits on the caller's thread, never raises."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        seconds_between: float = SECONDS_BETWEEN_REPORTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._receiver = receiver
        self._seconds_between = seconds_between
        self._clock = clock
        self._news = threading.Condition()
        self._slot: ProgressLine | None = None
        self._closing = False
        self._failures = 0
        self._thread = threading.Thread(target=self._send_all, name="tunesmith-kubeflow", daemon=True)
        self._thread.start()

    def hear(self, line: ProgressLine) -> None:
        """Puts the line into the slot; what lay there and was not sent yet is out of date."""
        with self._news:
            self._slot = line
            self._news.notify()

    def close(self) -> None:
        """Lets the last report go out, if the receiver answers; then leaves."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(SECONDS_FOR_THE_LAST)

    def _send_all(self) -> None:
        while (line := self._taken()) is not None:
            try:
                self._receiver.post(report(line))
                self._failures = 0
            except (OSError, ValueError) as error:
                self._failures += 1
                logger.debug("The progress receiver did not take a report: %s", type(error).__name__)
            self._rest()

    def _taken(self) -> ProgressLine | None:
        with self._news:
            while self._slot is None and not self._closing:
                self._news.wait()
            line, self._slot = self._slot, None
            return line

    def _rest(self) -> None:
        """Until the next report is due; the end is not kept waiting."""
        seconds = min(LONGEST_BACK_OFF_SECONDS, self._seconds_between * 2 ** min(self._failures, 8))
        until = self._clock() + seconds
        with self._news:
            while not self._closing and (left := until - self._clock()) > 0:
                self._news.wait(left)


def receiver_of(environment: Mapping[str, str]) -> Receiver | None:
    """The receiver that Kubeflow's variables name; None when they do not, or it is not one for HTTP."""
    url = environment.get(SERVER_URL_VARIABLE, "")
    if not url.startswith(("https://", "http://")):
        return None
    token, ca_cert = environment.get(TOKEN_VARIABLE), environment.get(CA_CERT_VARIABLE)
    return Receiver(url, Path(token) if token else None, Path(ca_cert) if ca_cert else None)


def report(line: ProgressLine) -> dict[str, Any]:
    """One line as Kubeflow's controller reads it; numbers of metrics are strings there."""
    status: dict[str, Any] = {"lastUpdatedTime": line.time.isoformat()}
    if line.total_steps:
        status["progressPercentage"] = min(100, 100 * line.step // line.total_steps)
    if line.eta_seconds is not None:
        status["estimatedRemainingSeconds"] = int(line.eta_seconds)
    metrics = {
        "current_step": line.step,
        "total_steps": line.total_steps,
        "epoch": line.epoch,
        "loss": line.loss,
        "eval_loss": line.evaluation_loss,
        "learning_rate": line.learning_rate,
        "grad_norm": line.grad_norm,
        "tokens_per_second": line.tokens_per_second,
        "dropped_rows": sum(line.dropped_rows.values()) if line.dropped_rows is not None else None,
    }
    status["metrics"] = [{"name": name, "value": str(value)} for name, value in metrics.items() if value is not None]
    return {"trainerStatus": status}
