#!/usr/bin/env python3
"""A model into a bucket or directory of your own, for clusters without a way to the hub.

    python scripts/mirror-model.py --config worker.yaml oci://models@my-namespace/          # the model that it names
    python scripts/mirror-model.py --model large-v3-turbo --model base --config worker.yaml oci://models@my-namespace/
    python scripts/mirror-model.py --model small /mnt/models                                # needs no configuration

Fetches each model into `model.cache_dir` (unless it is there), verifies it, and uploads it as `<model>/<file>`: where
`transcriber-worker fetch-model --from PREFIX` looks, and the chart's `modelCache.fetch.from`. A file that is there
already, with the same content, is left alone. Credentials are those of the configuration's `oci` section; they must be
allowed to read and to write objects. Large files go up in parts, from disk, each with its checksum.

--check fetches the mirrored model back into a temporary folder and verifies every SHA-256, as a pod will.
"""

import argparse
import shutil
import sys
import tempfile
from base64 import b64encode
from contextlib import closing
from hashlib import file_digest
from pathlib import Path
from typing import Protocol

from transcriber_worker.app.models import fetch_model
from transcriber_worker.cli import exit_with
from transcriber_worker.cli.configs import BadConfig
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import EnvironmentDown
from transcriber_worker.domain.uri import InvalidUri, ObjectUri
from transcriber_worker.inference.model_catalogue import CATALOGUE
from transcriber_worker.pipeline.places import prefix
from transcriber_worker.settings import Settings
from transcriber_worker.tools.check_config import load
from transcriber_worker.tools.problem import Problem

PART_BYTES = 64 * 1024 * 1024
UPLOAD_S = 600.0
"""For one part, whatever the line is like."""
DIGEST = "sha256"
"""Metadata of an object, as what the service computes of large ones is no digest of the content."""


class Place(Protocol):
    """Where models are mirrored to."""

    def has(self, uri: ObjectUri, sha256: str, size_bytes: int) -> bool: ...

    def put(self, uri: ObjectUri, sha256: str, file: Path) -> None: ...

    def close(self) -> None: ...


class Bucket:
    """Behind oci://. The store of the workers takes a whole object into memory, which is too much for weights."""

    def __init__(self, settings: Settings) -> None:
        from transcriber_worker.oci_access.access import OciAccess

        self._access = OciAccess(settings.oci, SystemClock())
        self._client = self._access.object_storage(upload_s=UPLOAD_S)

    def has(self, uri: ObjectUri, sha256: str, size_bytes: int) -> bool:
        from oci.exceptions import ServiceError

        try:
            headers = self._client.head_object(*_name(uri)).headers
        except ServiceError as error:
            if error.status == 404:  # the object or the bucket: writing tells
                return False
            raise
        return headers.get(f"opc-meta-{DIGEST}") == sha256 and int(headers["content-length"]) == size_bytes

    def put(self, uri: ObjectUri, sha256: str, file: Path) -> None:
        from oci.object_storage import UploadManager

        whole = {"content_md5": b64encode(_digest(file, "md5")).decode()}  # parts carry their own
        UploadManager(self._client, allow_parallel_uploads=False).upload_file(
            *_name(uri), str(file), part_size=PART_BYTES, metadata={DIGEST: sha256}, **whole
        )

    def close(self) -> None:
        self._access.close()


class Directory:
    """Behind a path."""

    def has(self, uri: ObjectUri, sha256: str, size_bytes: int) -> bool:
        there = uri.path.is_file() and uri.path.stat().st_size == size_bytes
        return there and _digest(uri.path, "sha256").hex() == sha256

    def put(self, uri: ObjectUri, sha256: str, file: Path) -> None:  # noqa: ARG002 - a file keeps no metadata
        uri.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = uri.path.with_name(f".{uri.path.name}.tmp")
        shutil.copyfile(file, unfinished)
        unfinished.replace(uri.path)

    def close(self) -> None:
        """Nothing is held."""


def _name(uri: ObjectUri) -> tuple[str, str, str]:
    bucket, _, namespace = uri.authority.partition("@")
    return namespace, bucket, uri.key


def _digest(file: Path, algorithm: str) -> bytes:
    with file.open("rb") as opened:
        return file_digest(opened, algorithm).digest()


def mirror(settings: Settings, place: Place, to: ObjectUri, name: str) -> None:
    """One model. Raises `WorkerBroken` where it can't be had or is another one."""
    files = fetch_model(_for(settings, name), None, tell)
    for file, sha256 in CATALOGUE[name].digests.items():
        uri, local = to.child(f"{name}/{file}"), files.path / file
        size_bytes = local.stat().st_size
        if place.has(uri, sha256, size_bytes):
            tell(f"{uri}: there already")
            continue
        tell(f"{uri}: uploading {size_bytes / 1e6:.1f} MB")
        place.put(uri, sha256, local)


def check(settings: Settings, to: ObjectUri, name: str) -> None:
    """Fetch it as a pod will; raises `WorkerBroken`."""
    with tempfile.TemporaryDirectory(prefix="mirror-check-") as folder:
        empty = _for(settings, name)
        empty = empty.model_copy(update={"model": empty.model.model_copy(update={"cache_dir": Path(folder)})})
        fetch_model(empty, str(to), tell)


def _for(settings: Settings, name: str) -> Settings:
    """The settings with another model, whose weights are the catalogue's."""
    return settings.model_copy(update={"model": settings.model.model_copy(update={"name": name, "sha256": None})})


def tell(line: str) -> None:
    print(line, file=sys.stderr)


def run(chosen: argparse.Namespace) -> int:
    from transcriber_worker.oci_access.faults import describe, fault_of

    settings = load(chosen.config)
    if isinstance(settings, list):
        raise BadConfig(settings)
    names = chosen.models or [settings.model.name]
    unknown = [name for name in names if name not in CATALOGUE]
    if unknown:
        remedy = f"name one of {', '.join(CATALOGUE)}; upload a model of your own as it is"
        raise BadConfig([Problem("--model", f"{name} is no known model", remedy) for name in unknown])
    try:
        to = prefix(chosen.to)
        if to.scheme == "https":
            raise InvalidUri("nothing can be written to a URL: use oci:// or a directory")
    except InvalidUri as error:
        raise BadConfig([Problem("PREFIX", str(error), "such as oci://models@namespace/")]) from error
    with closing(Bucket(settings) if to.scheme == "oci" else Directory()) as place:
        for name in names:
            try:
                mirror(settings, place, to, name)
            except OSError as error:
                raise EnvironmentDown(f"{to}: {error}") from error
            except Exception as error:
                if fault_of(error) is None:
                    raise
                raise EnvironmentDown(f"{to}: {describe(error)}") from error
            if chosen.check:
                check(settings, to, name)
    print(f"transcriber-worker fetch-model --from {to}    # modelCache.fetch.from: {to}")
    return ExitCode.OK


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("to", metavar="PREFIX", help="oci://bucket@namespace/… or a directory")
    options.add_argument("--config", type=Path, metavar="FILE", help="the workers' settings")
    options.add_argument("--model", dest="models", action="append", metavar="NAME", help="default: the configuration's")
    options.add_argument("--check", action="store_true", help="fetch it back and verify it")
    chosen = options.parse_args()
    exit_with(lambda: run(chosen))


if __name__ == "__main__":
    main()
