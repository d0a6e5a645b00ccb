"""The batching engine's model on the real small model: what faster-whisper says of a chunk, in whatever company."""

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_whisper import BatchedInferencePipeline, WhisperModel
from prometheus_client import CollectorRegistry

from tests.speech import MODELS, PROJECT, decoded
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.domain.job import Task
from transcriber_worker.inference import loading
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.encoder import mel_features
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.rows import CANDIDATES, FULL_FRAMES, Decoded, Ranking, Recipe, Row
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_catalogue import CATALOGUE, WEIGHTS
from transcriber_worker.inference.model_files import ModelFiles, resolve
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import ModelSettings

pytestmark = pytest.mark.model
TIMEOUT_S = 120.0
PLAIN = Recipe()
CPU = Runtime(device="cpu", compute_type="int8", beam_size=5, workers=2, cpu_threads=1)
GREEDY = Runtime(device="cpu", compute_type="int8", beam_size=1, workers=1, cpu_threads=1)
FERRY, BREAD, GARDEN, MARKET, METER = (
    "ferry-notice.wav",
    "good-bread.mp3",
    "herbstgarten.flac",
    "mercado.ogg",
    "water-meter.wav",
)


@cache
def heard(name: str) -> Pcm:
    return decoded(PROJECT / "demo" / "recordings" / name)


def after_a_pause(pcm: Pcm) -> Pcm:
    """Where a first word reaches back over the pause, faster-whisper shortens it."""
    return np.concatenate([np.zeros(2 * SAMPLE_RATE_HZ, np.int16), pcm])


def most_probable(ranking: Ranking) -> str:
    return ranking[0][0]


def a_row(
    pcm: Pcm,
    language: str | None = "en",
    *,
    frames: int = FULL_FRAMES,
    recipe: Recipe = PLAIN,
    task: Task = Task.TRANSCRIBE,
    prompt: tuple[int, ...] = (),
    choose: Callable[[Ranking], str] = most_probable,
) -> Row:
    return Row(pcm, frames, recipe, task, prompt, language, choose)


@pytest.fixture(scope="module")
def base_files() -> ModelFiles:
    return resolve(ModelSettings(cache_dir=MODELS), print)


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture(scope="module")
def meter(metrics: Metrics) -> Meter:
    return Meter(metrics, SystemClock())


@pytest.fixture(scope="module")
def model(base_files: ModelFiles, meter: Meter) -> WhisperBatchModel:
    return WhisperBatchModel.load(base_files, CPU, meter)


@pytest.fixture(scope="module")
def reference(base_files: ModelFiles) -> WhisperModel:
    return WhisperModel(str(base_files.path), device="cpu", compute_type="int8", cpu_threads=1)


def batched(reference: WhisperModel, pcm: Pcm, **options: Any) -> list[Any]:
    """The chunk as one window of faster-whisper's batched pipeline."""
    pipeline = BatchedInferencePipeline(reference)
    samples = pcm.astype(np.float32) / 32768.0
    return list(pipeline.transcribe(samples, vad_filter=False, word_timestamps=True, **options)[0])


def spans(segments: Sequence[Any]) -> list[tuple[str, float, float, float]]:
    return [(word.word, word.start, word.end, word.probability) for segment in segments for word in segment.words]


def spans_of(row: Decoded) -> list[tuple[str, float, float, float]]:
    return [(word.text, word.start_s, word.end_s, word.probability) for word in row.words]


class Watched:
    """A CTranslate2 model of which every call is remembered, or fails on purpose."""

    def __init__(self, model: Any, failing: str = "", error: Exception | None = None) -> None:
        self._model = model
        self._failing = failing
        self._error = error
        self.calls: dict[str, list[dict[str, Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._model, name)
        if not callable(real):
            return real

        def call(*args: Any, **options: Any) -> Any:
            self.calls.setdefault(name, []).append(options)
            if name == self._failing and self._error is not None:
                raise self._error
            return real(*args, **options)

        return call


def watch(monkeypatch: pytest.MonkeyPatch, whisper: Any, failing: str = "", error: Exception | None = None) -> Watched:
    watched = Watched(whisper.model, failing, error)
    monkeypatch.setattr(whisper, "model", watched)
    return watched


@pytest.mark.parametrize("runtime", [CPU, GREEDY], ids=["beam 5", "beam 1"])
def test_a_row_is_what_the_batched_pipeline_makes_of_the_chunk(
    base_files: ModelFiles, meter: Meter, reference: WhisperModel, runtime: Runtime
) -> None:
    """All of it, to the last digit: text, words, times and figures."""
    model = WhisperBatchModel.load(base_files, runtime, meter)
    chunks = [(heard(FERRY), "en"), (after_a_pause(heard(BREAD)), "en"), (heard(GARDEN), "de")]
    rows = model.decode([a_row(pcm, language) for pcm, language in chunks])
    for row, (pcm, language) in zip(rows, chunks, strict=True):
        (expected,) = batched(reference, pcm, language=language, beam_size=runtime.beam_size)
        assert row.text == expected.text
        assert spans_of(row) == spans([expected])
        figures = (row.avg_logprob, row.no_speech_prob, row.compression_ratio, row.tokens)
        assert figures == (
            expected.avg_logprob,
            expected.no_speech_prob,
            expected.compression_ratio,
            len(expected.tokens),
        )


@pytest.mark.parametrize("samples", [None, 70_001, 1600, 100, 1], ids=lambda samples: f"{samples} samples")
def test_features_are_the_batched_pipelines_to_the_bit(
    monkeypatch: pytest.MonkeyPatch, reference: WhisperModel, samples: int | None
) -> None:
    pcm = heard(FERRY)[10_000:][:samples]
    given: list[Any] = []
    encode = reference.encode

    def noting(features: Any) -> Any:
        given.append(features)
        return encode(features)

    monkeypatch.setattr(reference, "encode", noting)
    batched(reference, pcm, language="en", beam_size=1)
    ours = mel_features(reference.feature_extractor, [heard(GARDEN), pcm], FULL_FRAMES)
    assert np.array_equal(given[0][0], ours[1])


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_the_decoder_is_asked_as_faster_whisper_asks_it(
    monkeypatch: pytest.MonkeyPatch, model: WhisperBatchModel, reference: WhisperModel, temperature: float
) -> None:
    pcm = heard(FERRY)[: 2 * SAMPLE_RATE_HZ]
    theirs = watch(monkeypatch, reference)
    list(reference.transcribe(pcm.astype(np.float32) / 32768.0, language="en", temperature=[temperature])[0])
    ours = watch(monkeypatch, model._loaded.whisper)
    (row,) = model.decode([a_row(pcm, recipe=Recipe(timestamps=True, temperature=temperature))])
    assert ours.calls["generate"] == theirs.calls["generate"][:1]
    assert row.recipe.temperature == temperature


def test_languages_and_tasks_share_a_batch(model: WhisperBatchModel) -> None:
    """Among them rows that do not know their language yet: each is what it is alone."""
    rows = [
        a_row(heard(GARDEN), None),
        a_row(heard(FERRY)),
        a_row(heard(GARDEN), "de", task=Task.TRANSLATE),
        a_row(heard(MARKET), None, task=Task.TRANSLATE),
        a_row(heard(MARKET), "es"),
    ]
    together = model.decode(rows)
    assert together == [model.decode([row])[0] for row in rows]
    assert [row.language for row in together] == ["de", "en", "de", "es", "es"]
    assert [len(row.ranking) > 1 for row in together] == [True, False, False, True, False]
    assert "Garten" in together[0].text
    assert "garden" in together[2].text
    assert "market" in together[3].text
    assert "mercado" in together[4].text.lower()


def test_a_row_is_decoded_in_the_language_that_is_chosen_for_it(
    model: WhisperBatchModel, reference: WhisperModel
) -> None:
    asked: list[Ranking] = []

    def choose(ranking: Ranking) -> str:
        asked.append(ranking)
        return "es"

    rows = model.decode([a_row(heard(FERRY)), a_row(heard(GARDEN), None, choose=choose)])
    assert rows[1].language == "es"
    assert [rows[1].ranking] == asked
    samples = heard(GARDEN).astype(np.float32) / 32768.0
    language, probability, _ = reference.detect_language(samples)
    assert asked[0][0][0] == language
    assert asked[0][0][1] == pytest.approx(probability, abs=0.01)  # it hears one frame more than is decoded from
    assert sum(share for _, share in asked[0]) == pytest.approx(1.0, abs=1e-3)
    assert {code for code, _ in asked[0]} == set(model.languages)


def test_a_prompt_is_the_text_before(model: WhisperBatchModel, reference: WhisperModel) -> None:
    text = "The notice was read by Mrs Okonkwo of the Lindholm line."
    prompt = model.encode_text(text)
    recipe = Recipe(prompt_tokens=len(prompt))
    rows = [a_row(heard(name), recipe=recipe, prompt=prompt) for name in (METER, FERRY)]
    (expected,) = batched(reference, heard(FERRY), language="en", initial_prompt=f" {text}")
    row = model.decode(rows)[1]
    assert (row.text, spans_of(row)) == (expected.text, spans([expected]))
    assert row.avg_logprob == expected.avg_logprob
    (without,) = model.decode([a_row(heard(FERRY))])
    assert row.avg_logprob != without.avg_logprob


def test_the_models_own_timestamps_stay_out_of_the_text(model: WhisperBatchModel, reference: WhisperModel) -> None:
    rows = model.decode([a_row(heard(name), recipe=Recipe(timestamps=True)) for name in (BREAD, FERRY)])
    expected = batched(reference, heard(BREAD), language="en", without_timestamps=False)
    assert rows[0].text == "".join(segment.text for segment in expected)
    assert len(rows[0].words) == sum(len(segment.words) for segment in expected)
    assert rows[0].tokens < sum(len(segment.tokens) for segment in expected)
    assert rows[0].avg_logprob == expected[0].avg_logprob
    assert rows[0].recipe == Recipe(timestamps=True)


def test_a_row_is_the_same_in_any_company(model: WhisperBatchModel) -> None:
    """Batches of one to eight, the row at either end and in the middle; words and times to the last digit."""
    row = a_row(after_a_pause(heard(FERRY)))
    others = [
        a_row(heard(BREAD)),
        a_row(heard(GARDEN)[: 6 * SAMPLE_RATE_HZ], "de"),
        a_row(heard(METER)),
        a_row(np.zeros(SAMPLE_RATE_HZ, np.int16)),
        a_row(heard(MARKET), None),
        a_row(heard(FERRY)[: 3 * SAMPLE_RATE_HZ]),
        a_row(heard(METER)[5 * SAMPLE_RATE_HZ :]),
    ]
    (alone,) = model.decode([row])
    for size, place in ((2, 1), (3, 0), (5, 3), (8, 7)):
        company = others[8 - size :] if size % 2 else others[: size - 1]
        batch = [*company[:place], row, *company[place:]]
        assert model.decode(batch)[place] == alone


def test_rows_may_be_shorter_than_the_model_was_trained_on(model: WhisperBatchModel) -> None:
    """Padded to the longest among them; a row that needs more than it asks for is never cut off."""
    (full,) = model.decode([a_row(heard(FERRY))])
    short, longer = model.decode([a_row(heard(FERRY), frames=1000), a_row(heard(METER), frames=1800)])
    assert short.text == full.text
    assert "meter" in longer.text
    (too_short,) = model.decode([a_row(heard(METER), frames=400)])
    assert too_short.words[0].text == longer.words[0].text
    assert too_short.words[-1].end_s > 13.0


@pytest.mark.parametrize("samples", [0, 1, 100, 159, 4000])
def test_next_to_nothing_can_be_decoded(model: WhisperBatchModel, samples: int) -> None:
    row, other = model.decode([a_row(heard(FERRY)[20_000:][:samples], None), a_row(heard(FERRY))])
    assert all(0.0 <= word.start_s <= word.end_s <= samples / SAMPLE_RATE_HZ for word in row.words)
    assert row.text == "".join(word.text for word in row.words)
    assert "ferry" in other.text.lower()


class Unblanked:
    """A CTranslate2 model that may end a text before it began."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, *args: Any, **options: Any) -> Any:
        return self._model.generate(*args, **{**options, "suppress_blank": False})


def mute(monkeypatch: pytest.MonkeyPatch, model: WhisperBatchModel) -> None:
    """Forbid every token but the one that ends a text."""
    end = model._loaded.whisper.hf_tokenizer.token_to_id("<|endoftext|>")
    others = [token for token in range(model._dimensions.vocabulary) if token != end]
    monkeypatch.setattr(model._decoder, "_suppressed", others)
    monkeypatch.setattr(model._loaded.whisper, "model", Unblanked(model._loaded.whisper.model))


def test_a_row_without_text_has_no_words(monkeypatch: pytest.MonkeyPatch, model: WhisperBatchModel) -> None:
    mute(monkeypatch, model)
    for row in model.decode([a_row(heard(FERRY)), a_row(heard(GARDEN), None)]):
        assert (row.text, row.words, row.tokens, row.compression_ratio) == ("", (), 0, 0.0)
        assert row.no_speech_prob < 0.5


def test_two_threads_decode_at_once(model: WhisperBatchModel) -> None:
    batches = [[a_row(heard(FERRY)), a_row(heard(GARDEN), None)], [a_row(heard(METER)), a_row(heard(MARKET), "es")]]
    expected = [model.decode(batch) for batch in batches]
    got: list[Any] = [None, None]
    meeting = threading.Barrier(2)

    def work(number: int) -> None:
        meeting.wait(TIMEOUT_S)
        got[number] = model.decode(batches[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert got == expected


def test_phases_are_counted(model: WhisperBatchModel, metrics: Metrics) -> None:
    def seconds() -> dict[str, float]:
        return {
            phase: metrics.registry.get_sample_value("transcriber_engine_phase_seconds_total", {"phase": phase}) or 0.0
            for phase in ("features", "encode", "language", "decode", "align")
        }

    def counted(language: str | None) -> set[str]:
        before = seconds()
        model.decode([a_row(heard(FERRY), language)])
        return {phase for phase, total in seconds().items() if total > before[phase]}

    assert counted("en") == {"features", "encode", "decode", "align"}
    assert counted(None) == {"features", "encode", "language", "decode", "align"}


@pytest.mark.parametrize("call", ["encode", "detect_language", "generate", "align"])
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (RuntimeError("CUDA failed with error out of memory"), AcceleratorOutOfMemory),
        (RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"), AcceleratorOutOfMemory),
        (MemoryError("std::bad_alloc"), AcceleratorOutOfMemory),
        (RuntimeError("CUDA failed with error an illegal memory access was encountered"), WorkerBroken),
        (RuntimeError("something else"), RuntimeError),
        (ValueError("no such token"), ValueError),
    ],
    ids=lambda value: str(value)[:40],
)
def test_failures_say_what_the_engine_does_next(
    monkeypatch: pytest.MonkeyPatch,
    model: WhisperBatchModel,
    call: str,
    raised: Exception,
    expected: type[Exception],
) -> None:
    watch(monkeypatch, model._loaded.whisper, call, raised)
    with pytest.raises(expected) as caught:
        model.decode([a_row(heard(FERRY)[: 2 * SAMPLE_RATE_HZ], None, frames=400)])
    assert type(caught.value) is expected
    assert str(raised) in str(caught.value)


def test_a_batch_is_of_one_recipe(model: WhisperBatchModel) -> None:
    """Of two temperatures only one would be heard."""
    with pytest.raises(ValueError, match="several recipes"):
        model.decode([a_row(heard(FERRY)), a_row(heard(FERRY), recipe=Recipe(temperature=0.2))])


def test_more_than_the_model_hears_at_once_is_refused(model: WhisperBatchModel) -> None:
    """Rather than cut off in silence."""
    with pytest.raises(ValueError, match=r"30\.1 s"):
        model.decode([a_row(np.zeros(round(30.1 * SAMPLE_RATE_HZ), np.int16))])


PEAK = """
import sys
from pathlib import Path
from tests.integration.test_batch_model import BREAD, CPU, a_row, heard
from tests.peak_memory import peak_bytes
from prometheus_client import CollectorRegistry
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.observability.metrics import Metrics

files = ModelFiles("base", Path(sys.argv[1]), "")
model = WhisperBatchModel.load(files, CPU, Meter(Metrics(CollectorRegistry()), SystemClock()))
rows = [a_row(heard(BREAD))] * 8
loaded = peak_bytes(lambda: None)
print(peak_bytes(lambda: model._longest_texts(rows)) - loaded, model.row_bytes(3000) * len(rows))
"""


def test_the_memory_of_a_row_is_known_beforehand(base_files: ModelFiles) -> None:
    """In a process of its own: eight rows at beam 5, and as many sampled as then fit, with texts and prompts as long as
    they may get, take what was said, give or take half."""
    command = [sys.executable, "-c", PEAK, str(base_files.path)]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stderr
    measured, estimated = map(int, run.stdout.split())
    assert 1 / 1.5 <= measured / estimated <= 1.5, (measured, estimated)


def test_the_size_of_the_encoder_is_known_by_name(base_files: ModelFiles) -> None:
    """The file holds its number of heads too."""
    found = Dimensions.read(base_files.path / WEIGHTS).encoder_parameters
    assert found == CATALOGUE["base"].encoder_parameters + 1


def test_a_shorter_row_is_known_to_need_less(model: WhisperBatchModel) -> None:
    assert model.row_bytes(1000) < 0.7 * model.row_bytes(FULL_FRAMES)


def test_rows_are_sampled_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch, model: WhisperBatchModel) -> None:
    """Each with five texts at once, for each of which CTranslate2 repeats the keys and values of its states: all rows
    of a batch together would take a multiple of what was found to fit."""
    watched = watch(monkeypatch, model._loaded.whisper)
    rows = [a_row(heard(FERRY)[: 16_000 * (n + 1)], recipe=Recipe(temperature=0.2)) for n in range(4)]
    sampled = model.decode(rows)
    assert 2 <= len(watched.calls["generate"]) <= 4
    assert all(options["num_hypotheses"] == CANDIDATES for options in watched.calls["generate"])
    assert [len(row.words) for row in sampled] == sorted(len(row.words) for row in sampled)
    watched.calls.clear()
    monkeypatch.setattr(model, "_tried_rows", 40)
    model.decode(rows)
    assert len(watched.calls["generate"]) == 1


class TestWarmUp:
    def test_it_decodes_as_large_a_batch_as_it_is_told(
        self, monkeypatch: pytest.MonkeyPatch, model: WhisperBatchModel
    ) -> None:
        watched = watch(monkeypatch, model._loaded.whisper)
        model.warm_up(3)
        assert len(watched.calls["align"]) == 3
        assert len(watched.calls["generate"]) == 1

    def test_on_a_gpu_it_also_decodes_texts_as_long_as_they_get(
        self, monkeypatch: pytest.MonkeyPatch, model: WhisperBatchModel
    ) -> None:
        """By the settings' beams, then sampled: what a batch can take at most is found out before there is a job."""
        monkeypatch.setattr(model, "_runtime", replace(CPU, device="cuda"))
        watched = watch(monkeypatch, model._loaded.whisper)
        said: list[int] = []
        generate = watched.generate

        def counting(*args: Any, **options: Any) -> Any:
            results = generate(*args, **options)
            said.extend(len(result.sequences_ids[0]) for result in results)
            return results

        monkeypatch.setattr(watched, "generate", counting, raising=False)
        model.warm_up(3)
        calls = watched.calls["generate"]
        assert [(options["beam_size"], options.get("num_hypotheses")) for options in calls] == [
            (5, None),
            (5, None),
            (1, CANDIDATES),
        ]
        assert max(said[:3]) < 50
        assert set(said[3:]) == {221}  # what so long a prompt leaves of 448
        assert 6 < len(said) < 9

    def test_a_model_that_hears_nothing_is_not_let_to_work(
        self, monkeypatch: pytest.MonkeyPatch, model: WhisperBatchModel
    ) -> None:
        """As a GPU build does that does not fit its driver."""
        mute(monkeypatch, model)
        with pytest.raises(
            WorkerBroken, match=r"heard nothing in a clear sentence on cpu as int8.*driver of at least 570"
        ):
            model.warm_up(1)

    def test_too_large_a_batch_is_told_from_a_model_that_does_not_run(
        self, monkeypatch: pytest.MonkeyPatch, model: WhisperBatchModel
    ) -> None:
        with monkeypatch.context() as patch:
            watch(patch, model._loaded.whisper, "generate", RuntimeError("CUDA failed with error out of memory"))
            with pytest.raises(AcceleratorOutOfMemory):
                model.warm_up(2)
        missing = RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")
        watch(monkeypatch, model._loaded.whisper, "generate", missing)
        with pytest.raises(WorkerBroken, match=r"does not run on cpu.*libcublas.*transcriber-worker\[cuda\]"):
            model.warm_up(2)


def test_a_model_that_cannot_be_loaded_says_so(base_files: ModelFiles, meter: Meter, tmp_path: Path) -> None:
    for file in base_files.path.iterdir():
        (tmp_path / file.name).symlink_to(file.resolve())
    (tmp_path / "preprocessor_config.json").write_text('{"feature_size": 128}')
    with pytest.raises(WorkerBroken, match=r"80 mel bands.*128"):
        WhisperBatchModel.load(ModelFiles("mine", tmp_path, "0" * 64), CPU, meter)
    (tmp_path / "model.bin").unlink()
    (tmp_path / "model.bin").write_bytes(b"not a model at all")
    with pytest.raises(WorkerBroken, match="does not run on cpu as int8"):
        WhisperBatchModel.load(ModelFiles("mine", tmp_path, "0" * 64), CPU, meter)


def test_both_engines_make_the_same_of_a_prompt(model: WhisperBatchModel, base_files: ModelFiles) -> None:
    text = "  Zeppelin, Żółw  "
    tokens = model.encode_text(text)
    assert model._loaded.whisper.hf_tokenizer.decode(list(tokens)) == " Zeppelin, Żółw"
    assert model.count_text(tokens) == len(tokens)
    assert model.count_text(model.encode_text("<|en|>")) < len(model.encode_text("<|en|>"))
    assert isinstance(model.languages, tuple)
    assert loading.pick_device("cpu", "auto") == ("cpu", "int8")
