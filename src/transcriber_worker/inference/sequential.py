"""Plain faster-whisper over slabs, one file per CTranslate2 worker: the accuracy reference of every other engine."""

from collections.abc import Callable

from transcriber_worker.inference.base import EngineInfo, Hearing, Listener
from transcriber_worker.inference.conversation import Conversation
from transcriber_worker.inference.dispatcher import Dispatcher
from transcriber_worker.inference.loading import Runtime, pick_device
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.inference.options import (
    MAX_HOTWORD_TOKENS,
    MAX_PROMPT_TOKENS,
    as_hotwords,
    check_languages,
    check_task,
    checked_tokens,
)
from transcriber_worker.inference.whisper import Whisper
from transcriber_worker.settings import EncoderKind, EngineSettings, ModelSettings


class SequentialEngine:
    """Hears `engine.concurrency` files at once, each through faster-whisper's own sequential algorithm.

    `files` finds the model when the engine starts; `cores` are shared out over the files heard at once. OpenBLAS must
    be held to one thread before numpy is imported (OPENBLAS_NUM_THREADS=1), or the features of several files fight
    over the cores.
    """

    def __init__(
        self, model: ModelSettings, engine: EngineSettings, files: Callable[[], ModelFiles], *, cores: int
    ) -> None:
        self._model = model
        self._files = files
        device, compute_type = pick_device(model.device, model.compute_type)
        self._runtime = Runtime(
            device=device,
            compute_type=compute_type,
            beam_size=model.beam_size,
            workers=engine.concurrency,
            cpu_threads=model.cpu_threads or max(1, cores // engine.concurrency),
        )
        self._dispatcher = Dispatcher(engine.concurrency)
        self._whisper: Whisper | None = None
        self._translates = True

    def start(self) -> EngineInfo:
        """Verify, load and try out the model; raises `WorkerBroken` with what to install or set."""
        files = self._files()
        whisper = self._whisper = Whisper.load(files, self._runtime)
        self._translates = files.translates
        self._dispatcher.start()
        return EngineInfo(
            engine="sequential",
            model=files.name,
            model_sha256=files.sha256,
            device=self._runtime.device,
            compute_type=whisper.compute_type,
            beam_size=self._runtime.beam_size,
            encoder=EncoderKind.CTRANSLATE2,
            workers=self._runtime.workers,
            max_batch_windows=1,
        )

    def open(self, listener: Listener) -> Hearing:
        """Begin a file; raises `RejectJob` for a language the model does not know, a translation it was not trained
        for, and prompts or hotwords that don't fit."""
        if self._whisper is None:
            raise RuntimeError("the engine was not started")
        options = listener.options
        check_languages(options, self._whisper.languages)
        check_task(options, self._model.name, translates=self._translates)
        encode, count_text = self._whisper.encode, self._whisper.count_text
        prompt = checked_tokens(encode, count_text, "prompt", options.prompt, MAX_PROMPT_TOKENS)
        hotwords = as_hotwords(options.hotwords)
        checked_tokens(encode, count_text, "hotwords", hotwords, MAX_HOTWORD_TOKENS)
        return self._dispatcher.open(listener, Conversation(self._whisper, options, prompt, hotwords).hear)

    def close(self) -> None:
        """Stop; what is queued fails with `HandBack`."""
        self._dispatcher.close()
