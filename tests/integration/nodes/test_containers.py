"""What runs in a pod: programs, their environment, their end, and whether they are started again."""

import pytest


def test_a_program_runs_with_its_arguments_and_its_exit_code_is_reported(playground):
    playground.pod("p", command=["sh", "-c", 'echo "$0 and $1"; exit 7', "one"], args=["two"])
    ended = playground.ended("p")
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")
    assert playground.log("p") == "one and two\n"
    assert playground.seen("p")["status"]["phase"] == "Failed"


def test_variables_come_from_values_fields_config_maps_secrets_and_limits(playground):
    playground.create("configmaps", "settings", data={"colour": "blue", "size": "8"})
    playground.create("secrets", "keys", stringData={"token": "s3cret"})
    playground.pod(
        "p",
        "env",
        args=["$(GREETING)"],
        envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "CFG_"}, {"secretRef": {"name": "keys"}}],
        env=[
            {"name": "WHO", "value": "world"},
            {"name": "GREETING", "value": "hello $(WHO) $$(WHO) $(NOBODY)"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
            {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}}},
            {"name": "MIB", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        ],
        resources={"limits": {"nvidia.com/gpu": "2", "memory": "1Gi"}},
    )
    said = dict(line.split("=", 1) for line in playground.said("p").splitlines())
    pod = playground.seen("p")
    expected = {
        "GREETING": "hello world $(WHO) $(NOBODY)",
        "NAME": "p",
        "IP": pod["status"]["podIP"],
        "NODE": pod["spec"]["nodeName"],
        "COLOUR": "blue",
        "CFG_size": "8",
        "token": "s3cret",
        "KEY": "s3cret",
        "MIB": "1024",
        "HOSTNAME": "p",
    }
    assert {name: said[name] for name in expected} == expected
    assert "MAYBE" not in said
    assert len(said["NVIDIA_VISIBLE_DEVICES"].split(",")) == 2
    assert f"https://{said['KUBERNETES_SERVICE_HOST']}:{said['KUBERNETES_SERVICE_PORT']}" == playground.cluster.server


def test_a_missing_secret_is_waited_for(playground):
    reference = {"secretKeyRef": {"name": "late", "key": "token"}}
    playground.pod("p", "echo $KEY", env=[{"name": "KEY", "valueFrom": reference}])
    waiting = playground.until_container(
        "p", lambda c: "reason" in c.get("state", {}).get("waiting", {}) and "late" in str(c)
    )
    assert waiting["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    playground.create("secrets", "late", stringData={"token": "here"})
    assert playground.said("p") == "here\n"


def test_the_working_directory_is_the_containers_own(playground):
    playground.pod("p", "pwd", workingDir="/usr/share")
    assert playground.said("p") == "/usr/share\n"


def test_the_checkouts_python_runs_as_the_trainers_image(playground):
    playground.pod(
        "p", image="tunesmith/trainer:dev", command=["python", "-c", "import tunesmith_trainer; print('ok')"]
    )
    assert playground.said("p") == "ok\n"


@pytest.mark.parametrize(("signal", "code"), [("KILL", 137), ("TERM", 143)])
def test_an_end_by_a_signal_is_128_and_its_number(playground, signal, code):
    # a child's: process 1 is deaf to signals that it does not handle; `$$` is Kubernetes' way to write `$`
    playground.pod("p", f"sh -c 'kill -{signal} $$$$'; exit $?")
    assert playground.ended("p")["exitCode"] == code


def test_a_program_that_does_not_exist_is_a_start_error(playground):
    playground.pod("p", command=["no-such-program"])
    ended = playground.ended("p")
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "no-such-program" in ended["message"]


def test_the_termination_message_is_what_the_program_wrote(playground):
    playground.pod("file", "echo -n 'step 40 of 40' > /dev/termination-log; exit 3")
    playground.pod("own", "echo -n here > /tmp/last-words-$HOSTNAME", terminationMessagePath="/var/end/message")
    playground.pod("log", "echo broken; exit 1", terminationMessagePolicy="FallbackToLogsOnError")
    assert playground.ended("file")["message"] == "step 40 of 40"
    assert "message" not in playground.ended("own")
    assert playground.ended("log")["message"] == "broken\n"


def test_a_failing_container_is_started_again_after_a_back_off(playground):
    playground.pod("p", "echo run; exit 1", spec={"restartPolicy": "OnFailure"})
    playground.until_container("p", lambda c: c.get("restartCount", 0) >= 2)
    waiting = playground.until_container("p", lambda c: "waiting" in c["state"])
    assert waiting["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert waiting["lastState"]["terminated"]["exitCode"] == 1
    assert playground.seen("p")["status"]["phase"] == "Running"
    assert "Back-off restarting" in playground.until_event("p", "BackOff")


def test_a_container_that_succeeds_on_failure_policy_is_not_started_again(playground):
    playground.pod("p", "exit 0", spec={"restartPolicy": "OnFailure"})
    assert playground.ended("p")["reason"] == "Completed"
    assert playground.container("p")["restartCount"] == 0


def test_init_containers_run_one_after_the_other_before_the_containers(playground):
    mount = [{"name": "scratch", "mountPath": "/scratch"}]
    steps = [
        {
            "name": name,
            "image": "busybox:1",
            "command": ["sh", "-c", f"echo {name} >> /scratch/steps"],
            "volumeMounts": mount,
        }
        for name in ("first", "second")
    ]
    spec = {"initContainers": steps, "volumes": [{"name": "scratch", "emptyDir": {}}]}
    playground.pod("p", "cat /scratch/steps", spec=spec, volumeMounts=mount)
    assert playground.said("p") == "first\nsecond\n"


def test_a_failed_init_container_fails_the_pod_and_nothing_else_runs(playground):
    broken = {"name": "broken", "image": "busybox:1", "command": ["sh", "-c", "exit 4"]}
    playground.pod("p", "echo never", spec={"initContainers": [broken]})
    pod = playground.until_phase("p", "Failed")
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert "waiting" in pod["status"]["containerStatuses"][0]["state"]


def test_a_sidecar_runs_beside_the_containers_and_ends_after_them(playground):
    mount = [{"name": "scratch", "mountPath": "/scratch"}]
    sidecar = {
        "name": "sidecar", "image": "busybox:1", "restartPolicy": "Always", "volumeMounts": mount,
        "command": ["sh", "-c", "trap 'exit 0' TERM; touch /scratch/up; while :; do sleep 0.1; done"],
    }  # fmt: skip
    spec = {"initContainers": [sidecar], "volumes": [{"name": "scratch", "emptyDir": {}}]}
    playground.pod("p", "until [ -e /scratch/up ]; do sleep 0.1; done", spec=spec, volumeMounts=mount)
    pod = playground.until_phase("p", "Succeeded", "Failed")
    assert pod["status"]["phase"] == "Succeeded"
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_a_container_over_its_memory_limit_is_killed(playground):
    script = "x = bytearray(200 * 2**20)\nfor i in range(0, len(x), 4096): x[i] = 1\nimport time; time.sleep(60)"
    playground.pod(
        "p", image="tunesmith/trainer:dev", command=["python", "-c", script], resources={"limits": {"memory": "100Mi"}}
    )
    ended = playground.ended("p")
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_deleting_a_pod_lets_it_end_in_its_own_way(playground, tmp_path):
    playground.pod(
        "p",
        "trap 'echo bye > /out/said; exit 0' TERM; touch /out/up; while :; do sleep 0.1; done",
        spec={"volumes": [{"name": "out", "hostPath": {"path": str(tmp_path)}}]},
        volumeMounts=[{"name": "out", "mountPath": "/out"}],
    )
    playground.until((tmp_path / "up").exists, "the program is up")
    playground.delete("p")
    playground.until(lambda: playground.is_gone("p"), "the pod is gone")
    assert (tmp_path / "said").read_text() == "bye\n"


def test_a_pod_that_does_not_listen_is_killed_after_its_grace_period(playground):
    playground.pod("p", "trap '' TERM; echo up; while :; do sleep 0.1; done", spec={"terminationGracePeriodSeconds": 1})
    playground.until_phase("p", "Running")
    playground.until(lambda: playground.log("p"), "the program is up")
    playground.delete("p")
    playground.until(lambda: playground.is_gone("p"), "the pod is gone")


def test_a_pod_past_its_deadline_fails(playground):
    playground.pod("p", "sleep 600", spec={"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 0})
    pod = playground.until_phase("p", "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"


def test_an_unknown_image_cannot_be_pulled(playground):
    playground.pod("p", "true", image="registry.example/nothing:1")
    unable = {
        "ErrImagePull",
        "ImagePullBackOff",
    }  # the first lasts a moment only, with the short back-off of these tests
    playground.until_container("p", lambda c: c.get("state", {}).get("waiting", {}).get("reason") in unable)
    playground.until_container("p", lambda c: c["state"]["waiting"]["reason"] == "ImagePullBackOff")
    assert "Failed to pull image 'registry.example/nothing:1'" in playground.until_event("p", "Failed")
    assert playground.seen("p")["status"]["phase"] == "Pending"


def test_a_pod_that_asks_for_gpus_that_are_taken_is_refused_by_the_node(playground):
    both = {"nodeName": "gpu-a", "terminationGracePeriodSeconds": 0}  # past the scheduler, which would know better
    playground.pod("holder", "sleep 600", spec=both, resources={"limits": {"nvidia.com/gpu": "6"}})
    playground.until_phase("holder", "Running")
    playground.pod("late", "true", spec=both, resources={"limits": {"nvidia.com/gpu": "3"}})
    pod = playground.until_phase("late", "Failed")
    assert pod["status"]["reason"] == "UnexpectedAdmissionError"
    assert "Available: 2" in pod["status"]["message"]
    playground.delete("holder")
    playground.until(lambda: playground.is_gone("holder"), "the holder is gone")
