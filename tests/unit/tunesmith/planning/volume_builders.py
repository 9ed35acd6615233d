"""SharedVolumes and what surrounds them, with good defaults."""

from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, a_view, circumstances

from tunesmith.planning.circumstances import Known
from tunesmith.planning.naming import provider_name
from tunesmith.planning.ownership import FINALIZER, NAME_ANNOTATION
from tunesmith.planning.provider import Credential, ProviderVolume
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.planning.volume_observation import NamingCluster, VolumeObservation
from tunesmith.planning.volume_usage import TIB, VolumeUsage
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.shared_volume import SharedVolume

UID = "v0000000-0000-4000-8000-000000000001"
NAME = provider_name(installation_id="prod01", kind="SharedVolume", namespace="ml", name="data", uid=UID)
BOUGHT = {
    "volumeID": "v-1",
    "providerName": str(NAME),
    "credentialFingerprint": "key-1",
    "sizeTiB": 2,
    "region": "us-central-8",
}


def a_volume(*, finalizer=True, named=True, deleting=False, status=None, annotations=None, **spec):
    """A SharedVolume `ml/data` of 2 TiB in us-central-8; a field of None is left out."""
    metadata = {
        "name": "data",
        "namespace": "ml",
        "uid": UID,
        "generation": 1,
        "finalizers": [FINALIZER] if finalizer else [],
        "annotations": {**({NAME_ANNOTATION: str(NAME)} if named else {}), **(annotations or {})},
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T11:59:00Z"
    wanted = {"region": "us-central-8", "sizeTiB": 2, **spec}
    return SharedVolume.model_validate(
        {
            "apiVersion": "tunesmith.dev/v1alpha1",
            "kind": "SharedVolume",
            "metadata": metadata,
            "spec": {field: value for field, value in wanted.items() if value is not None},
            "status": status or {},
        }
    )


def seen(resource=None, view=None, *, monotonic=MONOTONIC, memory=None, failures=None, **more):
    """An observation of a volume that this process has known for a minute."""
    return VolumeObservation(
        around=circumstances(monotonic, failures=failures),
        resource=resource or a_volume(),
        credential=more.pop("credential", Credential("key-1")),
        provider=view or a_view(begun=monotonic),
        memory=memory or PurchaseMemory(first_seen=MONOTONIC - 60, named=True),
        **more,
    )


def a_naming_cluster(name="train", uid="u-1", **more):
    """A GPUCluster that names the volume; `regions` are where it is, or may be bought."""
    regions = more.pop("regions", (more.pop("region", "us-central-8"),))
    return NamingCluster(name=name, uid=uid, regions=regions, **more)


def at_provider(status="available", size=2, volume_id="v-1", name=str(NAME)):
    """The volume as the provider lists it."""
    return ProviderVolume(volume_id, name, size, status)


def filled(percent, size=2):
    """A node says that so much of the volume is used."""
    return Known(VolumeUsage(-(-percent * size * TIB // 100), size * TIB), MONOTONIC)


def intent(**more):
    """An open purchase."""
    return {"name": str(NAME), "nonce": "n1", "startedTime": "2026-01-01T12:00:00Z", **more}


def reason(decision, kind="Ready"):
    """The reason of a condition."""
    found = find_condition(decision.status.conditions, kind)
    return None if found is None else found.reason


def message(decision, kind="Ready"):
    """The message of a condition."""
    return find_condition(decision.status.conditions, kind).message


def only(decision, kind):
    """The one action."""
    (action,) = decision.actions
    assert isinstance(action, kind)
    return action
