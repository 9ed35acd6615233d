"""Each pod has an address and a name of its own, and finds its siblings by name."""


def test_the_pods_of_a_job_find_each_other_by_name_and_talk(playground):
    playground.create("services", "ring", spec={"clusterIP": "None", "selector": {"job-name": "talk"}})
    script = (
        "import os, socket, time\n"
        "me, job = int(os.environ['JOB_COMPLETION_INDEX']), 'talk'\n"
        "assert socket.gethostname() == f'{job}-{me}', socket.gethostname()\n"
        "if me == 0:\n"
        "    server = socket.create_server((os.environ['POD_IP'], 29500))\n"
        "    print('heard', server.accept()[0].recv(100).decode())\n"
        "while me == 1:\n"
        "    try:\n"
        "        socket.create_connection((f'{job}-0.ring', 29500)).sendall(b'hello')\n"
        "        break\n"
        "    except OSError:\n"
        "        time.sleep(0.1)\n"
    )
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    container = {
        "name": "main", "image": "tunesmith/trainer:dev", "command": ["python", "-c", script], "env": [address],
        "resources": {"limits": {"nvidia.com/gpu": "8"}},
    }  # fmt: skip
    template = {"spec": {"subdomain": "ring", "restartPolicy": "Never", "containers": [container]}}
    job = {"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimit": 0, "template": template}
    path = f"/apis/batch/v1/namespaces/{playground.namespace}/jobs"
    playground.api.post(path, {"metadata": {"name": "talk"}, "spec": job})
    playground.until(lambda: playground.api.get(f"{path}/talk")["status"].get("succeeded") == 2, "the job is done")
    pods = playground.api.get(f"{playground.path}/pods", labelSelector="job-name=talk")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == {"gpu-a", "gpu-b"}
    assert len({pod["status"]["podIP"] for pod in pods}) == 2
    first = next(
        pod for pod in pods if pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "0"
    )
    assert playground.log(first["metadata"]["name"]) == "heard hello\n"
    playground.api.delete(f"{path}/talk?propagationPolicy=Background")


def test_a_name_leaves_the_running_pods_hosts_file_with_its_pod(playground):
    spec = {"subdomain": "ring", "hostname": "other"}
    script = (
        "until grep -q other.ring /etc/hosts; do sleep 0.1; done; echo there;"
        "while grep -q other.ring /etc/hosts; do sleep 0.1; done; echo gone"
    )
    playground.pod("watcher", script, spec={"subdomain": "ring"})
    playground.pod("other", "sleep 600", spec={**spec, "terminationGracePeriodSeconds": 0})
    playground.until(lambda: playground.container("watcher").get("containerID"), "the watcher runs")
    playground.until(lambda: "there" in playground.log("watcher"), "the name is there")
    playground.delete("other")
    assert playground.said("watcher") == "there\ngone\n"


def test_host_aliases_are_names_too(playground):
    spec = {"hostAliases": [{"ip": "127.0.0.9", "hostnames": ["provider.example"]}]}
    playground.pod("p", "getent hosts provider.example", spec=spec)
    assert playground.said("p").split() == ["127.0.0.9", "provider.example"]
