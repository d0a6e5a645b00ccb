"""Loading a model through faster-whisper, and what every engine asks of it: its languages, its tokens, its health."""

import ctypes
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import ctranslate2
import faster_whisper

from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.inference.speech import Samples
from transcriber_worker.settings import EncoderKind

CUBLAS = "libcublas.so.12"


@dataclass(frozen=True, slots=True)
class Runtime:
    """How to run a model."""

    device: str
    """cpu or cuda."""
    compute_type: str
    beam_size: int
    workers: int
    """Calls at once."""
    cpu_threads: int
    """Of one call."""
    encoder: EncoderKind = EncoderKind.CTRANSLATE2
    """Of the batching engine."""
    torch_bytes: int | None = None
    """Most memory of the GPU that torch may take; None: as much as there is."""


def pick_device(device: str, compute_type: str) -> tuple[str, str]:
    """What `auto` means on this machine: (device, compute type)."""
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() > 0 else "cpu"
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "int8"
    return device, compute_type


class LoadedModel:
    """A model in memory. Thread-safe: as many calls run at once as it has workers."""

    def __init__(self, model_files: ModelFiles, runtime: Runtime) -> None:
        """Raises `WorkerBroken` for a preprocessor that does not fit; to be called within `explained`."""
        if runtime.device == "cuda":
            load_cublas()
        model: Any = faster_whisper.WhisperModel(
            str(model_files.path),
            device=runtime.device,
            compute_type=runtime.compute_type,
            cpu_threads=runtime.cpu_threads,
            num_workers=runtime.workers,
        )
        mel_bands = model.feature_extractor.mel_filters.shape[0]
        if model.model.n_mels != mel_bands:
            raise WorkerBroken(
                f"{model_files.path}: the model hears {model.model.n_mels} mel bands, the preprocessor is set to "
                f"{mel_bands}: the directory lacks its preprocessor_config.json"
            )
        token_id = model.hf_tokenizer.token_to_id
        self.whisper = model
        """faster-whisper's own `WhisperModel`."""
        self._text_tokens: int = token_id("<|endoftext|>")
        # A model may be older than a language that faster-whisper lists.
        self.languages = tuple(
            code
            for code in model.supported_languages
            if not model.model.is_multilingual or token_id(f"<|{code}|>") is not None
        )

    @property
    def compute_type(self) -> str:
        """What it really computes in: CTranslate2 falls back where the device lacks a type."""
        return str(self.whisper.model.compute_type)

    def encode_text(self, text: str) -> tuple[int, ...]:
        """The tokens of a prompt, as faster-whisper makes them."""
        return tuple(self.whisper.hf_tokenizer.encode(f" {text.strip()}", add_special_tokens=False).ids)

    def count_text(self, tokens: Sequence[int]) -> int:
        """How many of the tokens are text, neither timestamps nor control tokens."""
        return sum(token < self._text_tokens for token in tokens)


def load_cublas() -> None:
    """Load cuBLAS where it was installed as a Python package. CTranslate2 asks the system for it by name, which does
    not look there, but knows what is loaded already."""
    with suppress(ModuleNotFoundError):  # none of NVIDIA's packages is there
        spec = importlib.util.find_spec("nvidia.cublas")
        for folder in (spec and spec.submodule_search_locations) or ():
            library = Path(folder) / "lib" / CUBLAS
            if library.exists():
                ctypes.CDLL(str(library))
                return


@contextmanager
def explained(model_files: ModelFiles, runtime: Runtime) -> Iterator[None]:
    """Raise `WorkerBroken` with what to install or set where loading the model or trying it out fails."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        raise WorkerBroken(
            f"{model_files.name} does not run on {runtime.device} as {runtime.compute_type}: {error}. On a GPU, "
            "install transcriber-worker[cuda] and a driver that fits; else set model.device: cpu or another "
            "model.compute_type"
        ) from error


def known_sentence() -> Samples:
    """A clear English sentence to try a model out with: float32, (n,), mono 16 kHz."""
    with as_file(files(__package__) / "warmup.ogg") as path:
        samples: Samples = faster_whisper.decode_audio(str(path))
    return samples


def check_heard(texts: Iterable[str], runtime: Runtime) -> None:
    """Raise `WorkerBroken` where a model found no words in the known sentence: a GPU build that does not fit its
    driver can stay silent instead of failing."""
    if not any(character.isalpha() for text in texts for character in text):
        raise WorkerBroken(
            f"the model heard nothing in a clear sentence on {runtime.device} as {runtime.compute_type}: the "
            "driver or the compute type does not fit; install an NVIDIA driver of at least 570, which GPUs newer than "
            "Ampere need for CTranslate2, or set model.compute_type, or model.device: cpu"
        )
