"""The rules of a GPUCluster and a SharedVolume when they are made, each with what it refuses and what it takes.

A case is: kind, part of the message, a change that is refused for it, a neighbouring change that is taken.
"""

ADOPT = {"clusterID": "c-1"}
SCHEDULE = {"start": "0 8 * * *", "stop": "0 20 * * *"}
RESERVED = {"type": "Reserved", "durationDays": 3}
SCHEDULED = {
    "type": "ScheduledCapacity",
    "startTime": "2030-01-01T08:00:00+01:00",
    "endTime": "2030-01-01T08:00:00Z",
}

CASES = [
    ("GPUCluster", "`region` must be set", {"region": None}, {"region": None, "adopt": ADOPT}),
    ("GPUCluster", "`gpuType` must be set", {"gpuType": None}, {"gpuType": None, "adopt": ADOPT}),
    ("GPUCluster", "`nodes` must be set", {"nodes": None}, {"nodes": None, "adopt": ADOPT}),
    (
        "GPUCluster",
        "`adopt` must be set",
        {"managementPolicy": "Observe"},
        {"managementPolicy": "Observe", "adopt": ADOPT},
    ),
    ("GPUCluster", "`schedule` must not be set with", {"adopt": ADOPT, "schedule": SCHEDULE}, {"adopt": ADOPT}),
    (
        "GPUCluster",
        "`recreatePolicy` must not",
        {"adopt": ADOPT, "recreatePolicy": "WhenGone"},
        {"adopt": ADOPT, "recreatePolicy": "Never"},
    ),
    (
        "GPUCluster",
        "`idle.reacquire` must not",
        {"adopt": ADOPT, "idle": {"reacquire": "WhenJobWaits"}},
        {"adopt": ADOPT, "idle": {"deleteAfterSeconds": 600}},
    ),
    (
        "GPUCluster",
        "`alternatives` must not be set with",
        {"adopt": ADOPT, "alternatives": [{"region": "a", "gpuType": "b"}]},
        {"alternatives": [{"region": "a", "gpuType": "b"}]},
    ),
    ("GPUCluster", "`maxNodes` must not be set with", {"adopt": ADOPT, "maxNodes": 4}, {"maxNodes": 4}),
    (
        "GPUCluster",
        "`acceptanceTests` must not be set with",
        {"adopt": ADOPT, "acceptanceTests": {"dcgmLevel": "Long"}},
        {"acceptanceTests": {"dcgmLevel": "Long"}},
    ),
    (
        "GPUCluster",
        "`slurm.image` must not be set with",
        {"adopt": ADOPT, "clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 64, "image": "i"}},
        {"adopt": ADOPT, "clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 64}},
    ),
    (
        "GPUCluster",
        "`slurm` must be set",
        {"clusterType": "Slurm"},
        {"clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 64}},
    ),
    ("GPUCluster", "`slurm` must be set", {"slurm": {"sharedMemoryGiB": 64}}, {}),
    ("GPUCluster", "`maxNodes` must be at least", {"maxNodes": 1}, {"maxNodes": 2}),
    (
        "GPUCluster",
        "`projectID` must be set",
        {"billing": {"preemptibleNodes": 1}},
        {"billing": {"preemptibleNodes": 1}, "projectID": "p"},
    ),
    (
        "GPUCluster",
        "`billing.preemptibleNodes` must not be set with",
        {
            "billing": {"preemptibleNodes": 1},
            "projectID": "p",
            "nodes": 2,
            "clusterType": "Slurm",
            "slurm": {"sharedMemoryGiB": 64},
        },
        {"billing": {"preemptibleNodes": 1}, "projectID": "p", "nodes": 2},
    ),
    (
        "GPUCluster",
        "`billing.preemptibleNodes` must be fewer than `nodes`",
        {"billing": {"preemptibleNodes": 2}, "projectID": "p", "nodes": 2},
        {"billing": {"preemptibleNodes": 2}, "projectID": "p", "nodes": 3},
    ),
    (
        "GPUCluster",
        "`billing.reservedNodes` must not be more than",
        {"billing": {**RESERVED, "reservedNodes": 3}, "nodes": 2},
        {"billing": {**RESERVED, "reservedNodes": 2}, "nodes": 2},
    ),
    (
        "GPUCluster",
        "`billing.capacityPool.nodes` must not be more",
        {"billing": {"capacityPool": {"id": "pool", "nodes": 3}}, "nodes": 2},
        {"billing": {"capacityPool": {"id": "pool", "nodes": 2}}, "nodes": 2},
    ),
    (
        "GPUCluster",
        "`endTime` must be later than",
        {"billing": {**SCHEDULED, "endTime": SCHEDULED["startTime"]}},
        {"billing": SCHEDULED},
    ),
    (
        "GPUCluster",
        "`idle.deleteAfterSeconds` must not",
        {"billing": RESERVED, "idle": {"deleteAfterSeconds": 60}},
        {"billing": RESERVED, "idle": {"warnAfterSeconds": 60}},
    ),
    (
        "GPUCluster",
        "`expireAfterSeconds` must not",
        {"billing": RESERVED, "expireAfterSeconds": 60},
        {"expireAfterSeconds": 60},
    ),
    ("GPUCluster", "`schedule` must not", {"billing": RESERVED, "schedule": SCHEDULE}, {"schedule": SCHEDULE}),
    ("GPUCluster", "Exactly one of `versionID`", {"driver": {}}, {"driver": {"versionID": "v"}}),
    (
        "GPUCluster",
        "Exactly one of `versionID`",
        {"driver": {"versionID": "v", "cudaVersion": "12.8", "driverVersion": "570"}},
        {"driver": {"cudaVersion": "12.8", "driverVersion": "570"}},
    ),
    (
        "GPUCluster",
        "`cudaVersion` and `driverVersion` must be set together",
        {"driver": {"cudaVersion": "12.8"}},
        {"driver": {"cudaVersion": "12.8", "driverVersion": "570"}},
    ),
    ("GPUCluster", "`durationDays` must be set", {"billing": {"type": "Reserved"}}, {"billing": RESERVED}),
    (
        "GPUCluster",
        "`startTime` must be set when",
        {"billing": {"type": "ScheduledCapacity"}},
        {
            "billing": {
                "type": "ScheduledCapacity",
                "startTime": "2026-01-01T00:00:00Z",
                "endTime": "2026-02-01T00:00:00Z",
            }
        },
    ),
    (
        "GPUCluster",
        "`endTime` must be set when",
        {"billing": {"type": "ScheduledCapacity", "startTime": "2026-01-01T00:00:00Z"}},
        {"billing": {**RESERVED, "endTime": "2026-02-01T00:00:00Z"}},
    ),
    (
        "GPUCluster",
        "`endTime` must not be set when",
        {"billing": {"endTime": "2026-02-01T00:00:00Z"}},
        {"billing": {}},
    ),
    (
        "GPUCluster",
        "`reservedNodes` must not",
        {"billing": {"reservedNodes": 1}},
        {"billing": {**RESERVED, "reservedNodes": 1}},
    ),
    (
        "GPUCluster",
        "`reservedNodes` must not be set unless",
        {"billing": {**SCHEDULED, "reservedNodes": 1}},
        {"billing": {**RESERVED, "reservedNodes": 1}},
    ),
    ("GPUCluster", "Exactly one of `clusterID`", {"adopt": {}}, {"adopt": {"clusterName": "old"}}),
    (
        "GPUCluster",
        "`maxUnavailable` and `maxUnavailablePercent`",
        {"repair": {"maxUnavailable": 1, "maxUnavailablePercent": 10}},
        {"repair": {"maxUnavailablePercent": 10}},
    ),
    ("SharedVolume", "`region` and `regions`", {"regions": ["a"]}, {"region": None, "regions": ["a"]}),
    ("SharedVolume", "`region` or `regions` must", {"region": None}, {"region": None, "adopt": {"volumeID": "v"}}),
    ("SharedVolume", "`sizeTiB` must be set", {"sizeTiB": None}, {"sizeTiB": None, "adopt": {"volumeID": "v"}}),
    (
        "SharedVolume",
        "`adopt` must be set",
        {"managementPolicy": "Observe"},
        {"managementPolicy": "Observe", "adopt": {"volumeName": "v"}},
    ),
    ("SharedVolume", "Exactly one of `volumeID`", {"adopt": {}}, {"adopt": {"volumeName": "v"}}),
    (
        "SharedVolume",
        "`growth.maxTiB` must",
        {"growth": {"whenUsedPercent": 80, "maxTiB": 1}},
        {"growth": {"whenUsedPercent": 80, "maxTiB": 2}},
    ),
]
