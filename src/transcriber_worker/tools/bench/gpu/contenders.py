"""Who takes part where files are transcribed. The predecessor's way is `direct-3`: all ratios are to it."""

from transcriber_worker.tools.bench.contenders import SPECS, Kind, Spec

_BASELINE = "direct-3"
PIPELINES = ("pipeline-3", "pipeline-3-16")
"""The library's own batches, three files at once: this worker is held against the faster of them."""
REFERENCE = "cpu"
CRAMPED = "cramped"
_LEAVE_BYTES = 256 << 20
"""Less than a batch of the small model takes, more than a few windows do."""

_PIPELINE_3, _PIPELINE_3_16 = (
    Spec(
        name,
        Kind.PIPELINE,
        f"BatchedInferencePipeline, 3 files at once, batches of {batch}",
        at_once=3,
        pipeline_batch=batch,
    )
    for name, batch in zip(PIPELINES, (8, 16), strict=True)
)
_CTRANSLATE2 = Spec(
    "batched-ctranslate2", Kind.BATCHED, "transcriber-worker, CTranslate2's encoder", encoder="ctranslate2"
)
_TORCH = Spec("batched-torch", Kind.BATCHED, "transcriber-worker, torch's encoder", encoder="torch")

FILES = (
    SPECS[_BASELINE],
    SPECS["direct-2"],
    SPECS["direct"],
    SPECS["pipeline"],
    _PIPELINE_3,
    _PIPELINE_3_16,
    _CTRANSLATE2,
    _TORCH,
)
"""The first one is the baseline."""

_CPU = Spec(
    REFERENCE,
    Kind.BATCHED,
    "transcriber-worker on the CPU in float32",
    device="cpu",
    compute_type="float32",
    encoder="ctranslate2",
)
_CRAMPED = Spec(
    CRAMPED,
    Kind.BATCHED,
    "the same in batches of up to 64 windows, with memory for a few",
    workers=1,
    max_batch_windows=64,
    leave_bytes=_LEAVE_BYTES,
    encoder="ctranslate2",
)


def files_specs(*, torch: bool, dry_run: bool = False) -> tuple[Spec, ...]:
    """`torch`: whether it is installed; `dry_run`: only one of each kind."""
    alike = ("direct", "direct-2", "pipeline", "pipeline-3-16") if dry_run else ()
    return tuple(spec for spec in FILES if spec.name not in alike and (torch or spec.encoder != "torch"))


def correctness_specs(*, torch: bool, cuda: bool) -> tuple[Spec, ...]:
    """The first one is what all are held against. Memory can only be made to run out on a GPU."""
    device = (_CTRANSLATE2, _TORCH) if torch else (_CTRANSLATE2,)
    return (_CPU, *device, *((_CRAMPED,) if cuda else ()))
