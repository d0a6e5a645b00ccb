"""Access to Oracle Cloud Infrastructure, shared by the queue and the object store."""

from enum import StrEnum
from pathlib import Path

from pydantic import Field

from transcriber_worker.settings.section import Section


class OciAuth(StrEnum):
    """How the worker proves who it is."""

    AUTO = "auto"
    API_KEY = "api_key"
    SESSION_TOKEN = "session_token"  # noqa: S105 - a kind, no token
    WORKLOAD_IDENTITY = "workload_identity"
    RESOURCE_PRINCIPAL = "resource_principal"
    INSTANCE_PRINCIPAL = "instance_principal"


class OciSettings(Section):
    auth: OciAuth = Field(
        OciAuth.AUTO,
        description="auto: resource_principal where OCI_RESOURCE_PRINCIPAL_VERSION is set, else workload_identity inside Kubernetes, else api_key where the configuration file is there. instance_principal gives every pod of a node the same rights and is never chosen by itself.",
    )
    config_file: Path = Field(
        Path("~/.oci/config"), description="With api_key and session_token: the SDK's configuration file."
    )
    profile: str = Field("DEFAULT", description="With api_key and session_token: the profile in that file.")
    region: str | None = Field(
        None, description="Region, such as eu-frankfurt-1. Default: what the credentials or the cluster say."
    )
    object_storage_endpoint: str | None = Field(
        None, pattern=r"^https?://[^/]+(/.*)?$", description="Default: the region's."
    )
    connect_timeout_s: float = Field(5.0, gt=0, le=60, description="Longest wait for a connection.")
    read_timeout_s: float = Field(60.0, gt=0, le=600, description="Longest silence within an answer.")
    attempts: int = Field(
        4, ge=1, le=10, description="Tries of one request, with growing pauses, before it counts as failed."
    )
    token_refresh_s: float = Field(
        300.0,
        gt=0,
        le=3600,
        description="How often a short-lived token is looked at, to be renewed past half its life.",
    )
