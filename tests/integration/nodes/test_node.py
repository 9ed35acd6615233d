"""What a process node says about itself."""


def test_a_node_looks_like_a_gpu_node_and_says_that_it_is_simulated(playground):
    node = playground.api.get("/api/v1/nodes/gpu-a")
    labels = node["metadata"]["labels"]
    expected = {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/gpu.family": "hopper",
        "nvidia.com/gpu.memory": "81559",
        "tunesmith.dev/simulated": "true",
        "kubernetes.io/hostname": "gpu-a",
    }
    assert {name: labels[name] for name in expected} == expected
    assert node["status"]["capacity"]["nvidia.com/gpu"] == "8"
    assert node["status"]["allocatable"]["cpu"] == "64"
    assert "taints" not in node["spec"]


def test_a_node_sends_heartbeats(playground):
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/gpu-a"
    first = playground.api.get(path)["spec"]["renewTime"]
    playground.until(lambda: playground.api.get(path)["spec"]["renewTime"] > first, "the Lease is renewed")
