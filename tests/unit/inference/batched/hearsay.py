"""Builders of what a model says of a row, and of windows with speech and pauses where a test wants them."""

from collections.abc import Callable, Sequence

from tests.speech import a_window
from transcriber_worker.domain.audio import Span, Window
from transcriber_worker.domain.transcript import Word
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import Decoded, Recipe
from transcriber_worker.inference.batched.window_work import WindowWork

PLAIN = Recipe()


def heard(
    text: str = "",
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    logprob: float = -0.2,
    no_speech: float = 0.01,
    compression: float = 1.3,
    recipe: Recipe = PLAIN,
    language: str = "en",
    ranking: Sequence[tuple[str, float]] = (),
    words: Sequence[Word] | None = None,
) -> Decoded:
    """`text` said evenly from `start_s` to `end_s` (half a second a word unless told) of the row's audio."""
    spoken = text.split()
    word_s = 0.5 if end_s is None or not spoken else (end_s - start_s) / len(spoken)
    evenly = [
        Word(start_s + at * word_s, start_s + (at + 1) * word_s, f" {word}", 0.9) for at, word in enumerate(spoken)
    ]
    return Decoded(
        language=language,
        ranking=tuple(ranking),
        text="".join(f" {word}" for word in spoken),
        tokens=len(spoken),
        words=tuple(evenly if words is None else words),
        avg_logprob=logprob,
        no_speech_prob=no_speech,
        compression_ratio=compression,
        recipe=recipe,
    )


def numbered(count: int, first: int = 0) -> str:
    """So many different words."""
    return " ".join(f"w{number}" for number in range(first, first + count))


def a_busy_window(
    seconds: float = 28.0, *, pauses: Sequence[tuple[float, float]] = (), core: Span | None = None, start_s: float = 0.0
) -> Window:
    """Speech all over, with these pauses in it (file time)."""
    window = a_window(seconds=seconds, start_s=start_s, core=core)
    return Window(
        window.index,
        None,
        window.core,
        window.pcm_start_s,
        window.pcm,
        window.speech,
        1.0,
        tuple(Span(*pause) for pause in pauses),
    )


def play(work: WindowWork, model: Callable[[Passage], Decoded | Exception]) -> list[Passage]:
    """Decode all that `work` asks for, first come first served; what was decoded."""
    waiting, played = list(work.begin()), []
    while waiting:
        passage = waiting.pop(0)
        said = model(passage)
        played.append(passage)
        more = work.failed(passage, said) if isinstance(said, Exception) else work.heard(passage, said)
        waiting.extend(more)
    assert work.done
    return played
