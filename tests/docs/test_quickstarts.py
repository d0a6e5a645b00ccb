"""The quick starts in a cluster: what they paste fits together, and is what the programs take."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from oci.events.models import ActionDetails, CreateStreamingServiceActionDetails

from tests.chart.pod import complaints, in_a_pod, machine_of
from tests.chart.tools import Document, Helm, config_of, pods, worker_pod
from tests.docs.pages import page
from tests.docs.quickstarts import PAGES, QUEUE, STREAMING
from tests.docs.rehearsal import Asked, Rehearsal, rehearse
from tests.docs.shell import Command, complaint
from transcriber_worker.domain.job import Job
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.messages.events import parse_job
from transcriber_worker.pipeline.places import Places
from transcriber_worker.settings import Settings

IN_OCI = pytest.mark.parametrize("name", [STREAMING, QUEUE], indirect=True, scope="module")
PRINCIPAL = r"request\.principal\.{} = '([^']+)'"


@pytest.fixture(scope="module", params=PAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def rehearsal(name: str, tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    return rehearse(page(f"docs/{name}.md"), tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def release(rehearsal: Rehearsal, helm: Helm) -> list[Document]:
    """What the page installs, rendered by the real Helm."""
    (install,) = rehearsal.of("helm", "install")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(rehearsal.folder)
        return [one for one in yaml.safe_load_all(helm.run("template", *install.arguments[1:])) if one]


@pytest.fixture(scope="module")
def settings(release: list[Document], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return in_a_pod(config_of(release), tmp_path_factory.mktemp("pod"))


def only(asked: list[Asked]) -> Asked:
    (one,) = asked
    return one


def test_its_configuration_is_good_in_its_pods(release: list[Document], settings: Settings) -> None:
    assert complaints(settings, machine_of(worker_pod(release))) == []


def test_no_name_of_an_example_is_left_in_what_it_installs(name: str, release: list[Document]) -> None:
    """The value files speak of my-... things, all of which the page must say anew. The page's own variables have the
    names of an example too."""
    shown = set(re.findall(r"\bmy-[a-z-]+", page(f"docs/{name}.md").text)) | {"my-namespace"}
    assert set(re.findall(r"\bmy-[a-z-]+", yaml.safe_dump(config_of(release)))) <= shown


def test_what_its_pods_run_is_built_and_pushed_before_it_is_installed(
    rehearsal: Rehearsal, release: list[Document]
) -> None:
    """scripts/build-image.sh is the real one; Docker is put down."""
    built = {one.option("--tag"): one.option("--target") for one in rehearsal.of("docker", "build")}
    pushed = rehearsal.of("docker", "push")
    assert {one.arguments[1] for one in pushed} == built.keys()
    run = {
        component: {built.get(container["image"]) for container in _containers(pod["spec"])}
        for component, pod in pods(release).items()
    }
    assert run == {"worker": {"worker"}, "exporter": {"exporter"}, "test": {"exporter"}}
    order = rehearsal.asked.index
    assert max(map(order, pushed)) < order(only(rehearsal.of("helm", "install")))


def _containers(spec: Document) -> list[Document]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def test_everything_is_in_one_namespace(rehearsal: Rehearsal) -> None:
    installed = only(rehearsal.of("helm", "install")).option("--namespace")
    named = [one.option("-n") for one in rehearsal.of("kubectl") if "-n" in one.arguments]
    named += [one.option("--namespace") for one in rehearsal.of("helm")]
    assert {installed} == set(named)


def test_secrets_are_made_before_they_are_mounted(rehearsal: Rehearsal, release: list[Document]) -> None:
    made = {
        one.arguments[5] for one in rehearsal.of("kubectl") if one.arguments[2:5] == ("create", "secret", "generic")
    }
    mounted = {volume["secret"]["secretName"] for volume in worker_pod(release)["volumes"] if "secret" in volume}
    keys = {
        ref["name"]
        for one in release
        if one["kind"] == "TriggerAuthentication"
        for ref in one["spec"]["secretTargetRef"]
    }
    assert mounted | keys == made


def test_what_kubectl_names_is_installed(name: str, release: list[Document]) -> None:
    text = page(f"docs/{name}.md").text
    named = set(re.findall(r"\bdeploy/([\w-]+)", text))
    assert named
    assert named <= {one["metadata"]["name"] for one in release if one["kind"] == "Deployment"}


def test_commands_in_pods_are_ones_that_our_parser_takes(rehearsal: Rehearsal) -> None:
    inside = [
        one.arguments[one.arguments.index("--") + 1 :] for one in rehearsal.of("kubectl") if "--" in one.arguments
    ]
    ours = [Command(str(rehearsal.folder.name), words) for words in inside if words[0] == "transcriber-worker"]
    assert [why for command in ours if (why := complaint(command))] == []


@IN_OCI
def test_pods_that_it_runs_our_commands_in_may_prove_who_they_are(name: str, release: list[Document]) -> None:
    """Job records and letters lie in OCI: a pod without the service account's token could not see them."""
    text = page(f"docs/{name}.md").text.replace("\\\n", " ")
    named = set(re.findall(r"exec deploy/([\w-]+)[^\n]*? -- transcriber-worker", text))
    deployments = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in release if one["kind"] == "Deployment"
    }
    assert named
    assert [deployment for deployment in named if not deployments[deployment]["automountServiceAccountToken"]] == []


@IN_OCI
def test_policies_name_the_workers_as_installed(
    rehearsal: Rehearsal, release: list[Document], settings: Settings
) -> None:
    created = only(rehearsal.of("oci", "iam", "policy", "create"))
    statements = json.loads(rehearsal.text_of(created.option("--statements")))
    workloads = [text for text in statements if "any-user" in text]
    install = only(rehearsal.of("helm", "install"))
    account = worker_pod(release)["serviceAccountName"]
    assert {tuple(re.findall(PRINCIPAL.format("namespace"), text)) for text in workloads} == {
        (install.option("--namespace"),)
    }
    assert {tuple(re.findall(PRINCIPAL.format("service_account"), text)) for text in workloads} == {(account,)}
    places = Places.of(settings)
    written = {_bucket_of(place) for place in (places.output, places.state, places.uploads) if place is not None}
    assert {_bucket(text) for text in workloads if "manage objects" in text} == written
    read = {_bucket_of(prefix) for prefix in places.rules.sources} - written
    assert {_bucket(text) for text in workloads if "read objects" in text} == read


def _bucket_of(place: ObjectUri) -> str:
    return place.authority.partition("@")[0]


def _bucket(statement: str) -> str:
    (bucket,) = re.findall(r"target\.bucket\.name = '([^']+)'", statement)
    return str(bucket)


def job_of(body: str, settings: Settings) -> Job:
    return parse_job(body.encode(), {}, Places.of(settings).rules, published_at=0.0)


def test_its_request_is_one_that_these_workers_accept(name: str, rehearsal: Rehearsal, release: list[Document]) -> None:
    settings = Settings.model_validate(config_of(release))
    if name == STREAMING:
        bodies = [_event(rehearsal, kind) for kind in _condition(rehearsal)["eventType"]]
    elif name == QUEUE:
        messages = json.loads(
            rehearsal.text_of(only(rehearsal.of("oci", "queue", "messages", "put-messages")).option("--messages"))
        )
        bodies = [message["content"] for message in messages]
    else:
        bodies = only(rehearsal.of("kafka-console-producer.sh")).stdin.splitlines()
    jobs = [job_of(body, settings) for body in bodies]
    assert {job.source.key.rpartition("/")[2] for job in jobs} == {"mercado.ogg"}


def _condition(rehearsal: Rehearsal) -> Document:
    condition: Document = json.loads(only(rehearsal.of("oci", "events", "rule", "create")).option("--condition"))
    return condition


def _event(rehearsal: Rehearsal, kind: str) -> str:
    """What a rule with the page's condition lets through."""
    (bucket,) = _condition(rehearsal)["data"]["additionalDetails"]["bucketName"]
    put = only(rehearsal.of("oci", "os", "object", "put"))
    assert put.option("--bucket-name") == bucket
    details = {"bucketName": bucket, "namespace": "my-namespace", "eTag": "199f8dbf-0b8c-41b6-9596-4d2a6792d7e5"}
    data = {"resourceName": put.option("--name"), "additionalDetails": details}
    return json.dumps({"eventType": kind, "cloudEventsVersion": "0.1", "data": data})


@pytest.mark.parametrize("name", [STREAMING], indirect=True, scope="module")
def test_the_rule_delivers_to_the_stream_of_requests(rehearsal: Rehearsal) -> None:
    asked = only(rehearsal.of("oci", "events", "rule", "create"))
    (action,) = json.loads(rehearsal.text_of(asked.option("--actions")))["actions"]
    assert action.keys() <= set(CreateStreamingServiceActionDetails().attribute_map.values())
    assert ActionDetails.get_subtype({"actionType": action["actionType"]}) == "CreateStreamingServiceActionDetails"


def test_helm_and_kubectl_take_every_line(rehearsal: Rehearsal, helm: Helm, kubectl: str) -> None:
    """A program asked for help still refuses a command or a flag that it does not know."""
    for one in rehearsal.of("helm"):
        helm.run(*one.arguments, "--help")
    wrong = [str(one) for one in rehearsal.of("kubectl") if not _knows(kubectl, one)]
    assert wrong == []


def _knows(kubectl: str, asked: Asked) -> bool:
    words = asked.arguments[: asked.arguments.index("--")] if "--" in asked.arguments else asked.arguments
    return subprocess.run([kubectl, *words, "--help"], capture_output=True, check=False).returncode == 0


@IN_OCI
def test_the_oci_command_line_takes_every_line(rehearsal: Rehearsal, oci: str, tmp_path: Path) -> None:
    """It is run as it is, but for the network: a proxy that nobody listens at."""
    config = tmp_path / "config"
    key = tmp_path / "key.pem"
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(pem)
    user = "user=ocid1.user.oc1..u\ntenancy=ocid1.tenancy.oc1..t\nregion=eu-frankfurt-1"
    config.write_text(f"[DEFAULT]\n{user}\nfingerprint={':'.join(16 * ['aa'])}\nkey_file={key}\n")
    wrong = []
    for one in rehearsal.of("oci"):
        environment = {
            "PATH": os.defpath,
            "HOME": str(tmp_path),
            "OCI_CLI_CONFIG_FILE": str(config),
            "OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING": "True",
            "SUPPRESS_LABEL_WARNING": "True",
            "HTTPS_PROXY": "http://127.0.0.1:9",
        }
        command = [oci, "--no-retry", *one.arguments]
        done = subprocess.run(
            command, cwd=rehearsal.folder, env=environment, capture_output=True, text=True, check=False
        )
        if not re.search("RequestException|Unable to retrieve namespace", done.stderr):  # it did not reach the network
            wrong.append(f"{one}: {done.stderr.strip()[-300:]}")
    assert wrong == []
