"""What a real attempt tells while it works, to receivers that hang, and when it sits still itself."""

import json
import os
import signal
import socket
import threading

import forked
import pytest

from tunesmith_trainer.exit_codes import ErrorClass

NOTICED_SOON = {
    "heartbeatSeconds": 0.2,
    "stallAfterSeconds": 4,
    "watchdog": {"patientSeconds": 20, "stepMultiple": 20},
}


def stacks(workshop, uid, rank=0):
    return (workshop.root / "jobs" / uid / "attempts/1/stacks" / f"rank-{rank}.txt").read_text()


def test_a_step_says_speed_memory_and_the_wait_for_rows(undisturbed):
    steps = [line for line in undisturbed.said() if line.get("stage") == "Training" and line.get("step", 0) > 2]
    told = [line for line in steps if line["tunesmith"] == "progress/v1"][-1]
    assert told["tokensPerSecond"] > 0
    assert told["memoryPeakBytes"] > 100 << 20
    assert 0 <= told["dataWaitShare"] < 1
    assert told["etaSeconds"] >= 0


def test_a_hung_step_ends_as_a_stall_with_its_stacks_in_the_log_and_on_the_storage(workshop):
    pod = workshop.train(workshop.configuration("hangs", **NOTICED_SOON), target=forked.run_and_hang_in_step_7)
    assert pod.ended() == 21, pod.output.read_text()
    message = pod.message()
    assert (message.error_class, message.step) == (ErrorClass.STALL, 6)
    assert "It waits for rows in step 7." in message.message
    assert "<lambda>" in pod.output.read_text()
    assert "<lambda>" in stacks(workshop, "hangs")
    assert [line for line in pod.said() if line["tunesmith"] == "heartbeat/v1"][-1]["stalled"] is True


@pytest.mark.prove  # the shortest grace that there is time to speak in
def test_a_step_that_outlasts_the_grace_says_so_before_it_is_killed(workshop):
    document = workshop.configuration("outlasts", checkpoints={"everySteps": 5, "graceSeconds": 10})
    pod = workshop.train(document, target=forked.run_and_hang_in_step_7)
    pod.wait_for_checkpoint(5)
    pod.signal(signal.SIGTERM)
    assert pod.ended() == 75, pod.output.read_text()
    assert "the grace is over before that could be done: it waits for rows in step 7" in pod.message().message
    assert pod.message().step == 6


class NeverAnswers:
    """Accepts every connection and says nothing."""

    def __enter__(self):
        self.accepted = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/status"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def _accept(self):
        try:
            while True:
                self.accepted.append(self._socket.accept()[0])
        except OSError:
            return

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self.accepted:
            connection.close()


def test_a_receiver_that_never_answers_changes_nothing_and_the_librarys_own_client_is_off(workshop, undisturbed):
    with NeverAnswers() as receiver:
        pod = workshop.train(
            workshop.configuration("unheard"),
            KUBEFLOW_TRAINER_SERVER_URL=receiver.url,
            KUBEFLOW_TRAINER_SERVER_TOKEN=os.devnull,
        )
        assert pod.ended() == 0, pod.output.read_text()
        assert receiver.accepted  # every one of them still waits for its answer
        asked = [connection.recv(65536).split(b"\r\n")[0] for connection in receiver.accepted]
    assert set(asked) == {b"POST /status HTTP/1.1"}
    assert workshop.adapter("unheard") == workshop.adapter("undisturbed")


@pytest.mark.prove
def test_of_two_processes_the_one_that_was_stopped_is_named_and_does_not_keep_the_pod(workshop):
    document = workshop.configuration(
        "frozen", world={"processesPerPod": 2, "masterPort": workshop.free_port()}, **NOTICED_SOON
    )
    document["training"] |= {"gradientAccumulation": 1}
    pod = workshop.launch(document)
    pod.wait_for_checkpoint(5)
    attempt = workshop.root / "jobs/frozen/attempts/1"
    os.kill(json.loads((attempt / "ranks/1.json").read_text())["pid"], signal.SIGSTOP)
    assert pod.ended() == 21, pod.output.read_text()
    message = pod.message()
    assert message.error_class is ErrorClass.STALL
    assert "No sign of life from rank 1" in message.message
    assert "most recent call first" in stacks(workshop, "frozen", 0)
    assert "gave no sign of life" in stacks(workshop, "frozen", 1)
