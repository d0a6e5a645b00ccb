"""A model put into the cache before any worker needs it: what an init container does."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from transcriber_worker.app.office import open_store_at
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import EnvironmentDown, RejectJob, RetryJob
from transcriber_worker.domain.uri import InvalidUri
from transcriber_worker.inference.model_catalogue import NamedModel
from transcriber_worker.inference.model_files import ModelFiles, Progress, resolve
from transcriber_worker.inference.model_sources import SOURCES, Fetch, SourceFailed
from transcriber_worker.pipeline.places import prefix
from transcriber_worker.settings import Settings
from transcriber_worker.storage.base import ConditionFailed, ObjectNotFound, ObjectStore


def fetch_model(settings: Settings, mirror: str | None, progress: Progress) -> ModelFiles:
    """Fetch and verify the model's files, unless the cache has them already.

    `mirror`: prefix in a store whose folders are named like the models, such as oci://models@namespace/; without it
    wherever `model.source` says. Raises `WorkerBroken` with what to do, and `InvalidUri` for a prefix that is none.
    """
    # A worker that never fetches gets its model from here, with the same settings.
    chosen = settings.model.model_copy(update={"offline": False})
    if mirror is None:
        return resolve(chosen, progress, SOURCES)
    chosen = chosen.model_copy(update={"source": "auto"})
    with ExitStack() as stack:
        place = prefix(mirror)
        if place.scheme not in ("oci", "file"):
            raise InvalidUri(f"no model is fetched from {place.scheme}://: use oci:// or a directory")
        store = open_store_at(settings, place, SystemClock(), stack)
        sources: Mapping[str, Fetch] = {mirror: lambda model, folder: _copy(store, mirror, chosen.name, model, folder)}
        return resolve(chosen, progress, sources)


def _copy(store: ObjectStore, mirror: str, name: str, model: NamedModel, folder: Path) -> None:
    """Copy every file of the model out of a store."""
    for file in model.digests:
        uri = prefix(mirror).child(f"{name}/{file}")
        try:
            store.download(uri, folder / file, etag=store.head(uri).etag)
        except ObjectNotFound as error:
            raise SourceFailed(f"{uri}: it is not there, or may not be seen") from error
        except (ConditionFailed, EnvironmentDown, RejectJob, RetryJob) as error:
            raise SourceFailed(f"{uri}: {error}") from error
