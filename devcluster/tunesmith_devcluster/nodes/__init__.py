"""Process nodes: a small kubelet that runs pods as local processes. For demos and tests; never shipped.

`python -m tunesmith_devcluster.nodes` is one node. What a real node does and this one does not: images (a table names
the environment of each known image), users and read-only roots (`runAsUser`, `readOnlyRootFilesystem` are not applied),
cgroups (memory is sampled, CPU is not limited), network namespaces (a pod has a loopback address of its own, but shares
the host's ports on 0.0.0.0), exec and port-forward, `emptyDir.sizeLimit`.
"""
