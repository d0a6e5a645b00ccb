"""One row of a batch: a stretch of audio to be decoded once, and what the model said of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from transcriber_worker.domain.audio import Pcm
from transcriber_worker.domain.job import Task
from transcriber_worker.domain.transcript import Word

FRAME_S = 0.01
FULL_FRAMES = 3000
"""Whisper was trained on 30 s."""

CANDIDATES = 5
"""faster-whisper's `best_of`: texts sampled at a temperature, the most probable of which is taken."""

Ranking = Sequence[tuple[str, float]]
"""Languages with their probabilities, the most probable first."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a row is decoded. The model decodes rows of one recipe together, whatever their languages and tasks."""

    prompt_tokens: int = 0
    """Length of the text before, in tokens."""
    timestamps: bool = False
    """Whether the model writes its own timestamps between the words."""
    temperature: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What the model is asked."""

    pcm: Pcm
    """int16, (n,), mono 16 kHz, at most 30 s: stretches of speech one after another."""
    frames: int
    """Least encoder input, in frames of 10 ms: `FULL_FRAMES`, or less where windows are padded adaptively."""
    recipe: Recipe
    task: Task
    prompt: tuple[int, ...]
    """Tokens of the text before, `recipe.prompt_tokens` of them."""
    language: str | None
    """None: ask `choose_language`."""
    choose_language: Callable[[Ranking], str]
    """Told of the ranking found in this row, says which language to decode it in. Called once, on the engine's thread,
    before decoding, only where `language` is None."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the model said of a row."""

    language: str
    ranking: Ranking
    """Empty where the language was given."""
    text: str
    tokens: int
    """Text tokens."""
    words: tuple[Word, ...]
    """Times in seconds into the row's `pcm`; put together they are the text."""
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    recipe: Recipe


class BatchModel(Protocol):
    """A loaded model with several workers; as many calls run at once as it has workers."""

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        """Decode rows of one recipe, padded to the longest `frames` among them. Encodes each once; language and words
        come from the same encoding. Raises `AcceleratorOutOfMemory`, `WorkerBroken`, and whatever a single row may
        cause."""
        ...
