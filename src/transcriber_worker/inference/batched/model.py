"""The model of the batching engine: faster-whisper's features and words, CTranslate2's encoder and decoder."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
from faster_whisper.transcribe import get_compression_ratio

from transcriber_worker.domain.job import Task
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory, judged
from transcriber_worker.inference.batched.decoder import Decoder, Said
from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.encoder import Encoded
from transcriber_worker.inference.batched.encoders import encoder_for
from transcriber_worker.inference.batched.gpu_plan import Costs
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Decoded, Ranking, Recipe, Row
from transcriber_worker.inference.batched.words import words_of
from transcriber_worker.inference.loading import LoadedModel, Runtime, check_heard, explained, known_sentence
from transcriber_worker.inference.model_catalogue import WEIGHTS
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.inference.options import MAX_PROMPT_TOKENS
from transcriber_worker.observability.labels import EnginePhase
from transcriber_worker.settings import EncoderKind


class WhisperBatchModel:
    """A `BatchModel`. Thread-safe: as many batches are decoded at once as it has workers."""

    def __init__(self, files: ModelFiles, runtime: Runtime, meter: Meter) -> None:
        """To be called within `explained`; see `load`."""
        self._files = files
        self._runtime = runtime
        self._meter = meter
        self._loaded = LoadedModel(files, runtime)
        self._dimensions = Dimensions.read(files.path / WEIGHTS)
        self._encoder = encoder_for(files, self._loaded.whisper, runtime, meter)
        self._decoder = Decoder(self._loaded.whisper, runtime.beam_size)
        self._tried_rows = 0
        """Of the largest batch that is known to fit."""

    @classmethod
    def load(cls, files: ModelFiles, runtime: Runtime, meter: Meter) -> "WhisperBatchModel":
        """Load a model; raises `WorkerBroken` with what to install or set."""
        with explained(files, runtime):
            return cls(files, runtime, meter)

    @property
    def languages(self) -> tuple[str, ...]:
        return self._loaded.languages

    @property
    def compute_type(self) -> str:
        """What it really computes in."""
        return self._loaded.compute_type

    def encode_text(self, text: str) -> tuple[int, ...]:
        """The tokens of a prompt, as faster-whisper makes them."""
        return self._loaded.encode_text(text)

    def count_text(self, tokens: Sequence[int]) -> int:
        """How many of the tokens are text, neither timestamps nor control tokens."""
        return self._loaded.count_text(tokens)

    def row_bytes(self, frames: int) -> int:
        """Memory that one row of a batch needs in work, beside the weights."""
        costs = self._costs(frames)
        if self._runtime.device == "cpu" and not costs.torch_bytes:
            return costs.decoding_bytes  # CTranslate2 is asked to encode one row after another: that hardly counts
        return costs.row_bytes(self._runtime.workers)

    @property
    def fixed_bytes(self) -> int:
        """Memory that the model takes whatever the batches."""
        return self._costs(FULL_FRAMES).fixed_bytes

    @property
    def encoder(self) -> str:
        """What encodes: `ctranslate2` or `torch`."""
        return self._encoder.kind.value

    def release(self) -> None:
        """Hold back no memory of earlier batches from the next one."""
        self._encoder.out_of_memory()

    def warm_up(self, rows: int) -> None:
        """Decode a batch of a known sentence, as large as batches may get. Raises `WorkerBroken` with what to install
        or set where that fails or no words come out, and `AcceleratorOutOfMemory` where it is too large."""
        pcm = np.rint(known_sentence() * 32768.0).astype(np.int16)
        row = Row(pcm, FULL_FRAMES, Recipe(), Task.TRANSCRIBE, (), "en", lambda ranking: ranking[0][0])
        with explained(self._files, self._runtime):
            check_heard([min((d.text for d in self.decode([row] * rows)), key=len)], self._runtime)
            if self._runtime.device != "cpu":  # where memory is scarce: as much as a batch can ever take
                self._longest_texts([row] * rows)
        self._tried_rows = rows

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        """See `BatchModel`."""
        recipe = rows[0].recipe
        if any(row.recipe != recipe for row in rows):
            raise ValueError("rows of several recipes can't be decoded together")
        with self._judged(), closing(self._encoded(rows)) as encoded:
            return self._decode(rows, recipe, encoded)

    def _longest_texts(self, rows: Sequence[Row]) -> None:
        """Decode texts that do not end before they must, after as much text as may stand before: with beams, and as
        many as are sampled at once."""
        tokenizer = self._decoder.tokenizer("en", Task.TRANSCRIBE)
        before = self.encode_text("and so on" * MAX_PROMPT_TOKENS)[:MAX_PROMPT_TOKENS]
        prompt = self._decoder.prompt(tokenizer, before, Recipe(len(before)))
        with self._judged(), closing(self._encoded(rows)) as encoded:
            self._decoder.say(encoded.states, [prompt] * len(rows), Recipe(len(before)), endless=True)
            sampled = range(self._sampled_rows(len(rows)))
            sampling = Recipe(len(before), temperature=1.0)
            self._decoder.say(encoded.of(sampled), [prompt] * len(sampled), sampling, endless=True)

    def _encoded(self, rows: Sequence[Row]) -> Encoded:
        return self._encoder.encode([row.pcm for row in rows], max(row.frames for row in rows))

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """Raise what the accelerator's errors mean for the worker in their place."""
        try:
            yield
        except MemoryError as error:
            self._encoder.out_of_memory()
            raise AcceleratorOutOfMemory(f"the worker ran out of memory: {error}") from error
        except RuntimeError as error:
            reason = judged(error)
            if reason is error:
                raise
            if isinstance(reason, AcceleratorOutOfMemory):
                self._encoder.out_of_memory()
            raise reason from error

    def _costs(self, frames: int) -> Costs:
        torch = self._encoder.kind is EncoderKind.TORCH
        compute_type, beams = self.compute_type, self._runtime.beam_size
        if self._runtime.device == "cpu" and torch:  # which computes in float32 there, whatever CTranslate2 does
            compute_type = "float32"
        return Costs.of(self._dimensions, compute_type, beams, torch=torch, frames=frames)

    def _decode(self, rows: Sequence[Row], recipe: Recipe, encoded: Encoded) -> list[Decoded]:
        rankings = self._rankings(rows, encoded)
        languages = [_language(row, ranking) for row, ranking in zip(rows, rankings, strict=True)]
        tokenizers = [self._decoder.tokenizer(code, row.task) for code, row in zip(languages, rows, strict=True)]
        prompts = [self._decoder.prompt(t, row.prompt, recipe) for t, row in zip(tokenizers, rows, strict=True)]
        with self._meter.phase(EnginePhase.DECODE):
            said = self._said(encoded, prompts, recipe)
        with self._meter.phase(EnginePhase.ALIGN):
            return [
                self._decoded(row, said[index], languages[index], rankings[index], encoded.of([index]))
                for index, row in enumerate(rows)
            ]

    def _rankings(self, rows: Sequence[Row], encoded: Encoded) -> list[Ranking]:
        """Empty for rows whose language was given."""
        rankings: list[Ranking] = [()] * len(rows)
        unknown = [index for index, row in enumerate(rows) if row.language is None]
        if unknown:
            with self._meter.phase(EnginePhase.LANGUAGE):
                found = self._decoder.rankings(encoded.of(unknown), len(unknown))
            for index, ranking in zip(unknown, found, strict=True):
                rankings[index] = ranking
        return rankings

    def _said(self, encoded: Encoded, prompts: Sequence[list[int]], recipe: Recipe) -> list[Said]:
        """Sampled, rows take a multiple of the memory, so fewer of them are decoded at once."""
        if not recipe.temperature:
            return self._decoder.say(encoded.states, prompts, recipe)
        at_once = self._sampled_rows(max(self._tried_rows, len(prompts)))
        parts = [range(len(prompts))[first : first + at_once] for first in range(0, len(prompts), at_once)]
        said = (self._decoder.say(encoded.of(part), prompts[part.start : part.stop], recipe) for part in parts)
        return [one for some in said for one in some]

    def _sampled_rows(self, rows: int) -> int:
        return self._costs(FULL_FRAMES).sampled_rows(rows)

    def _decoded(self, row: Row, said: Said, language: str, ranking: Ranking, states: object) -> Decoded:
        tokenizer = self._decoder.tokenizer(language, row.task)
        words = words_of(self._loaded.whisper, tokenizer, states, said.tokens, row.pcm)
        return Decoded(
            language=language,
            ranking=ranking,
            text="".join(word.text for word in words),
            tokens=self.count_text(said.tokens),
            words=words,
            avg_logprob=said.avg_logprob,
            no_speech_prob=said.no_speech_prob,
            compression_ratio=get_compression_ratio(tokenizer.decode(said.tokens)),
            recipe=row.recipe,
        )


def _language(row: Row, ranking: Ranking) -> str:
    return row.language if row.language is not None else row.choose_language(ranking)
