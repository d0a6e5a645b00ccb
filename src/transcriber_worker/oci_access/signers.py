"""Ways to prove who the worker is, each from what its environment gives it. Nothing is guessed beyond `auth: auto`."""

import configparser
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oci import config as sdk_config
from oci import signer as sdk_signer
from oci.auth import signers as sdk_signers

from transcriber_worker.domain.errors import EnvironmentDown, PauseReason
from transcriber_worker.observability.redaction import register_secret
from transcriber_worker.oci_access.faults import Fault, describe, fault_of
from transcriber_worker.oci_access.retries import BoundedRetries
from transcriber_worker.settings import OciAuth, OciSettings

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client is made with. `config` is the SDK's own, `signer` signs its requests."""

    config: Mapping[str, Any]
    signer: Any
    region: str | None

    @property
    def expire(self) -> bool:
        """Whether they go by a token that this process can have replaced; instance principals see to it themselves."""
        return hasattr(self.signer, "security_token")

    def refresh(self) -> None:
        """Have a token past half of its life replaced; raises whatever the SDK raises."""
        if not self.signer.security_token.valid_with_half_expiration_time():
            self.signer.refresh_security_token()


def open_credentials(settings: OciSettings, retries: BoundedRetries) -> Credentials:
    """The credentials as they are now, read afresh. Raises `EnvironmentDown` that says what to set or to look at."""
    auth = settings.auth if settings.auth is not OciAuth.AUTO else _detected(settings)
    try:
        return _OPENERS[auth](settings, retries)
    except EnvironmentDown:
        raise
    except Exception as error:  # the SDK has no common base for what may be wrong with credentials
        unreachable = fault_of(error) not in (None, Fault.CREDENTIALS)
        reason = describe(error) if unreachable else _told(error)
        # No colon after the name: what masks secrets in log lines would take the rest for a key.
        raise _refused(f"with oci.auth {auth.value} there are no credentials: {_HINTS[auth]} ({reason})") from error


def _detected(settings: OciSettings) -> OciAuth:
    if os.environ.get("OCI_RESOURCE_PRINCIPAL_VERSION"):
        return OciAuth.RESOURCE_PRINCIPAL
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return OciAuth.WORKLOAD_IDENTITY
    if settings.config_file.exists():
        return OciAuth.API_KEY
    raise _refused(
        f"no credentials found: set oci.auth, or put a configuration file at {settings.config_file}; "
        "instance_principal is used only where oci.auth names it"
    )


def _api_key(settings: OciSettings, retries: BoundedRetries) -> Credentials:  # noqa: ARG001 - one form for all
    config = _profile(settings)
    if "security_token_file" in config:
        raise _refused(f"profile {settings.profile} holds a session token: set oci.auth to session_token")
    sdk_config.validate_config({"region": "", **config})
    signer = sdk_signer.Signer(
        config["tenancy"],
        config["user"],
        config["fingerprint"],
        private_key_file_location=None,
        pass_phrase=config.get("pass_phrase"),
        private_key_content=_key_text(config),
    )
    return Credentials(config, signer, config.get("region"))


def _session_token(settings: OciSettings, retries: BoundedRetries) -> Credentials:  # noqa: ARG001 - one form for all
    config = _profile(settings)
    if not config.get("security_token_file"):
        raise _refused(f"profile {settings.profile} of {settings.config_file} names no security_token_file")
    token = Path(config["security_token_file"]).expanduser().read_text(encoding="ascii").strip()
    _mask(token)
    key = sdk_signer.load_private_key(_key_text(config), config.get("pass_phrase"))
    return Credentials({}, sdk_signers.SecurityTokenSigner(token, key), config.get("region"))


def _workload_identity(settings: OciSettings, retries: BoundedRetries) -> Credentials:  # noqa: ARG001 - one form for all
    signer = sdk_signers.get_oke_workload_identity_resource_principal_signer(retry_strategy=retries)
    return Credentials({}, signer, getattr(signer, "region", None))


def _resource_principal(settings: OciSettings, retries: BoundedRetries) -> Credentials:  # noqa: ARG001 - one form for all
    signer = sdk_signers.get_resource_principals_signer()
    return Credentials({}, signer, getattr(signer, "region", None))


def _instance_principal(settings: OciSettings, retries: BoundedRetries) -> Credentials:  # noqa: ARG001 - one form for all
    signer = sdk_signers.InstancePrincipalsSecurityTokenSigner(
        retry_strategy=retries, federation_client_retry_strategy=retries
    )
    return Credentials({}, signer, signer.region)


_OPENERS: Mapping[OciAuth, Callable[[OciSettings, BoundedRetries], Credentials]] = {
    OciAuth.API_KEY: _api_key,
    OciAuth.SESSION_TOKEN: _session_token,
    OciAuth.WORKLOAD_IDENTITY: _workload_identity,
    OciAuth.RESOURCE_PRINCIPAL: _resource_principal,
    OciAuth.INSTANCE_PRINCIPAL: _instance_principal,
}
_HINTS = {
    OciAuth.API_KEY: "look at the profile and its key file, oci.config_file and oci.profile",
    OciAuth.SESSION_TOKEN: "look at the profile, its key file and its security_token_file; run `oci session refresh`",
    OciAuth.WORKLOAD_IDENTITY: "the cluster must be an enhanced one, the pod's service account token be mounted at "
    f"{_SERVICE_ACCOUNT}, and OCI_RESOURCE_PRINCIPAL_REGION or oci.region be set",
    OciAuth.RESOURCE_PRINCIPAL: "look at the OCI_RESOURCE_PRINCIPAL_ environment variables",
    OciAuth.INSTANCE_PRINCIPAL: "only a compute instance has one; is its metadata service reachable from here?",
}


def _profile(settings: OciSettings) -> dict[str, Any]:
    if not settings.config_file.is_file():
        raise _refused(f"no configuration file at {settings.config_file}: set oci.config_file, or oci.auth")
    return dict(sdk_config.from_file(str(settings.config_file), settings.profile))


def _key_text(config: Mapping[str, Any]) -> str:
    if config.get("pass_phrase"):
        _mask(config["pass_phrase"])
    key = Path(config["key_file"]).expanduser().read_text(encoding="ascii").strip()
    _mask(key)
    return key


def _told(error: Exception) -> str:
    """Without the lines of the configuration file that its parser quotes: they may be the key, or its pass phrase."""
    kind = type(error).__name__
    return kind if isinstance(error, configparser.Error) else f"{kind}, {error}"


def _mask(secret: str) -> None:
    with suppress(ValueError):  # too short to be masked without garbling every line
        register_secret(secret)


def _refused(message: str) -> EnvironmentDown:
    return EnvironmentDown(message, PauseReason.CREDENTIALS)
