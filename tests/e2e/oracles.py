"""What no run may show, whatever was tried in it: asked of every session at its end, also where few tests ran."""

from tests.e2e.kstatus import intended, kstatus
from tests.e2e.recorder import KINDS
from tests.e2e.world import World

KEY, OTHER_KEY = "tgp-canary-0123456789abcdef", "simulated-key-globex"  # also in scenario.yaml
OWN_KINDS = ("GPUCluster", "SharedVolume", "FineTuneJob")


def broken(world: World) -> list[str]:
    """What was seen of the whole session that may never be seen; empty when all is well."""
    return [*forbidden(world), *disagreements(world), *places_with_a_key(world)]


def forbidden(world: World) -> list[str]:
    """Requests of the operator for which it has no right."""
    return [f"forbidden: {each}" for each in world.audit.of_operator() if each.is_forbidden]


def disagreements(world: World) -> list[str]:
    """Statuses of which generic tools conclude something else than was meant."""
    return [
        f"{kind} {it['metadata']['name']}: {kstatus(it)}, meant {intended(it)}: {it['status'].get('conditions')}"
        for kind in OWN_KINDS
        for it in world.recorder.versions(kind)
        if kstatus(it) != intended(it)
    ]


def places_with_a_key(world: World) -> list[str]:
    """Where an API key stands that is seen by more people than its Secret."""
    told = [(kind, repr(it)) for kind in (*KINDS, "Event") for it in world.recorder.versions(kind)]
    # Tracebacks and audit lines too: they go to the same file.
    told += [(f"the log {log}", log.read_text(errors="replace")) for log in world.operator_logs()]
    told.append(("/metrics", world.metrics()))
    return [f"an API key stands in {place}" for place, text in told if KEY in text or OTHER_KEY in text]
