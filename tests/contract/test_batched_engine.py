"""The batching engine keeps every promise of an engine: by a scripted model, and on the real small one."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.contract.engine_contract import ENGLISH, TIMEOUT_S, UNCLEAR, EngineContract, PipelineContract, text
from tests.speech import MODELS, PROJECT, a_listener, a_window, decoded
from tests.unit.inference.batched.scripted import ScriptedModel, marked
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm, Window
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import HandBack, JobCancelled
from transcriber_worker.inference.base import SpeechEngine
from transcriber_worker.inference.batched.engine import BatchedEngine, LoadedModel
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.rows import Decoded, Row
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_files import ModelFiles, resolve
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import EngineSettings, ModelSettings

MODEL = ModelSettings(cache_dir=MODELS, beam_size=1)


class Held:
    """A model that stays in its next batch for as long as it is held; else as the one inside."""

    def __init__(self, inside: LoadedModel) -> None:
        self._inside = inside
        self.languages = inside.languages
        self.compute_type = inside.compute_type
        self.encoder = inside.encoder
        self.fixed_bytes = inside.fixed_bytes
        self.encode_text = inside.encode_text
        self.count_text = inside.count_text
        self.row_bytes = inside.row_bytes
        self.warm_up = inside.warm_up
        self.reached = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.batches: list[int] = []

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        self.batches.append(len(rows))
        self.reached.set()
        assert self.free.wait(TIMEOUT_S)
        return self._inside.decode(rows)


class BatchedHarness:
    """`load`: where the model comes from; `speech`: samples of a window."""

    def __init__(self, load: Callable[[ModelFiles, Runtime, Meter], LoadedModel], files: ModelFiles) -> None:
        self._load = load
        self._files = files
        self.model: Held

    def engine(self, concurrency: int, **settings: Any) -> SpeechEngine:
        chosen = EngineSettings.model_validate(
            {"workers": concurrency, "max_batch_windows": 1, "flush_s": 0.0} | settings
        )
        return BatchedEngine(
            MODEL,
            chosen,
            lambda: self._files,
            cores=2,
            memory_bytes=8 << 30,
            clock=SystemClock(),
            metrics=Metrics(CollectorRegistry()),
            load=self._held,
        )

    def speech(self, index: int = 0, channel: int | None = None) -> Window:
        return marked(index + 1, index, channel=channel)

    @contextmanager
    def held(self, engine: SpeechEngine) -> Iterator[None]:
        self.model.free.clear()
        self.model.reached.clear()
        with engine.open(a_listener("holder", options=ENGLISH)) as holder:
            holder.submit(self.speech())
            assert self.model.reached.wait(TIMEOUT_S)
            try:
                yield
            finally:
                self.model.free.set()

    def _held(self, files: ModelFiles, runtime: Runtime, meter: Meter) -> LoadedModel:
        self.model = Held(self._load(files, runtime, meter))
        return self.model


class SpokenHarness(BatchedHarness):
    def __init__(self, load: Callable[[ModelFiles, Runtime, Meter], LoadedModel], files: ModelFiles, pcm: Pcm) -> None:
        super().__init__(load, files)
        self._pcm = pcm

    def engine(self, concurrency: int, **settings: Any) -> SpeechEngine:
        """Each window is a sentence: padded to no more than that, it is heard in a fifth of the time."""
        return super().engine(concurrency, **({"window_padding": "adaptive"} | settings))

    def speech(self, index: int = 0, channel: int | None = None) -> Window:
        return a_window(index, start_s=index * len(self._pcm) / SAMPLE_RATE_HZ, channel=channel, pcm=self._pcm)


def scripted() -> BatchedHarness:
    files = ModelFiles("scripted", Path("nowhere"), "0" * 64, translates=True)
    return BatchedHarness(lambda *_: ScriptedModel(), files)


class TestByScript(EngineContract, PipelineContract):
    @pytest.fixture
    def harness(self) -> BatchedHarness:
        return scripted()


@pytest.fixture(scope="module")
def spoken() -> SpokenHarness:
    """The real model, loaded once for each number of workers."""
    loaded: dict[int, LoadedModel] = {}

    def load(files: ModelFiles, runtime: Runtime, meter: Meter) -> LoadedModel:
        if runtime.workers not in loaded:
            loaded[runtime.workers] = WhisperBatchModel.load(files, runtime, meter)
        return loaded[runtime.workers]

    with as_file(files("transcriber_worker.inference") / "warmup.ogg") as path:
        return SpokenHarness(load, resolve(MODEL, print), decoded(path))


@pytest.mark.model
class TestOnTheRealModel(EngineContract):
    @pytest.fixture
    def harness(self, spoken: SpokenHarness) -> BatchedHarness:
        return spoken


def test_windows_of_several_files_share_a_batch() -> None:
    harness = scripted()
    engine = harness.engine(1, max_batch_windows=8)
    engine.start()
    with harness.held(engine):
        hearings = [engine.open(a_listener(name, options=ENGLISH)) for name in "abc"]
        futures = [hearing.submit(harness.speech(index)) for hearing in hearings for index in range(2)]
    for future in futures:
        future.result(TIMEOUT_S)
    engine.close()
    assert harness.model.batches == [1, 6]


def test_windows_in_a_running_batch_are_dropped_at_once_too() -> None:
    """The batch can't be stopped, but nobody waits for it, and what comes of it is nobody's."""
    harness, token = scripted(), CancelToken()
    engine = harness.engine(1)
    engine.start()
    harness.model.free.clear()
    with engine.open(a_listener(cancel=token, options=ENGLISH)) as hearing:
        future = hearing.submit(harness.speech())
        assert harness.model.reached.wait(TIMEOUT_S)
        token.cancel(JobCancelled("by the user"))
        with pytest.raises(JobCancelled):
            future.result(timeout=0)
    harness.model.free.set()
    with engine.open(a_listener()) as other:
        assert text(other.submit(harness.speech(1)).result(TIMEOUT_S))
    engine.close()


def test_what_waits_for_its_language_is_handed_back_when_the_engine_closes() -> None:
    """Nothing of it is in any queue then."""
    harness = scripted()
    engine = harness.engine(1)
    engine.start()
    with engine.open(a_listener(options=UNCLEAR)) as hearing:
        future = hearing.submit(harness.speech())
        with engine.open(a_listener()) as other:
            other.submit(harness.speech()).result(TIMEOUT_S)  # by then the first one was heard
        assert not future.done()
        engine.close()
        with pytest.raises(HandBack):
            future.result(timeout=0)


@pytest.mark.model
def test_a_files_text_is_the_same_alone_and_among_others(spoken: SpokenHarness) -> None:
    """Whatever the order and the company, as long as windows are padded in full; more of it in tests/slow."""
    names = ("ferry-notice.wav", "water-meter.wav", "herbstgarten.flac", "mercado.ogg")
    windows = {name: a_window(pcm=decoded(PROJECT / "demo" / "recordings" / name)) for name in names}
    engine = spoken.engine(1, max_batch_windows=4, max_batch_s=600.0, window_padding="full")
    engine.start()
    alone = {name: _hear_all(engine, [window])[0] for name, window in windows.items()}
    for seed in range(2):
        mix = random.Random(seed).sample(names, len(names))
        spoken.model.free.clear()  # so that they meet in batches
        together = _hear_all(engine, [windows[name] for name in mix], spoken.model.free.set)
        assert dict(zip(mix, together, strict=True)) == alone
    assert max(spoken.model.batches) >= 3, spoken.model.batches
    engine.close()


def _hear_all(
    engine: SpeechEngine, windows: Sequence[Window], then: Callable[[], None] = lambda: None
) -> list[tuple[str, str | None]]:
    """Text and language of files of one window each, heard at the same time; `then`: once all are submitted."""
    with ExitStack() as files:
        futures = []
        for window in windows:
            hearing = files.enter_context(engine.open(a_listener()))
            futures.append(hearing.submit(window))
            hearing.finish()
        then()
        heard = [future.result(TIMEOUT_S) for future in futures]
    return [(text(one), one.language) for one in heard]


def test_no_thread_is_left_behind() -> None:
    """Runs last in this module: every engine above was closed."""
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine-")]
