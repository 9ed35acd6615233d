"""The simulator as a command and as a process of its own."""

import signal
import subprocess
import sys

import pytest
import together

from tunesmith_simulator.process import SimulatorProcess


def test_it_answers_as_a_process_and_ends_on_request(tmp_path):
    with SimulatorProcess(tmp_path, scenario="demo", speed=100) as simulator:
        client = together.Together(api_key="simulated-key-demo", base_url=simulator.url, max_retries=0)
        assert client.clusters.list().clusters == []
        assert simulator.url.startswith("http://127.0.0.1:")
    assert "simulated-key" not in simulator.log.read_text()
    with pytest.raises(RuntimeError, match="call start"):
        _ = simulator.pid


def test_a_scenario_that_cannot_be_played_is_told_at_the_start(tmp_path):
    with pytest.raises(RuntimeError, match=r"absent\.yaml cannot be read"):
        SimulatorProcess(tmp_path, scenario=str(tmp_path / "absent.yaml")).start()


def test_a_port_that_is_taken_is_told_with_what_to_do(tmp_path):
    with SimulatorProcess(tmp_path) as simulator:
        port = simulator.url.rpartition(":")[2]
        command = [sys.executable, "-m", "tunesmith_simulator", "serve", "--light", "--port", port]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "Choose another --port" in second.stderr


def test_ctrl_c_is_a_good_end(tmp_path):
    command = [sys.executable, "-m", "tunesmith_simulator", "serve", "--light"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "answers at http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
