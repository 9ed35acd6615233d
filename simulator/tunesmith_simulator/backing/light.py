"""Nothing behind the clusters: phases pass by the clock alone. For tests of many clusters."""

import base64
import uuid
from datetime import timedelta

import yaml

from tunesmith_devcluster.pki import Authority
from tunesmith_simulator.backing import Report
from tunesmith_simulator.kubeconfigs import with_user
from tunesmith_simulator.world import World


class LightBacking:
    """Gives kubeconfigs that are right in form and point to ``server``, where by default nobody answers.

    With ``authority_pem``, whom to trust there, they can be used: a test may play the inside of all clusters in one
    server, which tells them apart by their tokens, ``light-<name of the cluster>``.
    """

    real = False

    def __init__(self, server: str, authority_pem: str = "") -> None:
        self._cluster = {"server": server}
        if authority_pem:
            self._cluster["certificate-authority-data"] = base64.b64encode(authority_pem.encode()).decode()

    def kube_config(self, cluster_id: str, name: str) -> str:
        """A kubeconfig in the provider's form; its context reads ``t-<uuid>-admin@t-<uuid>``."""
        tenant = f"t-{uuid.uuid5(uuid.NAMESPACE_URL, cluster_id)}"
        user = f"{tenant}-admin"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": tenant, "cluster": dict(self._cluster)}],
            "users": [{"name": user, "user": {"token": f"light-{name}"}}],
            "contexts": [{"name": f"{user}@{tenant}", "context": {"cluster": tenant, "user": user}}],
            "current-context": f"{user}@{tenant}",
        }
        return base64.b64encode(yaml.safe_dump(document).encode()).decode()

    def start(self, report: Report) -> None:
        """Nothing to begin."""

    def follow(self, world: World) -> None:
        """Nothing to make real."""

    async def leaving_first(self, cluster_id: str) -> frozenset[str]:
        """Nobody can cordon a node that does not exist."""
        return frozenset()

    async def renewed(self, cluster_id: str, kube_config: str, valid_for: timedelta) -> str:
        """A certificate of an authority that nobody knows: it can be read, and opens nothing."""
        pair = Authority.create("light").client("admin", ["system:masters"], valid_for=valid_for)
        return with_user(
            kube_config,
            {
                "client-certificate-data": base64.b64encode(pair.certificate.encode()).decode(),
                "client-key-data": base64.b64encode(pair.key.encode()).decode(),
            },
        )

    async def close(self) -> None:
        """Nothing to end."""
