"""What a container finds at its mount paths, and that the host keeps nothing of it."""

import base64
import json
from pathlib import Path


def test_config_maps_and_secrets_are_files(playground):
    playground.create("configmaps", "settings", data={"a": "A", "b": "B"})
    playground.create("secrets", "keys", stringData={"key": "K"})
    volumes = [
        {"name": "all", "configMap": {"name": "settings"}},
        {"name": "one", "configMap": {"name": "settings", "items": [{"key": "b", "path": "deep/b"}]}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "none", "secret": {"secretName": "none", "optional": True}},
    ]
    mounts = [{"name": one["name"], "mountPath": f"/etc/tunesmith/{one['name']}"} for one in volumes]
    script = (
        "cd /etc/tunesmith; cat all/a all/b one/deep/b keys/key; echo; ls one; ls none | wc -l;"
        "stat -L -c %a keys/key; (echo x > all/a) 2>/dev/null || echo read-only"
    )
    playground.pod("p", script, spec={"volumes": volumes}, volumeMounts=mounts)
    assert playground.said("p").splitlines() == ["ABBK", "deep", "0", "400", "read-only"]
    assert not Path("/etc/tunesmith").exists()


def test_a_missing_config_map_is_waited_for_and_told(playground):
    spec = {"volumes": [{"name": "late", "configMap": {"name": "late"}}]}
    playground.pod("p", "cat /late/a", spec=spec, volumeMounts=[{"name": "late", "mountPath": "/late"}])
    assert 'configmap "late" not found' in playground.until_event("p", "FailedMount")
    playground.create("configmaps", "late", data={"a": "here"})
    assert playground.said("p") == "here"


def test_a_rotated_key_reaches_the_running_program(playground):
    playground.create("secrets", "keys", stringData={"key": "old"})
    spec = {"volumes": [{"name": "keys", "secret": {"secretName": "keys"}}]}
    script = 'until [ "$(cat /keys/key)" = new ]; do sleep 0.1; done; echo rotated'
    playground.pod("p", script, spec=spec, volumeMounts=[{"name": "keys", "mountPath": "/keys"}])
    playground.until_phase("p", "Running")
    playground.api.merge_patch(f"{playground.path}/secrets/keys", {"stringData": {"key": "new"}})
    assert playground.said("p") == "rotated\n"


def test_an_empty_directory_is_shared_by_the_containers_and_gone_with_the_pod(playground):
    mounts = [{"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"}]
    spec = {
        "volumes": [{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}],
        "initContainers": [
            {
                "name": "writer",
                "image": "busybox:1",
                "command": ["sh", "-c", "echo d >/disk/x; echo m >/memory/x"],
                "volumeMounts": mounts,
            }
        ],
    }
    playground.pod("p", "cat /disk/x /memory/x; stat -f -c %T /memory", spec=spec, volumeMounts=mounts)
    assert playground.said("p") == "d\nm\ntmpfs\n"
    uid = playground.seen("p")["metadata"]["uid"]
    playground.delete("p")
    playground.until(lambda: playground.is_gone("p"), "the pod is gone")
    left = [path for node in ("gpu-a", "gpu-b") for path in playground.node(node).glob(f"*/{uid}")]
    playground.until(lambda: not any(path.exists() for path in left), "its directories are gone")
    playground.until(lambda: not Path(f"/dev/shm/tunesmith-pod-{uid}").exists(), "its memory is given back")


def test_a_service_account_token_has_its_audience_and_its_expiry_and_is_accepted(playground):
    source = {"serviceAccountToken": {"path": "token", "audience": "tunesmith-progress", "expirationSeconds": 600}}
    spec = {"volumes": [{"name": "token", "projected": {"sources": [source]}}]}
    playground.pod("p", "cat /token/token", spec=spec, volumeMounts=[{"name": "token", "mountPath": "/token"}])
    token = playground.said("p")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["aud"] == ["tunesmith-progress"]
    assert claims["exp"] - claims["iat"] == 600
    assert claims["kubernetes.io"]["pod"]["name"] == "p"
    review = {"spec": {"token": token, "audiences": ["tunesmith-progress"]}}
    answer = playground.api.post("/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert answer["status"]["user"]["username"] == f"system:serviceaccount:{playground.namespace}:default"


def test_a_program_reaches_the_api_server_as_its_service_account(playground):
    script = (
        "import os, ssl, urllib.request\n"
        "place = '/var/run/secrets/kubernetes.io/serviceaccount'\n"
        "host, port = os.environ['KUBERNETES_SERVICE_HOST'], os.environ['KUBERNETES_SERVICE_PORT']\n"
        "request = urllib.request.Request(f'https://{host}:{port}/api/v1/namespaces/default/pods',"
        " headers={'Authorization': 'Bearer ' + open(place + '/token').read()})\n"
        "try:\n"
        "    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=place + '/ca.crt'))\n"
        "except urllib.error.HTTPError as error:\n"
        "    print(error.code, 'default' in error.read().decode())\n"
    )
    playground.pod("p", image="tunesmith/trainer:dev", command=["python", "-c", script])
    assert playground.said("p") == "403 True\n"  # known by name, and without rights


def test_the_downward_api_is_written_to_files_and_follows_the_labels(playground):
    item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    spec = {"volumes": [{"name": "info", "downwardAPI": {"items": [item]}}]}
    script = "until grep -q colour /info/labels; do sleep 0.1; done; cat /info/labels"
    playground.pod("p", script, spec=spec, volumeMounts=[{"name": "info", "mountPath": "/info"}])
    playground.until_phase("p", "Running")
    playground.api.merge_patch(f"{playground.path}/pods/p", {"metadata": {"labels": {"colour": "blue"}}})
    assert playground.said("p") == 'colour="blue"'


def test_a_claim_is_the_host_directory_of_its_volume_and_outlives_the_pod(playground, tmp_path):
    for kind, place in (("hostPath", {"path": str(tmp_path / "hostPath")}), ("local", {"path": str(tmp_path)})):
        name = f"{playground.namespace}-{kind.lower()}"
        size = {"storage": "1Gi"}
        volume = {"capacity": size, "accessModes": ["ReadWriteMany"], "storageClassName": "", kind: place}
        if kind == "local":
            here = {"key": "tunesmith.dev/simulated", "operator": "In", "values": ["true"]}
            volume["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}
        playground.api.post("/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": volume})
        claim = {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": size},
            "storageClassName": "",
            "volumeName": name,
        }
        playground.create("persistentvolumeclaims", kind.lower(), spec=claim)
        spec = {"volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": kind.lower()}}]}
        mount = {"name": "shared", "mountPath": "/mnt/shared", "subPathExpr": "runs/$(POD)"}
        pod_name = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        playground.pod(kind.lower(), "echo kept > /mnt/shared/x", spec=spec, volumeMounts=[mount], env=[pod_name])
        playground.ended(kind.lower())
        playground.api.delete(f"/api/v1/persistentvolumes/{name}")
    assert (tmp_path / "hostPath/runs/hostpath/x").read_text() == "kept\n"
    assert (tmp_path / "runs/local/x").read_text() == "kept\n"


def test_read_only_mounts_and_mounts_inside_mounts(playground, tmp_path):
    (tmp_path / "x").write_text("given")
    volumes = [{"name": "given", "hostPath": {"path": str(tmp_path)}}, {"name": "scratch", "emptyDir": {}}]
    mounts = [
        {"name": "scratch", "mountPath": "/data/scratch"},
        {"name": "given", "mountPath": "/data/scratch/given", "readOnly": True},
        {"name": "given", "mountPath": "/etc/only/one", "subPath": "x"},
    ]
    script = (
        "cat /data/scratch/given/x /etc/only/one; echo;"
        "touch /data/scratch/y && touch /data/scratch/given/y 2>&1 || echo refused"
    )
    playground.pod("p", script, spec={"volumes": volumes}, volumeMounts=mounts)
    said = playground.said("p").splitlines()
    assert (said[0], said[-1]) == ("givengiven", "refused")
    assert "Read-only file system" in said[1]
    assert not (tmp_path / "y").exists()
