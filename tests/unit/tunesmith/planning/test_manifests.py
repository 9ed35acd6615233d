"""The objects of an attempt: confined whatever the user wrote, named within bounds, complete before a pod starts."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.attempt import Attempt, JobIdentity, attempt_name, master_port
from tunesmith.planning.manifests import configuration_map, rendezvous_service, training_job
from tunesmith.planning.placement import Tolerated
from tunesmith.planning.sources import SecretKey

UID = "0f9d2c1e-8a56-4c3a-9d55-111122223333"
DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
dns_labels = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def an_attempt(**changes: object) -> Attempt:
    facts: dict[str, object] = {
        "job": JobIdentity("team", "tune", UID),
        "number": 1,
        "where": RemoteCluster("team", "cluster"),
        "namespace": "tunesmith-jobs",
        "pods": 2,
        "gpus_per_pod": 8,
        "image": "registry.example/trainer:1",
        "claim": "volume",
        "grace_seconds": 180,
    }
    return Attempt(**{**facts, **changes})


def test_the_job_is_one_group_that_is_made_anew_as_a_whole():
    spec = training_job(an_attempt())["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (0, "Failed")
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_pods_wait_at_a_gate_until_they_are_given_their_nodes():
    assert training_job(an_attempt())["spec"]["template"]["spec"]["schedulingGates"] == [
        {"name": "tunesmith.dev/placement"}
    ]


def test_config_map_and_service_go_with_the_job():
    attempt = an_attempt(configuration={"a": 1}, datasets={"training.jsonl": "{}\n"})
    for made in (configuration_map(attempt, "job-uid"), rendezvous_service(attempt, "job-uid")):
        [owner] = made["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Job", "job-uid")
    data = configuration_map(attempt, "job-uid")["data"]
    assert json.loads(data["config.json"]) == {"a": 1}
    assert data["training.jsonl"] == "{}\n"


def test_rank_0_is_found_by_name_before_it_is_ready():
    attempt = an_attempt()
    service = rendezvous_service(attempt, "u")
    pod = training_job(attempt)["spec"]["template"]["spec"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert pod["subdomain"] == service["metadata"]["name"]
    env = {e["name"]: e["value"] for e in pod["containers"][0]["env"]}
    assert env["TUNESMITH_MASTER_ADDR"] == f"{attempt.name}-0.{pod['subdomain']}"


def test_the_resource_owns_the_job_only_in_its_own_cluster():
    assert training_job(an_attempt())["metadata"]["ownerReferences"] == []
    local = training_job(an_attempt(where=None, namespace="team"))
    assert local["metadata"]["ownerReferences"][0]["kind"] == "FineTuneJob"


words = st.text(max_size=30)
keys = st.one_of(
    words,
    st.sampled_from(
        [
            "container.apparmor.security.beta.kubernetes.io/trainer",
            "seccomp.security.alpha.kubernetes.io/pod",
            "tunesmith.dev/owner-uid",
            "app.kubernetes.io/managed-by",
            "batch.kubernetes.io/job-name",
            "job-name",
        ]
    ),
)


@given(
    labels=st.dictionaries(keys, words),
    annotations=st.dictionaries(keys, words),
    image=words,
    secrets=st.lists(words).map(tuple),
    tolerations=st.lists(st.builds(Tolerated, words, words, words, words)).map(tuple),
    claim=words,
    local=st.booleans(),
    gpus=st.integers(0, 16),
)
def test_pods_are_restricted_whatever_the_resource_says(
    labels, annotations, image, secrets, tolerations, claim, local, gpus
):
    attempt = an_attempt(
        pod_labels=labels,
        pod_annotations=annotations,
        image=image,
        image_secrets=secrets,
        tolerations=tolerations,
        claim=claim,
        gpus_per_pod=gpus,
        where=None if local else RemoteCluster("team", "cluster"),
    )
    template = training_job(attempt)["spec"]["template"]
    breaches = breaches_of_the_restricted_standard(template)
    assert breaches == []
    assert template["metadata"]["labels"]["tunesmith.dev/owner-uid"] == UID
    assert template["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "tunesmith"


def breaches_of_the_restricted_standard(template: dict) -> list[str]:
    """Every control of Kubernetes' restricted pod security standard that a pod of ours could break."""
    pod, found = template["spec"], []
    allowed_volumes = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret", "downwardAPI"}
    found += [f"volume {volume}" for volume in pod["volumes"] if not set(volume) - {"name"} <= allowed_volumes]
    found += [field for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers") if field in pod]
    if pod["securityContext"].get("runAsNonRoot") is not True or pod["securityContext"].get("runAsUser") == 0:
        found.append("may run as root")
    if pod["securityContext"]["seccompProfile"] != {"type": "RuntimeDefault"}:
        found.append("seccomp")
    if set(pod["securityContext"]) & {"sysctls", "seLinuxOptions", "windowsOptions", "appArmorProfile"}:
        found.append("pod security options")
    for container in pod["containers"] + pod.get("initContainers", []):
        context = container["securityContext"]
        if context.get("privileged") or context["allowPrivilegeEscalation"] is not False:
            found.append("privilege")
        if context["capabilities"] != {"drop": ["ALL"]}:
            found.append("capabilities")
        if any("hostPort" in port for port in container.get("ports", [])):
            found.append("host port")
    if any("apparmor" in key or "seccomp" in key for key in template["metadata"]["annotations"]):
        found.append("confinement by annotation")
    if pod["automountServiceAccountToken"]:
        found.append("a token of the API")
    return found


@given(dns_labels, dns_labels, st.integers(1, 9999))
def test_names_stay_within_bounds(namespace, name, number):
    job = JobIdentity(namespace, name, UID)
    attempt = an_attempt(job=job, number=number)
    pod_host_name = f"{attempt_name(job, number)}-999"
    for made in (attempt.name, attempt.service_name, job.template_cluster_name, pod_host_name):
        assert len(made) <= 63
        assert DNS_LABEL.match(made), made
    assert attempt.service_name[0].isalpha()


def test_attempts_and_jobs_listen_on_ports_of_their_own_below_the_outgoing_ones():
    one, other = (JobIdentity("team", "tune", uid) for uid in (UID, UID.replace("0", "1")))
    ports = [master_port(job, number) for job in (one, other) for number in (1, 2, 3)]
    assert len(set(ports)) == 6
    assert all(24000 <= port < 30000 for port in ports)


def test_a_key_of_a_secret_fills_a_variable_and_a_bought_cluster_has_a_copy_of_its_own():
    secrets = {"secrets": {"TUNESMITH_MIRROR_ACCESS_KEY_ID": SecretKey("store", "accessKeyID")}}
    far, near = (an_attempt(where=where, **secrets) for where in (RemoteCluster("team", "cluster"), None))

    def reference(attempt):
        [container] = training_job(attempt)["spec"]["template"]["spec"]["containers"]
        [variable] = [one for one in container["env"] if "valueFrom" in one]
        assert variable["name"] == "TUNESMITH_MIRROR_ACCESS_KEY_ID"
        return variable["valueFrom"]["secretKeyRef"]

    assert reference(near) == {"name": "store", "key": "accessKeyID", "optional": True}
    assert reference(far) == {"name": f"{far.name}-source-0", "key": "accessKeyID", "optional": True}


def test_a_bought_cluster_pulls_with_copies_and_the_local_one_with_the_secrets_themselves():
    secrets = {"image_secrets": ("registry",)}
    far, near = (an_attempt(where=where, **secrets) for where in (RemoteCluster("team", "cluster"), None))
    assert training_job(near)["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    [copied] = training_job(far)["spec"]["template"]["spec"]["imagePullSecrets"]
    assert copied == {"name": f"{far.name}-pull-0"}
