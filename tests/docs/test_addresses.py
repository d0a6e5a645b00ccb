"""Whom the worker talks to: nobody but those on the page."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import PROJECT, page
from tests.media_files import RECORDINGS

PACKAGE = PROJECT / "src" / "transcriber_worker"
NETWORK = frozenset(
    {"oci", "confluent_kafka", "httpcore", "huggingface_hub", "socket", "ssl", "http", "urllib", "urllib3", "requests"}
)
"""Modules by which anything is connected to, or listened on."""
HARMLESS = frozenset({"urllib.parse", "http"})
"""Of these, what only reads URLs, or names status codes."""
PATIENCE_S = 240.0


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("no strace on the path")
    allowed = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if allowed.returncode:
        pytest.skip(f"strace may not trace here: {allowed.stderr.strip()}")
    return found


def traced(strace: str, folder: Path, *command: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """A command, with every process that it starts; and where they tried to connect or send to, outside of this
    machine."""
    calls = folder / "calls"
    done = subprocess.run(
        [strace, "--follow-forks", "--trace=connect,sendto,sendmsg,sendmmsg", "--output", str(calls), *command],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S, cwd=folder,
    )  # fmt: skip
    return done, list(_outside(calls.read_text()))


def _outside(calls: str) -> Iterator[str]:
    for line in calls.splitlines():
        for address in re.findall(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', line):
            if not "".join(address).startswith(("127.", "::1")):
                yield line


@pytest.mark.model
def test_a_worker_on_a_spool_connects_to_nobody(strace: str, tmp_path: Path) -> None:
    """The real model, the real media child, a whole job: no library reports to anybody."""
    config = tmp_path / "worker.yaml"
    fields: dict[str, dict[str, Any]] = {
        "broker": {"directory": {"path": str(tmp_path / "spool"), "settle_s": 0.0}},
        "storage": {"output": str(tmp_path / "transcripts")},
        "model": {"name": "base", "cache_dir": str(PROJECT / ".models"), "device": "cpu"},
        "worker": {"scratch_dir": str(tmp_path / "scratch"), "exit_when_idle_s": 0.5, "max_jobs_in_flight": 2},
        "engine": {"workers": 1},
        "observability": {"http_port": 0, "log_format": "json"},
    }
    config.write_text(yaml.safe_dump(fields))
    ours = [sys.executable, "-m", "transcriber_worker"]
    subprocess.run([*ours, "fetch-model", "--config", str(config)], check=True, capture_output=True)
    config.write_text(yaml.safe_dump({**fields, "model": {**fields["model"], "offline": True}}))
    inbox = tmp_path / "spool" / "inbox"
    inbox.mkdir(parents=True)
    shutil.copy(RECORDINGS / "ferry-notice.wav", inbox)

    done, outside = traced(strace, tmp_path, *ours, "run", "--exit-when-idle", "--config", str(config))

    assert done.returncode == 0, done.stderr[-2000:]
    (text,) = (tmp_path / "transcripts").rglob("*.txt")
    assert "ferry" in text.read_text().lower()
    assert outside == []


def test_a_connection_would_be_seen(strace: str, tmp_path: Path) -> None:
    """In a child too, and though it fails."""
    connect = "import socket; s = socket.socket(); s.setblocking(False); s.connect_ex(('192.0.2.1', 443))"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {connect!r}])"

    _, outside = traced(strace, tmp_path, sys.executable, "-c", program)

    assert any("192.0.2.1" in line for line in outside)


def connecting() -> list[Path]:
    """The modules of ours that import anything that connects or listens."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if any(_connects(name) for name in _imported(path))]


def _connects(name: str) -> bool:
    return name.partition(".")[0] in NETWORK and name not in HARMLESS


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_every_module_that_may_connect_has_its_row() -> None:
    told = [text for _, text in page("docs/air-gapped.md").words() if text.endswith(".py") and "/" in text]
    rows = {path for pattern in told for path in PACKAGE.glob(pattern)}
    silent = {PACKAGE / "app" / "worker.py"}  # asks the machine's name
    assert [str(path.relative_to(PACKAGE)) for path in connecting() if path not in rows | silent] == []
    assert rows
