"""The gate on words behind prompts, as far as it is quick: terms are spelled as asked, and nothing that only stood
before the audio is taken for something that was said."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from tests.prompted import RUNTIME, Prompted, music, occurrences, recording, white_noise
from tests.speech import MODELS, a_listener, a_window
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.job import SpeechOptions
from transcriber_worker.inference.batched.engine import BatchedEngine
from transcriber_worker.inference.batched.lengths import frames_for
from transcriber_worker.inference.batched.prompts import LENGTHS
from transcriber_worker.inference.batched.prose import PROSE
from transcriber_worker.inference.model_files import resolve
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import EngineSettings, ModelSettings
from transcriber_worker.tools.bench.word_errors import word_errors
from transcriber_worker.transcript.wording import tokens

pytestmark = pytest.mark.model
TIMEOUT_S = 120.0
UNSPOKEN = ("Kubernetes", "Okonkwo", "metoprolol", "Szymborska", "Terraform")
TALK = "A talk about typography and the early printers of Mainz, by Peter Schoeffer."


@pytest.fixture(scope="module")
def prompted() -> Prompted:
    return Prompted()


@pytest.fixture(scope="module")
def engine() -> Iterator[BatchedEngine]:
    engine = BatchedEngine(
        ModelSettings(cache_dir=MODELS),
        EngineSettings(),
        lambda: resolve(ModelSettings(cache_dir=MODELS), print),
        cores=RUNTIME.cpu_threads,
        memory_bytes=8 << 30,
        clock=SystemClock(),
        metrics=Metrics(CollectorRegistry()),
    )
    engine.start()
    yield engine
    engine.close()


def heard(engine: BatchedEngine, pcm: Pcm, options: SpeechOptions) -> str:
    with engine.open(a_listener(options=options)) as hearing:
        future = hearing.submit(a_window(pcm=pcm))
        hearing.finish()
        return "".join(segment.text for segment in future.result(TIMEOUT_S).segments)


def test_the_pieces_of_prose_have_the_tokens_that_the_model_has_for_them_as_a_whole(prompted: Prompted) -> None:
    """They are counted word by word."""
    for prose in PROSE.values():
        together = tuple(token for word in prose.split() for token in prompted.model.encode_text(word))
        assert together == prompted.model.encode_text(prose)


@pytest.mark.parametrize("language", [*PROSE, None])
def test_every_number_of_tokens_is_brought_to_a_common_length_on_the_models_own_tokenizer(
    prompted: Prompted, language: str | None
) -> None:
    one = " a"
    exact = [
        count
        for count in range(1, LENGTHS[-1])
        if len(prompted.book.fitted(one * count, (), language).tokens) not in LENGTHS
    ]
    assert exact == list(range(LENGTHS[-1] - 7, LENGTHS[-1]))


def test_terms_are_spelled_as_asked_behind_prose_too(prompted: Prompted) -> None:
    notice = recording("ferry-notice.wav")
    terms = ("South-Pier", "North-Pier")
    behind_prose = prompted.book.fitted(None, terms, "en").tokens

    alone = prompted.text(notice, ())
    exact = prompted.text(notice, prompted.exact(terms))
    padded = prompted.text(notice, behind_prose)

    assert len(behind_prose) in LENGTHS
    assert [[occurrences(term, text) for term in terms] for text in (alone, exact, padded)] == [[0, 0], [1, 1], [1, 1]]
    assert word_errors(notice.text, padded).edits <= word_errors(notice.text, alone).edits


@pytest.mark.parametrize("name", ["water-meter.wav", "herbstgarten.flac"])
def test_terms_that_nobody_speaks_cost_no_words_and_do_not_appear(prompted: Prompted, name: str) -> None:
    one = recording(name)
    alone = prompted.hear(one, (), UNSPOKEN)
    behind_prose = prompted.hear(one, prompted.book.fitted(None, UNSPOKEN, one.language).tokens, UNSPOKEN)

    assert behind_prose.leaked == ()
    assert behind_prose.errors.edits <= alone.errors.edits


SOUNDS = {"noise": white_noise(12.0), "quiet noise": white_noise(4.0, 0.01), "music": music(29.0)}
"""All of them make the model write what stood before, with one or the other of the prompts below."""


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize(
    "options",
    [SpeechOptions(language="en", hotwords=UNSPOKEN), SpeechOptions(language="en", prompt=TALK)],
    ids=["hotwords", "prompt"],
)
def test_what_stood_before_is_not_taken_for_speech_where_nobody_speaks(
    engine: BatchedEngine, sound: str, options: SpeechOptions
) -> None:
    text = heard(engine, SOUNDS[sound], options)

    assert not [term for term in UNSPOKEN if occurrences(term, text)]
    before = {token.key for token in tokens(" ".join((PROSE["en"], TALK)))}
    spoken = [token.key for token in tokens(text)]
    assert not spoken or sum(key in before for key in spoken) < len(spoken) / 2


def test_a_term_that_is_all_that_is_said_is_no_echo(engine: BatchedEngine) -> None:
    """It looks like one; without its prompt it is spelled otherwise, but what is said is the same."""
    pcm = recording("ferry-notice.wav").windows[0][-round(1.6 * SAMPLE_RATE_HZ) :]
    term = "and mind the wet-steps"

    unprompted = heard(engine, pcm, SpeechOptions(language="en"))
    prompted = heard(engine, pcm, SpeechOptions(language="en", hotwords=(term, "Kubernetes")))

    assert (occurrences(term, unprompted), occurrences(term, prompted)) == (0, 1)


@pytest.mark.parametrize("seconds", [1.0, 2.5, 5.0, 12.0])
def test_short_clips_are_heard_alike_with_less_silence_behind_them(prompted: Prompted, seconds: float) -> None:
    notice = recording("good-bread.mp3").windows[0]
    clip = notice[: round(seconds * SAMPLE_RATE_HZ)]
    (full,) = prompted.decode([clip], "en")
    (adaptive,) = prompted.decode([clip], "en", frames=lambda pcm: frames_for(len(pcm), "adaptive"))
    assert adaptive.compression_ratio < 2.4
    assert adaptive.tokens <= full.tokens + 3
