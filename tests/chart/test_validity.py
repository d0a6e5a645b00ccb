"""The chart over every sensible combination of value files: what comes out is valid where it is installed."""

import json
from pathlib import Path

import pytest

from tests.chart import schemas
from tests.chart.cases import BROKERS, COMBINATIONS, PROFILES, SCALED_JOB, SWITCHES
from tests.chart.schemas import Definitions
from tests.chart.tools import CHART, CONFIGMAPS, Document, Helm, Refused, config_of, the
from transcriber_worker.settings import Settings


def test_every_value_file_is_combined() -> None:
    assert {path.stem for path in CONFIGMAPS.glob("*.yaml")} == {*BROKERS, *PROFILES}


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_lint_finds_nothing(helm: Helm, files: tuple[str, ...]) -> None:
    named = [word for name in files for word in ("-f", str(CONFIGMAPS / f"{name}.yaml"))]
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART), *named)


@pytest.mark.parametrize("version", [schemas.OLDEST, schemas.NEWEST])
def test_it_is_packaged_and_installed_from_the_package(helm: Helm, tmp_path: Path, version: str) -> None:
    helm.run("package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.glob("*.tgz")
    assert "kind: Deployment" in helm.run("template", "calls", str(package), "--kube-version", version)


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_every_combination_is_valid(helm: Helm, files: tuple[str, ...]) -> None:
    documents = helm.render(files)

    assert _problems(documents) == []
    Settings.model_validate(config_of(documents))


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_every_custom_object_is_valid(helm: Helm, definitions: Definitions, files: tuple[str, ...]) -> None:
    assert _custom_problems(helm.render(files), definitions) == []


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("values", SWITCHES.values(), ids=SWITCHES)
def test_every_switch_is_valid(helm: Helm, broker: str, values: Document) -> None:
    assert _problems(helm.render((broker,), values)) == []


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("values", SWITCHES.values(), ids=SWITCHES)
def test_every_switch_of_custom_objects_is_valid(
    helm: Helm, definitions: Definitions, broker: str, values: Document
) -> None:
    assert _custom_problems(helm.render((broker,), values), definitions) == []


def test_what_may_be_null_can_be_taken_away(helm: Helm, definitions: Definitions) -> None:
    def emptied(schema: Document) -> Document:
        required = schema.get("required", [])
        below = {key: one for key, one in schema["properties"].items() if key != "global"}
        kept = {key: emptied(one) for key, one in below.items() if "properties" in one}
        return {**{key: None for key in below if key not in required}, **kept}

    schema = json.loads((CHART / "values.schema.json").read_text())

    documents = helm.render(("oci-queue",), emptied(schema))

    assert _problems(documents) == []
    assert _custom_problems(documents, definitions) == []


def _problems(documents: list[Document]) -> list[str]:
    ours = [document for document in documents if document["kind"] == "ScaledJob" or not schemas.is_custom(document)]
    return [problem for document in ours for problem in schemas.problems(document)]


def _custom_problems(documents: list[Document], definitions: Definitions) -> list[str]:
    custom = [document for document in documents if schemas.is_custom(document)]
    return [problem for document in custom for problem in definitions.problems(document)]


def test_unknown_fields_of_an_object_are_found(helm: Helm) -> None:
    """The validation itself tells a field too many, and a value of another kind."""
    documents = helm.render(("oci-queue",), {"workload": {"deployment": {"strategy": {"tipe": "Recreate"}}}})
    found = schemas.problems(the(documents, "Deployment"))
    assert [problem for problem in found if "tipe" in problem]
    assert {problem.split(":")[0] for problem in found} == {
        "Deployment on Kubernetes 1.30",
        "Deployment on Kubernetes 1.37",
    }
    documents = helm.render(("oci-queue",), {**SCALED_JOB, "nodeSelector": {"pool": 3}})
    assert any("Job on Kubernetes 1.30" in problem for problem in schemas.problems(the(documents, "ScaledJob")))


CUSTOM_WRONG: dict[str, tuple[Document, str, str]] = {
    "ScaledObject": ({"autoscaling": {"fallback": {"replica": 1}}}, "ScaledObject.spec.fallback", "'replica'"),
    "ScaledJob": ({**SCALED_JOB, "workload": {"kind": "ScaledJob", "job": {"retries": 1}}},
                  "ScaledJob.spec.jobTargetRef", "'retries'"),
    "TriggerAuthentication": ({"autoscaling": {"triggerAuthentication": {"podIdentity": {"provider": "oci"}}}},
                              "TriggerAuthentication.spec.podIdentity.provider", "'oci'"),
    "PodMonitor": ({"monitoring": {"podMonitor": {"endpoint": {"pfad": "/"}}}},
                   "PodMonitor.spec.podMetricsEndpoints.0", "'pfad'"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "wrong"), CUSTOM_WRONG.items(), ids=CUSTOM_WRONG)
def test_unknown_fields_of_a_custom_object_are_found(
    helm: Helm, definitions: Definitions, kind: str, wrong: tuple[Document, str, str]
) -> None:
    """By its path, in the oldest release and in the newest."""
    values, where, what = wrong

    found = definitions.problems(the(helm.render(("kafka-managed",), values), kind))

    releases = [problem.partition(" in ")[2].partition(":")[0] for problem in found]
    assert len(set(releases)) == 2, found
    assert all(problem.startswith(f"{where} in ") and what in problem for problem in found)


def test_an_older_kubernetes_is_refused(helm: Helm) -> None:
    with pytest.raises(Refused, match=r"1\.29"):
        helm.run("template", "calls", str(CHART), "--kube-version", "1.29.0")
