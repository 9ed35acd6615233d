"""Which kubeconfig a customer is shown: the cluster's own, or one that makes people log in themselves."""

import base64

import yaml

from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.world import Account


def kube_config_for(cluster: Cluster, account: Account) -> str:
    """The base64 kubeconfig; empty while there is none.

    provider: of a cluster with OIDC only project admins get the one with an administrator's credentials.
    """
    own = cluster.told_kube_config
    if not own or cluster.order.oidc_config is None or account.may_change_clusters:
        return own
    return _with_login(own, cluster.order.oidc_config["issuer_url"])


def _with_login(kube_config: str, issuer_url: str) -> str:
    document = yaml.safe_load(base64.b64decode(kube_config))
    login = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "kubectl",
        "args": ["together-login", "get-token", f"--issuer-url={issuer_url}"],
        "interactiveMode": "IfAvailable",
    }
    user = document["contexts"][0]["context"]["user"]
    shown = document | {"users": [{"name": user, "user": {"exec": login}}]}
    return base64.b64encode(yaml.safe_dump(shown).encode()).decode()
