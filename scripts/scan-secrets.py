#!/usr/bin/env python3
"""Look for credentials in every file that git tracks or would track; `make check` runs it.

What is found must stand below with the reason why it is none; an entry that fits nothing any more is an error too.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

PROJECT = Path(__file__).resolve().parent.parent
HEX, BASE64, KEYWORD = "Hex High Entropy String", "Base64 High Entropy String", "Secret Keyword"
URL, KEY = "Basic Auth Credentials", "Private Key"
A_PATH = "names the file or variable that holds the secret, which settings take by reference only"
MADE_UP = "made up: the test shows that it is refused, hidden or never sent"
NO_SECRET: dict[tuple[str, str], str] = {
    ("configmaps/kafka-managed.yaml", KEYWORD): A_PATH,
    ("configmaps/kafka-oci-streaming.yaml", KEYWORD): A_PATH,
    ("demo/recordings/manifest.json", HEX): "digests of the recordings",
    ("scripts/chart-tools.py", HEX): "digest of a package",
    ("src/transcriber_worker/inference/model_catalogue.py", HEX): "digests and revisions of the models",
    ("src/transcriber_worker/oci_access/signers.py", KEYWORD): "the name of a field",
    ("src/transcriber_worker/settings/oci.py", KEYWORD): "the name of a way to authenticate",
    ("tests/chart/cases.py", KEYWORD): A_PATH,
    ("tests/chart/test_refusals.py", KEYWORD): A_PATH,
    ("tests/integration/test_hostile_requests.py", URL): MADE_UP,
    ("tests/unit/brokers/test_kafka_errors.py", KEYWORD): A_PATH,
    ("tests/unit/domain/test_job_identity.py", HEX): "fingerprints that must stay as they are",
    ("tests/unit/domain/test_uri.py", URL): MADE_UP,
    ("tests/unit/messages/test_requests.py", URL): MADE_UP,
    ("tests/unit/observability/test_redaction.py", KEY): MADE_UP,
    ("tests/unit/observability/test_redaction.py", KEYWORD): MADE_UP,
    ("tests/unit/oci_access/test_oci_signers.py", KEY): MADE_UP,
    ("tests/unit/oci_emulator/test_emulator_signatures.py", BASE64): "the digest of nothing",
    ("tests/unit/storage/test_https_vetting.py", URL): MADE_UP,
    ("tests/unit/tools/test_check_services.py", KEYWORD): A_PATH,
}
_PINS = ("requirements/", "docs/schemas/")
"""Thousands of digests that `make lock` and `make docs` write."""
_DETECTORS = (
    "AWSKeyDetector", "ArtifactoryDetector", "AzureStorageKeyDetector", "Base64HighEntropyString", "BasicAuthDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "HexHighEntropyString", "JwtTokenDetector",
    "KeywordDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SlackDetector",
)  # fmt: skip


def main() -> int:
    found = dict(_findings())
    unknown = {where: line for where, line in found.items() if where not in NO_SECRET}
    for (path, kind), line in unknown.items():
        print(f"{path}:{line}: {kind}: take it out, or say in scripts/scan-secrets.py why it is none")
    stale = NO_SECRET.keys() - found.keys()
    for path, kind in sorted(stale):
        print(f"{path}: no {kind} there any more: take it out of scripts/scan-secrets.py")
    return 1 if unknown or stale else 0


def _findings() -> Iterator[tuple[tuple[str, str], int]]:
    """Path and kind of whatever looks like a secret, and its line."""
    limits = {"Base64HighEntropyString": {"limit": 4.5}, "HexHighEntropyString": {"limit": 3.0}}
    with transient_settings({"plugins_used": [{"name": name, **limits.get(name, {})} for name in _DETECTORS]}):
        for path in _files():
            for secret in scan_file(str(PROJECT / path)):
                yield (path, secret.type), secret.line_number


def _files() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [path for path in listed if path and (PROJECT / path).is_file() and not path.startswith(_PINS)]


if __name__ == "__main__":
    sys.exit(main())
