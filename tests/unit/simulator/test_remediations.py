"""Repairs of nodes: asked for by the official client, proposed by the provider, approved, followed to their end."""

import aiohttp
import pytest
import together

HOUR = 3600


@pytest.fixture
async def http(simulator):
    async with aiohttp.ClientSession(simulator.url, headers={"Authorization": f"Bearer {simulator.key}"}) as session:
        yield session


@pytest.fixture
async def cluster(client, clock, an_order):
    made = await client.clusters.create(**an_order)
    clock.pass_seconds(HOUR)
    return await client.clusters.retrieve(made.cluster_id)


@pytest.fixture
def instance_id(cluster):
    return cluster.gpu_worker_nodes[0].instance_id


@pytest.fixture
def ask(client, cluster, instance_id):
    """Ask for a repair of the first node."""

    async def asked(mode: str, **more):
        return await client.clusters.remediations.create(
            more.pop("instance_id", instance_id),
            cluster_id=cluster.cluster_id,
            mode=f"REMEDIATION_MODE_{mode}",
            **more,
        )

    return asked


@pytest.fixture
def at(cluster, instance_id):
    """Where the first node's repairs are."""
    return {"cluster_id": cluster.cluster_id, "instance_id": instance_id}


async def admin(http, path: str, **body) -> dict:
    async with http.post(f"/admin/{path}", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def states_of(client, clock, remediation, at) -> list[str]:
    """The states that a repair passes through, until it is over."""
    seen = [remediation.state]
    while seen[-1] not in {"SUCCEEDED", "FAILED", "CANCELLED", "AUTO_RESOLVED"}:
        clock.pass_seconds(5)
        state = (await client.clusters.remediations.retrieve(remediation.id, **at)).state
        seen += [state] if state != seen[-1] else []
    return seen


async def test_a_reboot_brings_the_same_node_down_and_up_again(client, clock, cluster, ask, at):
    before = cluster.gpu_worker_nodes[0]
    asked = await ask("REBOOT_VM", reason="it hangs")
    assert (asked.state, asked.trigger, asked.reason) == ("PENDING", "REMEDIATION_TRIGGER_MANUAL", "it hangs")
    assert (asked.instance_name, asked.requested_by) == (before.host_name, "acme")

    clock.pass_seconds(60)
    during = await client.clusters.retrieve(cluster.cluster_id)
    assert (during.status, during.gpu_worker_nodes[0].status) == ("Degraded", "Booting")
    assert during.gpu_worker_nodes[0].latest_remediation.state == "RUNNING"
    clock.pass_seconds(HOUR)

    after = await client.clusters.retrieve(cluster.cluster_id)
    node = after.gpu_worker_nodes[0]
    assert after.status == "Ready"
    assert (node.host_name, node.instance_id, node.node_id) == (before.host_name, before.instance_id, before.node_id)
    assert [step.phase.removeprefix("NODE_PHASE_") for step in node.phase_transitions][-3:] == [
        "BOOTING",
        "BOOTSTRAPPING",
        "RUNNING",
    ]
    done = await client.clusters.remediations.retrieve(asked.id, **at)
    assert done.state == "SUCCEEDED"
    assert done.end_time == node.phase_transitions[-1].transition_time
    assert done.create_time < done.start_time < done.end_time == done.update_time


@pytest.mark.parametrize("mode", ["VM_ONLY", "HOST_AWARE"])
async def test_a_replaced_node_is_among_the_deleted_and_the_cluster_keeps_its_size(client, clock, cluster, ask, mode):
    old = cluster.gpu_worker_nodes[0]
    asked = await ask(mode)
    sizes = set()
    for _ in range(100):
        clock.pass_seconds(10)
        now = await client.clusters.retrieve(cluster.cluster_id)
        sizes.add((now.num_gpus, len(now.gpu_worker_nodes)))

    assert sizes == {(16, 2)}
    assert now.status == "Ready"
    new = now.gpu_worker_nodes[0]
    assert not {new.host_name, new.instance_id, new.node_id} & {old.host_name, old.instance_id, old.node_id}
    assert [(gone.instance_id, gone.latest_remediation.id) for gone in now.deleted_gpu_worker_nodes] == [
        (old.instance_id, asked.id)
    ]
    assert now.deleted_gpu_worker_nodes[0].latest_remediation.state == "SUCCEEDED"
    assert now.node_lifecycle_events[-1].reason == "TogetherNodeAdded"


async def test_an_evicted_node_is_not_replaced(client, clock, cluster, ask, at):
    asked = await ask("EVICT_WITHOUT_REPLACEMENT")
    clock.pass_seconds(HOUR)
    after = await client.clusters.retrieve(cluster.cluster_id)
    assert (after.status, after.num_gpus, len(after.gpu_worker_nodes)) == ("Ready", 8, 1)
    assert (await client.clusters.remediations.retrieve(asked.id, **at)).state == "SUCCEEDED"
    with pytest.raises(together.BadRequestError, match="last standard node"):
        await ask("EVICT_WITHOUT_REPLACEMENT", instance_id=after.gpu_worker_nodes[0].instance_id)


@pytest.mark.parametrize(
    ("mode", "states"),
    [
        ("REBOOT_VM", ["PENDING", "RUNNING", "SUCCEEDED"]),
        ("VM_ONLY", ["PENDING", "RUNNING", "SUCCEEDED"]),
        ("EVICT_WITHOUT_REPLACEMENT", ["PENDING", "RUNNING", "SUCCEEDED"]),
        ("HOST_AWARE", ["PENDING", "QUARANTINING", "QUARANTINED", "RUNNING", "SUCCEEDED"]),
        ("HOST_POWER_CYCLE", ["PENDING", "QUARANTINING", "QUARANTINED", "RUNNING", "SUCCEEDED"]),
    ],
)
async def test_a_mode_that_touches_the_host_isolates_it_first(client, clock, ask, at, mode, states):
    assert await states_of(client, clock, await ask(mode), at) == states


async def test_without_another_free_host_a_host_aware_repair_fails_and_says_so(client, clock, http, ask, at):
    await admin(http, "stock", region="us-central-8", gpu_type="H100_SXM", free_gpus=0)
    asked = await ask("HOST_AWARE")
    assert (await states_of(client, clock, asked, at))[-1] == "FAILED"
    failed = await client.clusters.remediations.retrieve(asked.id, **at)
    assert "no other host is free" in failed.error_message
    # The machine that goes makes room for the one that comes, so this mode needs no stock.
    assert (await states_of(client, clock, await ask("VM_ONLY"), at))[-1] == "SUCCEEDED"


async def test_a_broken_node_raises_an_alert_and_the_repair_that_takes_it_up_resolves_it(
    client, clock, http, cluster, ask, at
):
    host = cluster.gpu_worker_nodes[0].host_name
    path = f"clusters/{cluster.cluster_id}/nodes/{host}/fail"
    await admin(http, path, alert_name="DmesgXidError", xid_code="48")
    asked = await ask("REBOOT_VM")
    (alert,) = asked.linked_alerts
    assert (alert.alert_name, alert.severity, alert.target_vm) == ("DmesgXidError", "PHC_SEVERITY_CRITICAL", host)
    assert [(event.xid_code, event.mnemonic) for event in alert.annotation.xid.events] == [("48", "DBE")]
    assert (alert.instance_id, alert.resolved_at) == (at["instance_id"], None)

    clock.pass_seconds(HOUR)
    (resolved,) = (await client.clusters.remediations.retrieve(asked.id, **at)).linked_alerts
    assert resolved.resolved_at > resolved.started_at
    assert (await client.clusters.retrieve(cluster.cluster_id)).status == "Ready"


@pytest.mark.parametrize(
    ("signal", "mode"),
    [
        ({}, "VM_ONLY"),
        ({"alert_name": "DmesgXidError", "xid_code": "48"}, "REBOOT_VM"),
        ({"alert_name": "DmesgXidError", "xid_code": "79"}, "VM_ONLY"),
        ({"alert_name": "DmesgXidError", "xid_code": "48", "mode": "REMEDIATION_MODE_HOST_AWARE"}, "HOST_AWARE"),
    ],
)
async def test_the_provider_proposes_the_repair_that_fits_and_waits_for_approval(
    client, clock, http, cluster, at, signal, mode
):
    await admin(http, "repair-policy", proposes=True)
    await admin(http, f"clusters/{cluster.cluster_id}/nodes/{cluster.gpu_worker_nodes[0].host_name}/fail", **signal)
    clock.pass_seconds(HOUR)

    (proposed,) = (await client.clusters.remediations.list("-", cluster_id=cluster.cluster_id)).remediations
    assert (proposed.state, proposed.trigger) == ("PENDING_APPROVAL", "REMEDIATION_TRIGGER_AUTOMATED")
    assert proposed.mode == f"REMEDIATION_MODE_{mode}"
    approved = await client.clusters.remediations.approve(proposed.id, **at, comment="go on")
    assert (approved.state, approved.reviewed_by, approved.review_comment) == ("PENDING", "acme", "go on")
    assert approved.review_time == approved.update_time
    assert (await states_of(client, clock, approved, at))[-1] == "SUCCEEDED"
    node = (await client.clusters.retrieve(cluster.cluster_id)).gpu_worker_nodes[0]
    assert node.auto_remediation_enabled


async def test_an_approval_can_choose_another_mode_but_not_a_power_cycle(client, http, cluster, at):
    await admin(
        http,
        f"clusters/{cluster.cluster_id}/nodes/{cluster.gpu_worker_nodes[0].host_name}/propose-remediation",
        mode="REMEDIATION_MODE_VM_ONLY",
    )
    (proposed,) = (await client.clusters.remediations.list(**at)).remediations
    with pytest.raises(together.BadRequestError, match="cannot be set by an approval"):
        await client.clusters.remediations.approve(proposed.id, **at, mode="REMEDIATION_MODE_HOST_POWER_CYCLE")
    changed = await client.clusters.remediations.approve(proposed.id, **at, mode="REMEDIATION_MODE_REBOOT_VM")
    assert changed.mode == "REMEDIATION_MODE_REBOOT_VM"


async def test_a_rejected_proposal_is_cancelled_and_a_node_that_recovers_resolves_its_own(
    client, clock, http, cluster, at
):
    node = f"clusters/{cluster.cluster_id}/nodes/{cluster.gpu_worker_nodes[0].host_name}"
    await admin(http, "repair-policy", proposes=True, cooldown_seconds=0)
    await admin(http, f"{node}/fail")
    (proposed,) = (await client.clusters.remediations.list(**at)).remediations
    rejected = await client.clusters.remediations.reject(proposed.id, **at, comment="not now")
    assert (rejected.state, rejected.review_comment) == ("CANCELLED", "not now")

    await admin(http, f"{node}/recover")
    clock.pass_seconds(HOUR)
    await admin(http, f"{node}/fail")
    await admin(http, f"{node}/recover")
    clock.pass_seconds(HOUR)
    latest, _ = (await client.clusters.remediations.list(**at)).remediations
    assert latest.state == "AUTO_RESOLVED"


async def test_after_a_repair_the_provider_proposes_none_for_half_an_hour(client, clock, http, cluster, ask, at):
    await admin(http, "repair-policy", proposes=True)
    await states_of(client, clock, await ask("REBOOT_VM"), at)
    node = f"clusters/{cluster.cluster_id}/nodes/{cluster.gpu_worker_nodes[0].host_name}"
    await admin(http, f"{node}/fail")
    assert len((await client.clusters.remediations.list(**at)).remediations) == 1


async def test_only_what_has_not_begun_is_cancelled_and_only_proposals_are_reviewed(client, clock, ask, at):
    asked = await ask("REBOOT_VM")
    for review in (client.clusters.remediations.approve, client.clusters.remediations.reject):
        with pytest.raises(together.BadRequestError, match="in state PENDING"):
            await review(asked.id, **at)
    assert (await client.clusters.remediations.cancel(asked.id, **at)).state == "CANCELLED"

    running = await ask("REBOOT_VM")
    clock.pass_seconds(60)
    with pytest.raises(together.BadRequestError, match="cannot be cancelled in state RUNNING"):
        await client.clusters.remediations.cancel(running.id, **at)


async def test_one_instance_has_one_open_repair_and_an_unready_cluster_has_none(client, an_order, ask, cluster):
    await ask("REBOOT_VM")
    with pytest.raises(together.BadRequestError, match="has remediation"):
        await ask("VM_ONLY")
    fresh = await client.clusters.create(**an_order)
    with pytest.raises(together.BadRequestError, match="cannot be repaired while it is WaitingFor"):
        await client.clusters.remediations.create(
            fresh.gpu_worker_nodes[0].instance_id,
            cluster_id=fresh.cluster_id,
            mode="REMEDIATION_MODE_REBOOT_VM",
        )


@pytest.mark.parametrize("mode", ["VM_ONLY", "HOST_AWARE", "REBOOT_VM", "HOST_POWER_CYCLE"])
async def test_the_end_of_the_cluster_ends_a_repair_that_was_under_way(client, clock, http, cluster, ask, mode):
    asked = await ask(mode)
    clock.pass_seconds(20)
    await client.clusters.delete(cluster.cluster_id)
    clock.pass_seconds(HOUR)
    async with http.get("/admin/remediations") as answer:
        (ended,) = (await answer.json())["remediations"]
    assert (ended["id"], ended["state"]) == (asked.id, "FAILED")
    assert "being deleted" in ended["error_message"]


async def test_a_repair_can_be_made_to_fail(client, http, ask, at):
    asked = await ask("REBOOT_VM")
    await admin(http, f"remediations/{asked.id}/fail", error_message="no hands")
    failed = await client.clusters.remediations.retrieve(asked.id, **at)
    assert (failed.state, failed.error_message) == ("FAILED", "no hands")


async def test_a_list_is_filtered_ordered_and_paged(client, clock, cluster, at):
    made = []
    for mode in ("REBOOT_VM", "VM_ONLY", "REBOOT_VM"):
        asked = await client.clusters.remediations.create(**at, mode=f"REMEDIATION_MODE_{mode}")
        await client.clusters.remediations.cancel(asked.id, **at)
        clock.pass_seconds(10)
        made.append(asked.id)
    other = cluster.gpu_worker_nodes[1].instance_id
    at_other = {"cluster_id": cluster.cluster_id, "instance_id": other}
    made.append((await client.clusters.remediations.create(**at_other, mode="REMEDIATION_MODE_HOST_AWARE")).id)

    async def listed(instance: str = "-", **query) -> list[str]:
        found, token = [], together.omit
        while True:
            page = await client.clusters.remediations.list(
                instance, cluster_id=cluster.cluster_id, page_size=2, page_token=token, **query
            )
            assert len(page.remediations) <= 2
            found += [each.id for each in page.remediations]
            if not page.has_next:
                assert page.next_page_token == ""
                return found
            token = page.next_page_token

    assert await listed() == made[::-1]
    assert await listed(order_by="create_time asc") == made
    assert await listed(other) == made[3:]
    assert await listed(state=["PENDING", "RUNNING"]) == made[3:]
    assert await listed(mode=["REMEDIATION_MODE_VM_ONLY", "REMEDIATION_MODE_HOST_AWARE"]) == [made[3], made[1]]
    assert await listed(trigger=["REMEDIATION_TRIGGER_AUTOMATED"]) == []


async def test_what_is_new_does_not_shift_the_pages(client, clock, cluster, ask, at):
    for _ in range(3):
        await client.clusters.remediations.cancel((await ask("REBOOT_VM")).id, **at)
        clock.pass_seconds(1)
    first = await client.clusters.remediations.list(**at, page_size=2)
    await ask("VM_ONLY")
    second = await client.clusters.remediations.list(**at, page_size=2, page_token=first.next_page_token)
    assert len({each.id for each in (*first.remediations, *second.remediations)}) == 3
    assert not second.has_next


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("state=SLEEPING", "SLEEPING"),
        ("mode=REBOOT_VM", "REBOOT_VM"),
        ("order_by=colour", "order_by"),
        ("page_size=-1", "page_size"),
        ("page_token=abc", "page_token"),
        ("pageSize=1", "unknown query parameter"),
    ],
)
async def test_a_wrong_list_query_is_refused(http, cluster, query, message):
    path = f"/v1/compute/clusters/{cluster.cluster_id}/instances/-/remediations?{query}"
    async with http.get(path) as answer:
        assert answer.status == 400
        assert message in (await answer.json())["message"]


async def test_a_token_of_another_list_is_refused(client, clock, cluster, ask, at):
    for _ in range(2):
        await client.clusters.remediations.cancel((await ask("REBOOT_VM")).id, **at)
        clock.pass_seconds(1)
    page = await client.clusters.remediations.list(**at, page_size=1)
    with pytest.raises(together.BadRequestError, match="other filters"):
        await client.clusters.remediations.list(**at, page_token=page.next_page_token, state=["PENDING"])


async def test_what_is_not_there_is_not_found_and_an_editor_may_only_look(client, clients, cluster, ask, at):
    asked = await ask("REBOOT_VM")
    with pytest.raises(together.NotFoundError):
        await ask("REBOOT_VM", instance_id="ghost")
    with pytest.raises(together.NotFoundError):
        await client.clusters.remediations.list("ghost", cluster_id=cluster.cluster_id)
    with pytest.raises(together.NotFoundError):
        await client.clusters.remediations.retrieve("ghost", **at)
    with pytest.raises(together.NotFoundError):
        await clients["globex"].clusters.remediations.retrieve(asked.id, **at)

    editor = clients["acme-editor"].clusters.remediations
    assert (await editor.retrieve(asked.id, **at)).id == asked.id
    for refused in (
        editor.create(**at, mode="REMEDIATION_MODE_REBOOT_VM"),
        editor.cancel(asked.id, **at),
        editor.approve(asked.id, **at),
    ):
        with pytest.raises(together.PermissionDeniedError):
            await refused
