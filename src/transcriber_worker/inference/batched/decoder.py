"""From the encoder's states to languages and tokens, with faster-whisper's defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from transcriber_worker.domain.job import Task
from transcriber_worker.inference.batched.rows import CANDIDATES, Ranking, Recipe

_MAX_INITIAL_TIMESTAMP = 50
"""The first timestamp is within the first second: faster-whisper's 1.0 s, in the model's steps of 0.02 s."""

_ENGLISH_ONLY: Ranking = (("en", 1.0),)


@dataclass(frozen=True, slots=True)
class Said:
    """What the model wrote for one row."""

    tokens: list[int]
    """Without the prompt; timestamps among them where the recipe has them."""
    avg_logprob: float
    no_speech_prob: float


class Decoder:
    """Thread-safe: as many calls run at once as the model has workers. `whisper`: faster-whisper's `WhisperModel`."""

    def __init__(self, whisper: Any, beam_size: int) -> None:
        self._whisper = whisper
        self._beam_size = beam_size
        self._tokenizers: dict[tuple[str, Task], Any] = {}
        any_language = self.tokenizer("en", Task.TRANSCRIBE)
        self._suppressed = get_suppressed_tokens(any_language, [-1])
        self._end: int = any_language.eot

    def tokenizer(self, language: str, task: Task) -> Any:
        """faster-whisper's `Tokenizer` for rows in this language and task."""
        known = self._tokenizers.get((language, task))
        if known is None:
            multilingual = self._whisper.model.is_multilingual
            known = Tokenizer(self._whisper.hf_tokenizer, multilingual, task=task.value, language=language)
            self._tokenizers[language, task] = known
        return known

    def rankings(self, states: Any, rows: int) -> list[Ranking]:
        """The languages that each of the rows may be in. `states`: `StorageView`, (rows, frames / 2, d)."""
        if not self._whisper.model.is_multilingual:
            return [_ENGLISH_ONLY] * rows
        found = self._whisper.model.detect_language(states)
        return [tuple((token[2:-2], float(probability)) for token, probability in row) for row in found]

    def prompt(self, tokenizer: Any, previous: Sequence[int], recipe: Recipe) -> list[int]:
        """What a row's text follows: the text before, the language, the task. `previous`: at most 223 tokens."""
        prompt: list[int] = self._whisper.get_prompt(
            tokenizer, list(previous), without_timestamps=not recipe.timestamps
        )
        return prompt

    def say(self, states: Any, prompts: Sequence[list[int]], recipe: Recipe, *, endless: bool = False) -> list[Said]:
        """Decode rows together, whatever their languages and tasks; the prompts are of one length. `endless`: no text
        ends before it is as long as texts may get."""
        if recipe.temperature > 0:
            manner = {
                "beam_size": 1,
                "num_hypotheses": CANDIDATES,
                "sampling_topk": 0,
                "sampling_temperature": recipe.temperature,
            }
        else:
            manner = {"beam_size": self._beam_size, "patience": 1}
        results = self._whisper.model.generate(
            states,
            list(prompts),
            length_penalty=1,
            repetition_penalty=1,
            no_repeat_ngram_size=0,
            # CTranslate2 adds no more than half of it, nor than what the prompt leaves: 224 tokens for 30 s.
            max_length=self._whisper.max_length,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=[*self._suppressed, self._end] if endless else self._suppressed,
            max_initial_timestamp_index=_MAX_INITIAL_TIMESTAMP,
            **manner,
        )
        return [_said(result) for result in results]


def _said(result: Any) -> Said:
    tokens = list(result.sequences_ids[0])
    # The score is the mean over the text's tokens; faster-whisper's figure counts the one that ends it too.
    log_probability = result.scores[0] * len(tokens) / (len(tokens) + 1)
    return Said(tokens, float(log_probability), float(result.no_speech_prob))
