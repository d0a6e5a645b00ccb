"""A few weights, written by CTranslate2's own converter."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from ctranslate2.specs.common_spec import Conv1DSpec, LinearSpec
from ctranslate2.specs.model_spec import ModelSpec

from transcriber_worker.inference.batched.weights import WeightsFile

VALUES = np.random.default_rng(5).normal(0, 0.3, (6, 40)).astype(np.float32)
KERNEL = np.random.default_rng(6).normal(0, 0.3, (6, 8, 3)).astype(np.float32)


class Written(ModelSpec):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.num_heads = np.dtype("int16").type(4)
        self.linear, self.conv = LinearSpec(), Conv1DSpec()
        self.linear.weight, self.linear.bias = VALUES.copy(), VALUES[:, 0].copy()
        self.conv.weight, self.conv.bias = KERNEL.copy(), VALUES[:, 0].copy()  # the same bias: called by two names

    @property
    def name(self) -> str:
        return "Written"


def written(folder: Path, quantization: str | None) -> WeightsFile:
    spec = Written()
    spec.validate()
    spec.optimize(quantization)
    spec.save(str(folder))
    return WeightsFile(folder / "model.bin")


def relative(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    return float(np.linalg.norm(found.astype(np.float32) - expected) / np.linalg.norm(expected))


def assert_unchanged(file: WeightsFile, *, within: float) -> None:
    """Values are what they were before they were converted. `within`: L2, in proportion to their size."""
    for name, expected in (("linear/weight", VALUES), ("conv/weight", KERNEL), ("linear/bias", VALUES[:, 0])):
        found = file.floats(name)
        assert found.shape == expected.shape
        assert found.flags.aligned
        assert relative(found, expected) <= within
