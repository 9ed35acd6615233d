"""The rules of a FineTuneJob and of a CatalogModel when they are made, each with what it refuses and what it takes.

A case is: kind, part of the message, a change that is refused for it, a neighbouring change that is taken.
"""

S3 = {"bucket": "rows", "key": "train.jsonl"}
PUBLISH_S3 = {"type": "S3", "s3": {"bucket": "results"}}
CATALOG = {"type": "Catalog", "catalog": {"name": "x/y"}}
TRAIN = {"type": "Path", "path": "a.jsonl"}
LOCAL = {"type": "Local"}
TEMPLATE = {"region": "r", "gpuType": "H100_SXM", "nodes": 1}

CASES = [
    ("FineTuneJob", "`catalog` must be set", {"model": {"type": "Catalog"}}, {"model": CATALOG}),
    ("FineTuneJob", "`path` must be set", {"model": {"type": "Path"}}, {"model": {"type": "Path", "path": "m"}}),
    (
        "FineTuneJob",
        "`huggingFace` must be set",
        {"model": {"type": "HuggingFace"}},
        {"model": {"type": "HuggingFace", "huggingFace": {"repo": "a/b"}}},
    ),
    ("FineTuneJob", "`path` must not be set", {"model": {**CATALOG, "path": "m"}}, {}),
    ("FineTuneJob", "`huggingFace` must not", {"model": {**CATALOG, "huggingFace": {"repo": "a/b"}}}, {}),
    ("FineTuneJob", "`catalog` must not", {"model": {**CATALOG, "type": "Path", "path": "m"}}, {}),
    ("FineTuneJob", "`dpo` must not", {"method": {"dpo": {}}}, {"method": {"type": "DPO", "dpo": {}}}),
    ("FineTuneJob", "`sft` must not", {"method": {"type": "DPO", "sft": {}}}, {"method": {"sft": {}}}),
    (
        "FineTuneJob",
        "`rpoAlpha` and `simpoGamma`",
        {"method": {"type": "DPO", "dpo": {"rpoAlpha": "1", "simpoGamma": "1"}}},
        {"method": {"type": "DPO", "dpo": {"rpoAlpha": "1"}}},
    ),
    (
        "FineTuneJob",
        "`output.mergeModel` may not be true",
        {"tuning": {"type": "Full"}, "output": {"mergeModel": True}},
        {"output": {"mergeModel": True}},
    ),
    ("FineTuneJob", "`lora` must not", {"tuning": {"type": "Full", "lora": {}}}, {"tuning": {"type": "Full"}}),
    *(
        (
            "FineTuneJob",
            f"`{member}` must be set",
            {"dataset": {"training": {"type": kind}}},
            {"dataset": {"training": {"type": kind, member: value}}},
        )
        for kind, member, value in (
            ("Path", "path", "a.jsonl"),
            ("HuggingFace", "huggingFace", {"repo": "a/b"}),
            ("HTTP", "http", {"url": "https://example.com/a.jsonl", "sha256": "0" * 64}),
            ("S3", "s3", S3),
            ("ConfigMap", "configMap", {"name": "rows", "key": "a.jsonl"}),
        )
    ),
    *(
        ("FineTuneJob", f"`{member}` must not", {"dataset": {"training": {**TRAIN, member: value}}}, {})
        for member, value in (
            ("huggingFace", {"repo": "a/b"}),
            ("http", {"url": "https://example.com/a.jsonl", "sha256": "0" * 64}),
            ("s3", S3),
            ("configMap", {"name": "rows", "key": "a.jsonl"}),
        )
    ),
    (
        "FineTuneJob",
        "`path` must not",
        {"dataset": {"training": {"type": "S3", "s3": S3, "path": "a"}}},
        {"dataset": {"training": {"type": "S3", "s3": S3}}},
    ),
    (
        "FineTuneJob",
        "`cycles` must not",
        {"training": {"scheduler": {"type": "Linear", "cycles": "1"}}},
        {"training": {"scheduler": {"cycles": "1"}}},
    ),
    (
        "FineTuneJob",
        "`count` must be at least",
        {
            "training": {"evaluations": {"count": 3, "earlyStopping": {}}},
            "dataset": {"training": TRAIN, "validation": TRAIN},
        },
        {
            "training": {"evaluations": {"count": 4, "earlyStopping": {}}},
            "dataset": {"training": TRAIN, "validation": TRAIN},
        },
    ),
    (
        "FineTuneJob",
        "`dataset.validation` must",
        {"training": {"evaluations": {"count": 1}}},
        {"training": {"evaluations": {"count": 1}}, "dataset": {"training": TRAIN, "validation": TRAIN}},
    ),
    (
        "FineTuneJob",
        "`job` must be set",
        {"continueFrom": {"type": "Job"}},
        {"continueFrom": {"type": "Job", "job": {"name": "a"}}},
    ),
    (
        "FineTuneJob",
        "`path` must be set",
        {"continueFrom": {"type": "Path"}},
        {"continueFrom": {"type": "Path", "path": "a"}},
    ),
    ("FineTuneJob", "`job` must not", {"continueFrom": {"type": "Path", "path": "a", "job": {"name": "a"}}}, {}),
    ("FineTuneJob", "`path` must not", {"continueFrom": {"type": "Job", "path": "a", "job": {"name": "a"}}}, {}),
    ("FineTuneJob", "`sharedVolume` must be set", {"storage": {"type": "SharedVolume"}}, {}),
    (
        "FineTuneJob",
        "`claim` must be set",
        {"storage": {"type": "Claim"}, "placement": LOCAL},
        {"storage": {"type": "Claim", "claim": {"name": "c"}}, "placement": LOCAL},
    ),
    (
        "FineTuneJob",
        "`claim` must not",
        {"storage": {"type": "SharedVolume", "sharedVolume": {"name": "v"}, "claim": {"name": "c"}}},
        {},
    ),
    (
        "FineTuneJob",
        "`sharedVolume` must not",
        {"storage": {"type": "Claim", "sharedVolume": {"name": "v"}, "claim": {"name": "c"}}, "placement": LOCAL},
        {},
    ),
    (
        "FineTuneJob",
        "`storage.type` may not be 'Claim'",
        {"storage": {"type": "Claim", "claim": {"name": "c"}}},
        {"storage": {"type": "Claim", "claim": {"name": "c"}}, "placement": LOCAL},
    ),
    *(
        (
            "FineTuneJob",
            f"`{member}` must be set",
            {"output": {"publish": [{"type": kind}]}},
            {"output": {"publish": [{"type": kind, member: value}]}},
        )
        for kind, member, value in (
            ("S3", "s3", {"bucket": "results"}),
            ("OCI", "oci", {"reference": "registry.example.com/a:b"}),
            ("HuggingFace", "huggingFace", {"repo": "a/b"}),
        )
    ),
    ("FineTuneJob", "`oci` must not", {"output": {"publish": [{**PUBLISH_S3, "oci": {"reference": "a/b:c"}}]}}, {}),
    (
        "FineTuneJob",
        "`huggingFace` must not",
        {"output": {"publish": [{**PUBLISH_S3, "huggingFace": {"repo": "a/b"}}]}},
        {},
    ),
    (
        "FineTuneJob",
        "`s3` must not",
        {"output": {"publish": [{**PUBLISH_S3, "type": "OCI", "oci": {"reference": "a/b:c"}}]}},
        {"output": {"publish": [PUBLISH_S3]}},
    ),
    (
        "FineTuneJob",
        "multiple of `gpusPerPod`",
        {"resources": {"gpus": 9, "gpusPerPod": 8}},
        {"resources": {"gpus": 16, "gpusPerPod": 8}},
    ),
    (
        "FineTuneJob",
        "MLflow has no server",
        {"tracking": [{"type": "MLflow"}]},
        {"tracking": [{"type": "MLflow", "endpoint": "https://mlflow.example"}, {"type": "WandB"}]},
    ),
    (
        "FineTuneJob",
        "`type` is 'TensorBoard'",
        {"tracking": [{"type": "TensorBoard", "secretRef": {"name": "key"}}]},
        {"tracking": [{"type": "TensorBoard", "project": "otters"}]},
    ),
    (
        "FineTuneJob",
        "`value` must not",
        {"placement": {"type": "Local", "local": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}}},
        {"placement": {"type": "Local", "local": {"tolerations": [{"key": "a", "value": "b"}]}}},
    ),
    *(
        (
            "FineTuneJob",
            f"`{member}` must be set",
            {"placement": {"type": kind}},
            {"placement": {"type": kind, member: value}},
        )
        for kind, member, value in (
            ("Cluster", "cluster", {"name": "c"}),
            ("Selector", "selector", {"matchLabels": {"team": "a"}}),
            ("Template", "template", TEMPLATE),
        )
    ),
    *(
        ("FineTuneJob", f"`{member}` must not", {"placement": {"type": "Local", member: value}}, {"placement": LOCAL})
        for member, value in (
            ("cluster", {"name": "c"}),
            ("selector", {"matchLabels": {"team": "a"}}),
            ("template", TEMPLATE),
        )
    ),
    ("FineTuneJob", "`local` must not", {"placement": {"type": "Cluster", "cluster": {"name": "c"}, "local": {}}}, {}),
    (
        "CatalogModel",
        "at most `maxBatchSizeSFT`",
        {"limits": {"minBatchSize": 8, "maxBatchSizeSFT": 4}},
        {"limits": {"minBatchSize": 8, "maxBatchSizeSFT": 8}},
    ),
    (
        "CatalogModel",
        "at most `maxBatchSizeDPO`",
        {"limits": {"minBatchSize": 8, "maxBatchSizeDPO": 4}},
        {"limits": {"minBatchSize": 8, "maxBatchSizeDPO": 8}},
    ),
]
