"""A Kubernetes to run against: a given kubeconfig, kind, or control-plane binaries with process nodes.

For demos and tests; not shipped.
"""

__version__ = "0.1.0"
