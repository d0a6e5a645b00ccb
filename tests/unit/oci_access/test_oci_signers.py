"""Ways to prove who the worker is."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from oci.auth import signers as sdk_signers
from oci.signer import Signer

from tests.oci_emulator.credentials import (
    TENANCY,
    USER,
    new_key,
    new_token,
    private_pem,
    some_key,
    written_config,
)
from tests.unit.oci_access.proxymux import Proxymux, proxymux
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.observability.redaction import REDACTOR
from transcriber_worker.oci_access.retries import BoundedRetries
from transcriber_worker.oci_access.signers import Credentials, open_credentials
from transcriber_worker.settings import OciAuth, OciSettings

FINGERPRINT = ":".join(["ab"] * 16)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine is, the tests begin as on one that is nowhere."""
    for name in ("OCI_RESOURCE_PRINCIPAL_VERSION", "KUBERNETES_SERVICE_HOST", "OCI_CONFIG_FILE", "OCI_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return written_config(tmp_path / "oci", {"user": USER, "tenancy": TENANCY, "fingerprint": FINGERPRINT}, some_key())


def opened(**settings: object) -> Credentials:
    clock = ManualClock()
    return open_credentials(OciSettings.model_validate(settings), BoundedRetries(clock, threading.Event(), 2))


def refusal(**settings: object) -> str:
    with pytest.raises(EnvironmentDown) as refused:
        opened(**settings)
    assert refused.value.part is PauseReason.CREDENTIALS
    return str(refused.value)


class TestConfigurationFile:
    def test_an_api_key_signs(self, config: Path) -> None:
        credentials = opened(auth="api_key", config_file=config)

        assert isinstance(credentials.signer, Signer)
        assert credentials.signer.api_key == f"{TENANCY}/{USER}/{FINGERPRINT}"
        assert credentials.region == "eu-frankfurt-1"
        assert not credentials.expire

    def test_its_region_may_be_left_to_the_settings(self, config: Path) -> None:
        config.write_text("\n".join(line for line in config.read_text().splitlines() if not line.startswith("region")))

        assert opened(auth="api_key", config_file=config).region is None

    def test_the_key_never_gets_into_a_log(self, config: Path) -> None:
        key = new_key()
        (config.parent / "key.pem").write_text(private_pem(key))

        opened(auth="api_key", config_file=config)

        secret = private_pem(key).splitlines()[5]
        assert secret not in REDACTOR.text(f"broken: {secret}")

    def test_a_session_token_signs_and_never_gets_into_a_log(self, tmp_path: Path) -> None:
        token = new_token(some_key(), 600)
        (tmp_path / "token").write_text(token + "\n")
        profile = {"tenancy": TENANCY, "fingerprint": FINGERPRINT, "security_token_file": str(tmp_path / "token")}
        config = written_config(tmp_path / "oci", profile, some_key())

        credentials = opened(auth="session_token", config_file=config)

        assert credentials.signer.api_key == f"ST${token}"
        assert token.rpartition(".")[2] not in REDACTOR.text(f"broken: {token}")
        assert "set oci.auth to session_token" in refusal(auth="api_key", config_file=config)

    def test_no_token_where_one_is_wanted_is_told(self, config: Path) -> None:
        assert "names no security_token_file" in refusal(auth="session_token", config_file=config)

    @pytest.mark.parametrize("auth", ["api_key", "session_token"])
    def test_a_missing_file_is_told_with_the_setting_s_name(self, tmp_path: Path, auth: str) -> None:
        told = refusal(auth=auth, config_file=tmp_path / "none")

        assert str(tmp_path / "none") in told
        assert "oci.config_file" in told

    def test_a_missing_profile_is_told(self, config: Path) -> None:
        assert "'OTHER' not found" in refusal(auth="api_key", config_file=config, profile="OTHER")

    def test_a_field_that_is_missing_is_told(self, config: Path) -> None:
        config.write_text("\n".join(line for line in config.read_text().splitlines() if not line.startswith("user")))

        assert "user" in refusal(auth="api_key", config_file=config)

    @pytest.mark.parametrize(
        "text", ["", "no key at all", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
    )
    def test_a_key_that_is_none_is_told_without_it(self, config: Path, text: str) -> None:
        (config.parent / "key.pem").write_text(text)

        told = refusal(auth="api_key", config_file=config)

        assert "key file" in told
        assert "AAAA" not in told

    @pytest.mark.parametrize("auth", ["api_key", "session_token"])
    @pytest.mark.parametrize(
        "text",
        ["pass_phrase = swordfish\n[DEFAULT]\n", "[DEFAULT]\nuser = a\nMIIEvQswordfish\n"],
        ids=["no section", "a key's lines"],
    )
    def test_a_file_that_can_t_be_read_is_not_quoted(self, config: Path, auth: str, text: str) -> None:
        """Probes and events tell it to whoever asks."""
        config.write_text(text)

        told = refusal(auth=auth, config_file=config)

        assert "swordfish" not in told
        assert "oci.config_file" in told or "its key file" in told

    def test_what_is_wrong_survives_the_logs(self, config: Path) -> None:
        """Whose masking takes `api_key: …` for a key."""
        (config.parent / "key.pem").write_text("no key at all")

        told = refusal(auth="api_key", config_file=config)

        assert REDACTOR.text(told) == told


class TestDetection:
    def test_a_resource_principal_comes_first(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        token = new_token(some_key(), 600)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_RPST", token)
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", private_pem(some_key()))
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_REGION", "fra")

        credentials = opened(config_file=config)

        assert isinstance(credentials.signer, sdk_signers.EphemeralResourcePrincipalSigner)
        assert credentials.region == "eu-frankfurt-1"

    def test_a_pod_has_workload_identity_even_where_a_file_lies(
        self, config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")

        told = refusal(config_file=config)

        assert "workload_identity" in told
        assert "enhanced" in told

    def test_elsewhere_the_configuration_file_is_used(self, config: Path) -> None:
        assert isinstance(opened(config_file=config).signer, Signer)

    def test_an_instance_principal_is_never_guessed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every pod of a node would have its rights; and elsewhere asking for it takes minutes."""
        monkeypatch.setenv("OCI_METADATA_BASE_URL", "http://127.0.0.1:9/opc/v2")

        told = refusal(config_file=tmp_path / "none")

        assert "set oci.auth" in told
        assert "only where oci.auth names it" in told

    def test_one_that_is_named_is_asked_for_within_bounds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", "http://127.0.0.1:9/opc/v2")

        told = refusal(auth="instance_principal")

        assert "metadata service" in told
        assert "refused" in told

    @pytest.mark.parametrize("missing", ["OCI_RESOURCE_PRINCIPAL_VERSION", "OCI_RESOURCE_PRINCIPAL_RPST"])
    def test_a_resource_principal_that_lacks_something_is_told(
        self, monkeypatch: pytest.MonkeyPatch, missing: str
    ) -> None:
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
        monkeypatch.delenv(missing, raising=False)

        assert "OCI_RESOURCE_PRINCIPAL_" in refusal(auth="resource_principal")


class TestWorkloadIdentity:
    @pytest.fixture
    def node(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxymux]:
        with proxymux(tmp_path, monkeypatch) as node:
            yield node

    def test_a_pod_s_token_is_fetched(self, node: Proxymux) -> None:
        credentials = opened()

        assert credentials.signer.api_key == f"ST${node.given[0]}"
        assert credentials.region == "eu-frankfurt-1"

    def test_a_token_past_half_of_its_life_is_replaced_and_a_young_one_kept(self, node: Proxymux) -> None:
        node.lives_s = -10
        credentials = opened(auth=OciAuth.WORKLOAD_IDENTITY)
        node.lives_s = 3600

        assert credentials.expire
        for _ in range(3):
            credentials.refresh()

        assert len(node.given) == 2
        assert credentials.signer.api_key == f"ST${node.given[1]}"

    def test_a_cluster_that_is_not_enhanced_is_told(self, node: Proxymux) -> None:
        node.status = 403

        told = refusal()

        assert "status 403" in told
        assert "enhanced" in told
