"""Silero voice activity detection, piece by piece, with the answers it gives on the whole file. Runs in the child only.

The network is the one that the faster-whisper package carries, found by path: importing that package would load the
model libraries. Chunking, context and padding follow `faster_whisper.vad` (1.2) to the sample.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from transcriber_worker.domain.audio import Pcm

CHUNK_SAMPLES = 512
CONTEXT_SAMPLES = 64
_BATCH_CHUNKS = 512
"""Chunks per call of the network: its outputs don't depend on it, its speed does (a call per chunk costs 1.6 times)."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What was found in a row of chunks of 512 samples."""

    probabilities: Floats
    """Of speech, float32, (n,)."""
    powers: Floats
    """Mean square of the samples in [-1, 1], float32, (n,)."""

    def __len__(self) -> int:
        return len(self.probabilities)


class SpeechModel:
    """The network, loaded once per process."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            str(model_path()), providers=["CPUExecutionProvider"], sess_options=options
        )

    def run(self, chunks: Floats, h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        """`chunks`: float32, (n, 576), each with the 64 samples before it; `h`, `c`: the recurrent state, (1, 1, 128).
        Returns n speech probabilities and the new state."""
        try:
            probabilities, h, c = self._session.run(None, {"input": chunks, "h": h, "c": c})
        except Fail as error:
            if "bad_alloc" in str(error):
                raise MemoryError from error
            raise
        return probabilities.reshape(-1), h, c


def model_path() -> Path:
    """Where the packaged network lies; raises FileNotFoundError."""
    spec = importlib.util.find_spec("faster_whisper")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder, "assets").glob("silero_vad*.onnx"), reverse=True):
            return path
    raise FileNotFoundError("The package faster_whisper, which carries the speech detector, is not installed.")


class SpeechDetector:
    """Listens to one channel."""

    def __init__(self, model: SpeechModel) -> None:
        self._model = model
        self._h = np.zeros((1, 1, 128), np.float32)
        self._c = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._rest: Pcm = np.empty(0, np.int16)

    def feed(self, pcm: Pcm) -> Heard:
        """The chunks that `pcm` (int16, (n,), 16 kHz) completes."""
        joined = np.concatenate((self._rest, pcm))
        whole = len(joined) // CHUNK_SAMPLES * CHUNK_SAMPLES
        self._rest = joined[whole:].copy()
        step = _BATCH_CHUNKS * CHUNK_SAMPLES
        parts = [
            self._run(joined[at : min(whole, at + step)].astype(np.float32) / 32768.0) for at in range(0, whole, step)
        ]
        if not parts:
            return Heard(np.empty(0, np.float32), np.empty(0, np.float32))
        return Heard(
            np.concatenate([part.probabilities for part in parts]), np.concatenate([part.powers for part in parts])
        )

    def finish(self) -> Heard:
        """The last, padded chunk. Its last 64 samples count as silence, as in faster-whisper, where the context of the
        first chunk is blanked in place."""
        last = np.zeros(CHUNK_SAMPLES, np.float32)
        last[: len(self._rest)] = self._rest.astype(np.float32) / 32768.0
        last[-CONTEXT_SAMPLES:] = 0.0
        return self._run(last)

    def _run(self, samples: Floats) -> Heard:
        chunks = samples.reshape(-1, CHUNK_SAMPLES)
        before = np.concatenate((self._context[None], chunks[:-1, -CONTEXT_SAMPLES:]))
        self._context = chunks[-1, -CONTEXT_SAMPLES:].copy()
        probabilities, self._h, self._c = self._model.run(np.concatenate((before, chunks), axis=1), self._h, self._c)
        return Heard(probabilities, np.einsum("ij,ij->i", chunks, chunks) / CHUNK_SAMPLES)
