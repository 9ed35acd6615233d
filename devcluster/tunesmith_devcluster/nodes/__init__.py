"""Process nodes: a small kubelet of ours that runs pods as local processes."""
