"""Manifests as users write them, with good defaults for a tiny model; parts of `spec` given by name replace those."""

from typing import Any

Manifest = dict[str, Any]

REGION, GPU_TYPE = "us-central-8", "H100_SXM"
TINY_MODEL = "weights/tiny"
API_VERSION = "tunesmith.dev/v1alpha1"


def gpu_cluster(name: str = "cluster", **spec: Any) -> Manifest:
    """One node, on demand."""
    default = {"region": REGION, "gpuType": GPU_TYPE, "nodes": 1, "billing": {"type": "OnDemand"}}
    return _manifest("GPUCluster", name, {**default, **spec})


def shared_volume(name: str = "volume", **spec: Any) -> Manifest:
    """One TiB, given back when it is deleted."""
    return _manifest("SharedVolume", name, {"region": REGION, "sizeTiB": 1, "deletionPolicy": "Delete", **spec})


def fine_tune_job(name: str = "job", **spec: Any) -> Manifest:
    """LoRA SFT of the tiny model on the rows of ConfigMap 'rows', on one local node, by one process."""
    default = {
        "model": {"type": "Path", "path": TINY_MODEL},
        "method": {"type": "SFT"},
        "tuning": {"type": "LoRA", "lora": {"rank": 4}},
        "dataset": {"training": rows_of("rows")},
        "training": training(),
        "storage": {"type": "Claim", "claim": {"name": "storage"}},
        "resources": {"gpus": 8},
        "placement": {"type": "Local"},
    }
    return _manifest("FineTuneJob", name, {**default, **spec})


def training(**changes: Any) -> dict[str, Any]:
    """A handful of steps in fp32."""
    default = {"epochs": 1, "learningRate": "0.01", "batchSize": 4, "contextLength": 64, "packing": False}
    return {**default, "scheduler": {"type": "Constant"}, **changes}


def rows_of(config_map: str, key: str = "training.jsonl") -> dict[str, Any]:
    """A dataset out of a ConfigMap."""
    return {"type": "ConfigMap", "configMap": {"name": config_map, "key": key}}


def catalog_model(name: str, **spec: Any) -> Manifest:
    """A row of a user's own, whose weights nobody knows."""
    default = {
        "id": f"tests/{name}",
        "displayName": name,
        "organization": "Tests",
        "tasks": ["FineTune"],
        "parametersBillions": "0.001",
        "limits": {
            "contextLengthSFT": 2048,
            "contextLengthDPO": 2048,
            "maxBatchSizeSFT": 8,
            "maxBatchSizeDPO": 8,
            "minBatchSize": 2,
            "maxLoRARank": 64,
        },
        "precision": "AMP",
        "snapshotDate": "2026-01-01",
        "source": "User",
    }
    return _manifest("CatalogModel", name, {**default, **spec})


def secret(name: str, **texts: str) -> Manifest:
    """A Secret of these texts."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": texts}


def config_map(name: str, **texts: str) -> Manifest:
    """A ConfigMap; an underscore in a key's name stands for a dot."""
    data = {key.replace("_", "."): text for key, text in texts.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def storage(namespace: str, directory: str) -> list[Manifest]:
    """Claim 'storage', bound to a directory of this machine."""
    volume = f"storage-{namespace}"
    size = {"storage": "1Gi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "hostPath": {"path": directory, "type": "DirectoryOrCreate"},
                "claimRef": {"namespace": namespace, "name": "storage"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "storage", "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": size},
            },
        },
    ]


def _manifest(kind: str, name: str, spec: dict[str, Any]) -> Manifest:
    written = {key: value for key, value in spec.items() if value is not None}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": written}
