"""From the name in the settings to verified model files on disk."""

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference.model_catalogue import CATALOGUE, WEIGHTS, NamedModel
from transcriber_worker.inference.model_sources import SOURCES, Fetch, SourceFailed
from transcriber_worker.settings import ModelSettings

Progress = Callable[[str], None]
"""Takes one line for a human about what takes so long."""

_ALWAYS_NEEDED = (WEIGHTS, "config.json", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model directory whose weights were verified just now."""

    name: str
    path: Path
    sha256: str
    """Of `model.bin`."""
    translates: bool = True


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A named model, and where in the cache it belongs."""

    settings: ModelSettings
    model: NamedModel
    progress: Progress

    @property
    def folder(self) -> Path:
        return self.settings.cache_dir / self.settings.name

    @property
    def digests(self) -> Mapping[str, str]:
        chosen = self.settings.sha256
        return {**self.model.digests, WEIGHTS: chosen} if chosen else self.model.digests

    def verify_cached(self) -> None:
        _verify(self.folder, self.digests, self.progress, f"remove {self.folder} to fetch it again")


def resolve(settings: ModelSettings, progress: Progress, sources: Mapping[str, Fetch] = SOURCES) -> ModelFiles:
    """Find the model's files, fetch them where they are missing, and verify them.

    Raises `WorkerBroken` with what to do. Several processes may do this at once on one cache: one fetches, the others
    wait and use what it fetched; a fetch that was killed leaves nothing that counts.
    """
    model = CATALOGUE.get(settings.name)
    if model is None:
        return _directory(settings, progress)
    wanted = _Wanted(settings, model, progress)
    if not wanted.folder.is_dir():
        _fetch_once(wanted, sources)
    else:
        wanted.verify_cached()
    return ModelFiles(settings.name, wanted.folder, wanted.digests[WEIGHTS].lower(), model.translates)


def all_but_weights(settings: ModelSettings, progress: Progress, sources: Mapping[str, Fetch] = SOURCES) -> Path:
    """The directory of a model known by name, verified but for its weights, which nobody wants and need not be there.
    Raises `WorkerBroken` as `resolve` does; what is missing altogether is fetched as a whole."""
    wanted = _Wanted(settings, CATALOGUE[settings.name], progress)
    if not wanted.folder.is_dir():
        return resolve(settings, progress, sources).path
    small = {name: digest for name, digest in wanted.digests.items() if name != WEIGHTS}
    _verify(wanted.folder, small, progress, f"remove {wanted.folder} to fetch it again")
    return wanted.folder


def _directory(settings: ModelSettings, progress: Progress) -> ModelFiles:
    folder = Path(settings.name)
    if not folder.is_dir():
        names = ", ".join(CATALOGUE)
        raise WorkerBroken(
            f"model.name: {settings.name!r} is no known model and no directory: use one of {names}, "
            "or the path of a CTranslate2 model directory"
        )
    for name in _ALWAYS_NEEDED:
        if not (folder / name).is_file():
            raise WorkerBroken(f"model.name: {folder} holds no {name}: not a converted CTranslate2 model")
    if settings.sha256 is None:
        raise WorkerBroken(
            f"model.sha256: required for a model directory, so that a changed model is noticed; set it to the output "
            f"of: sha256sum {folder / WEIGHTS}"
        )
    _verify(folder, {WEIGHTS: settings.sha256}, progress, "set model.sha256 to the new digest if the change is wanted")
    return ModelFiles(folder.name, folder, settings.sha256)


def _fetch_once(wanted: _Wanted, sources: Mapping[str, Fetch]) -> None:
    cache = wanted.settings.cache_dir
    if wanted.settings.offline:
        raise WorkerBroken(f"model.offline is set and {wanted.folder} does not exist: put the model's files there")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f".{wanted.settings.name}.lock"):
            if not wanted.folder.is_dir():
                _fetch(wanted, sources)
                return
    except OSError as error:
        raise WorkerBroken(f"model.cache_dir: can't write to {cache}: {error}") from error
    wanted.verify_cached()  # another process fetched it meanwhile


def _fetch(wanted: _Wanted, sources: Mapping[str, Fetch]) -> None:
    name, cache = wanted.settings.name, wanted.settings.cache_dir
    prefix = f".fetching-{name}-"
    for leftover in cache.glob(f"{prefix}*"):  # of a fetch that was killed: we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    failures: list[str] = []
    for source, fetch in sources.items():
        if wanted.settings.source not in ("auto", source):
            continue
        with tempfile.TemporaryDirectory(dir=cache, prefix=prefix, ignore_cleanup_errors=True) as parent:
            fetched = Path(parent) / name
            fetched.mkdir()
            try:
                wanted.progress(f"fetching {name} ({wanted.model.size_bytes / 1e6:.0f} MB) from: {source}")
                fetch(wanted.model, fetched)
                _verify(fetched, wanted.digests, wanted.progress, "this is not the model; try another model.source")
            except (SourceFailed, WorkerBroken) as error:
                failures.append(str(error))
                wanted.progress(str(error))
            else:
                fetched.rename(wanted.folder)  # whoever sees the folder sees it complete
                return
    raise WorkerBroken(
        f"the model {name!r} can't be fetched: {'; '.join(failures)}. Put its files into {wanted.folder} "
        "(docs/models.md says where they come from), or set model.name to the path of a model directory"
    )


def _verify(folder: Path, pinned: Mapping[str, str], progress: Progress, remedy: str) -> None:
    progress(f"verifying {folder}")
    for name, expected in pinned.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise WorkerBroken(f"{folder / name} can't be read: {error}; {remedy}") from error
        if found != expected.lower():
            raise WorkerBroken(f"{folder / name} has the SHA-256 {found}, expected {expected}: {remedy}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock between processes; it goes with the process that dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
