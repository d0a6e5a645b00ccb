"""A model on a GPU, decoding batches of windows that wait in memory: `python -m
transcriber_worker.app.bench_cells_child ORDER`. Answers as bench_child.py does."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from transcriber_worker.app.bench_child import answer
from transcriber_worker.app.worker import make_media
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.domain.job import MediaOptions, Task
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Ranking, Row
from transcriber_worker.inference.loading import Runtime, pick_device
from transcriber_worker.inference.model_files import resolve
from transcriber_worker.inference.speech import stretches
from transcriber_worker.media.base import MediaRequest
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import EncoderKind, Settings
from transcriber_worker.tools.bench.gpu.servant import CellServant
from transcriber_worker.tools.limits import Machine

_LANGUAGE = "en"
"""Given to all: in a file it is looked for in the first window only."""


def main(order: str) -> None:
    """`order`: JSON with `config` and `model` as for bench_child.py, `encoder`, `beam_size`, `streams` (the most that
    will be asked for) and `paths` (recordings to take windows from)."""
    answer(order, _loaded)


def rows_from(settings: Settings, machine: Machine, paths: Sequence[Path]) -> list[Row]:
    """The windows of recordings, as the engine gets them, and rows of a batch made of them as it does first."""
    media = make_media(settings, machine, SystemClock())
    try:
        rows = []
        for path in paths:
            with media.open(MediaRequest(path, MediaOptions(), CancelToken())) as stream:
                for window in stream.windows():
                    speech = stretches(window)
                    if speech:
                        rows.append(_row(Passage(window, speech)))
        return rows
    finally:
        media.close()


def _row(passage: Passage) -> Row:
    return passage.row(
        frames=FULL_FRAMES, task=Task.TRANSCRIBE, prompt=(), language=_LANGUAGE, choose_language=_most_probable
    )


def _most_probable(ranking: Ranking) -> str:
    return ranking[0][0]


def _loaded(told: Mapping[str, Any], settings: Settings) -> CellServant:
    machine, metrics = Machine.this(), Metrics(CollectorRegistry())
    rows = rows_from(settings, machine, [Path(path) for path in told["paths"]])
    device, compute_type = pick_device(settings.model.device, settings.model.compute_type)
    runtime = Runtime(
        device=device,
        compute_type=compute_type,
        beam_size=told["beam_size"],
        workers=told["streams"],
        cpu_threads=settings.model.cpu_threads or max(1, machine.cores // told["streams"]),
        encoder=EncoderKind(told["encoder"]),
    )
    files = resolve(settings.model, lambda _: None)
    model = WhisperBatchModel.load(files, runtime, Meter(metrics, SystemClock()))
    if model.encoder != told["encoder"]:
        raise WorkerBroken(f"the encoder {told['encoder']} can't be used, {model.encoder} would be: the log says why")
    facts = {"device": device, "compute_type": model.compute_type, "encoder": model.encoder}
    return CellServant(model, rows, metrics, facts)


if __name__ == "__main__":
    main(sys.argv[1])
