"""From a row's tokens to words with times, as faster-whisper finds them."""

from math import ceil
from typing import Any

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ, Pcm
from transcriber_worker.domain.transcript import Word
from transcriber_worker.inference.batched.rows import FRAME_S

_PREPENDED = "\"'“¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"
"""Marks that stick to the word after and before them: faster-whisper's defaults."""


def words_of(whisper: Any, tokenizer: Any, states: Any, tokens: list[int], pcm: Pcm) -> tuple[Word, ...]:
    """The words of one row; times in seconds into its `pcm`. `whisper`: faster-whisper's `WhisperModel`; `tokenizer`:
    its `Tokenizer` for the row's language and task; `states`: `StorageView`, (1, frames / 2, d).

    Rows are aligned one by one. CTranslate2 aligns a batch with its texts padded to the longest and normalises over
    the padding too, so that a word's time would depend on what else is in the batch; on a CPU it takes a third longer
    besides, and a copy of the vocabulary's logits for each token and row.
    """
    duration_s = len(pcm) / SAMPLE_RATE_HZ
    # Whole seconds, as faster-whisper's batched pipeline counts, and at least one: nothing less can be aligned.
    frames = min(max(1, ceil(duration_s)) * round(1 / FRAME_S), 2 * states.shape[1])
    phrase: dict[str, Any] = {"seek": 0, "start": 0.0, "end": duration_s, "tokens": tokens}
    whisper.add_word_timestamps([[phrase]], tokenizer, states, [frames], _PREPENDED, _APPENDED, 0.0)

    def inside(time_s: float) -> float:
        return min(max(round(float(time_s), 2), 0.0), duration_s)  # the model's own step is 0.02 s

    return tuple(
        Word(inside(w["start"]), inside(w["end"]), w["word"], float(w["probability"])) for w in phrase["words"]
    )
