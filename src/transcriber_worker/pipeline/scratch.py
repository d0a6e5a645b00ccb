"""Scratch: one folder a job, emptied when the job ends; what dead workers left behind goes at start."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import EnvironmentDown, PauseReason


class Scratch:
    """Folders for downloads below one root that several workers may share."""

    def __init__(self, root: Path, worker_id: str, clock: Clock) -> None:
        # A folder of our own: whatever else lies in `root` is somebody else's and stays.
        self._root = root.absolute() / "transcriber-worker"
        self._own = self._root / worker_id
        self._clock = clock

    def prepare(self, max_age_s: float) -> int:
        """Make the root, empty this worker's own folder, which a killed worker of the same name may have left (a
        container that starts again), and remove others' not touched for `max_age_s`; returns how many went."""
        removed = int(self._own.is_dir())
        shutil.rmtree(self._own, ignore_errors=True)
        with self._ours():
            self._own.mkdir(parents=True, exist_ok=True, mode=0o700)  # recordings are private
        for folder in self._root.iterdir():
            if folder != self._own and folder.is_dir() and self._newest(folder) < self._clock.now() - max_age_s:
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        return removed

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A new empty folder, gone when the block ends."""
        path = self._own / name
        shutil.rmtree(path, ignore_errors=True)
        try:
            with self._ours():
                path.mkdir(parents=True, mode=0o700)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Remove this worker's own folder."""
        shutil.rmtree(self._own, ignore_errors=True)

    @contextmanager
    def _ours(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"scratch {self._root}: {error.strerror}: make worker.scratch_dir writable"
            raise EnvironmentDown(message, PauseReason.SCRATCH) from error

    @staticmethod
    def _newest(folder: Path) -> float:
        """When anything in the folder was last written: a long job's folder is old, its files need not be."""
        times = []
        for path in (folder, *folder.rglob("*")):
            try:
                times.append(path.stat().st_mtime)
            except OSError:
                continue  # its owner has just removed it
        return max(times, default=0.0)
