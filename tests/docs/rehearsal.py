"""A page's shell blocks, run by a real bash in order, with the programs that need a cluster or a cloud put down instead
of run: every variable, quote and file of the page is real, and what was asked of whom can be looked at."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import PROJECT, Page
from tests.docs.shell import SHELL

PUT_DOWN = (
    "helm", "kubectl", "oci", "docker", "sudo", "systemctl", "make", "python3.12", "transcriber-worker",
    "kafka-topics.sh", "kafka-console-producer.sh", "kafka-console-consumer.sh",
)  # fmt: skip
ANSWERS = {
    "data": "my-namespace",  # oci os ns get
    'data."kafka-settings"."bootstrap-servers"': "cell-1.streaming.eu-frankfurt-1.oci.oraclecloud.com:9092",
    'data."messages-endpoint"': "https://cell-1.queue.messaging.eu-frankfurt-1.oci.oraclecloud.com",
    "data.token": "a-token",
}
"""What `oci` prints, by its --query; otherwise an OCID."""
_RECORDER = """#!{python} -IS
import json, sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps([{name!r}, words, sys.stdin.buffer.read().decode(errors="replace")]) + "\\n")
if {name!r} == "python3.12" and "-c" in words:
    print("312")
if "--query" in words:
    option = dict(zip(words, words[1:]))
    which = option.get("--display-name") or option.get("--name") or "one"
    print({answers!r}.get(option["--query"], "ocid1.rehearsed.oc1.." + which))
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program was asked."""

    program: str
    arguments: tuple[str, ...]
    stdin: str

    def option(self, name: str) -> str:
        return self.arguments[self.arguments.index(name) + 1]

    def __str__(self) -> str:
        return " ".join((self.program, *self.arguments))


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What became of a page; `folder` holds the files that it wrote, beside the project's own."""

    folder: Path
    asked: tuple[Asked, ...]

    def of(self, program: str, *first: str) -> list[Asked]:
        """What was asked of a program, with these words in front."""
        return [one for one in self.asked if one.program == program and one.arguments[: len(first)] == first]

    def text_of(self, argument: str) -> str:
        """The text of an argument, which may be `file://...` as the oci command line has it."""
        name = argument.removeprefix("file://")
        return (self.folder / name).read_text() if name != argument else argument


def rehearse(page: Page, folder: Path) -> Rehearsal:
    """Run a page's shell blocks as one script that stops at the first error, an unset variable being one."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    for entry in PROJECT.iterdir():
        if not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
    log, programs = folder / "asked.jsonl", folder / "programs"
    log.touch()
    programs.mkdir()
    for name in PUT_DOWN:
        recorder = programs / name
        recorder.write_text(_RECORDER.format(python=sys.executable, log=str(log), name=name, answers=ANSWERS))
        recorder.chmod(0o755)
    script = "\n".join(["set -eu", *(block.text for block in page.blocks() if block.language in SHELL)])
    done = _run([bash, "-c", script], folder, programs)
    assert done.returncode == 0, f"{page}: {done.stderr}"
    return Rehearsal(folder, tuple(_asked(line) for line in log.read_text().splitlines()))


def _run(command: Sequence[str], folder: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{programs}{os.pathsep}{os.defpath}", "HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _asked(line: str) -> Asked:
    program, arguments, stdin = json.loads(line)
    return Asked(program, tuple(arguments), stdin)
