"""Weights as CTranslate2's own converter writes them, in every type it knows, read back."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from ctranslate2.specs.common_spec import Conv1DSpec, LinearSpec
from ctranslate2.specs.model_spec import ModelSpec

from transcriber_worker.inference.batched.weights import WeightsFile

VALUES = np.random.default_rng(5).normal(0, 0.3, (6, 40)).astype(np.float32)
KERNEL = np.random.default_rng(6).normal(0, 0.3, (6, 8, 3)).astype(np.float32)


class Written(ModelSpec):  # type: ignore[misc]
    """A few layers, written by the converter."""

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


@pytest.mark.parametrize(
    ("quantization", "bound"),
    [(None, 0), ("float32", 0), ("float16", 4e-4), ("bfloat16", 4e-3), ("int16", 2e-3), ("int8", 1e-2)],
)
def test_weights_are_what_they_were_before_they_were_converted(
    tmp_path: Path, quantization: str | None, bound: float
) -> None:
    if quantization == "bfloat16":
        pytest.importorskip("torch", reason="CTranslate2's converter needs torch to write bfloat16")
    file = written(tmp_path, quantization)
    for name, expected in (("linear/weight", VALUES), ("conv/weight", KERNEL), ("linear/bias", VALUES[:, 0])):
        found = file.floats(name)
        assert found.shape == expected.shape
        assert found.flags.aligned
        assert relative(found, expected) <= bound


def test_a_weight_may_have_two_names(tmp_path: Path) -> None:
    file = written(tmp_path, "float16")
    assert file.weights["linear/bias"] == file.weights["conv/bias"]
    assert np.array_equal(file.floats("conv/bias"), VALUES[:, 0].astype(np.float16))


def test_whole_numbers_are_read(tmp_path: Path) -> None:
    assert written(tmp_path, None).integer("num_heads") == 4


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks encoder/conv1/weight"):
        written(tmp_path, None).floats("encoder/conv1/weight")


def test_a_number_without_its_scale_is_no_weight(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_heads is stored in a form that is not known here"):
        written(tmp_path, None).floats("num_heads")


def test_values_that_are_cut_off_are_reported(tmp_path: Path) -> None:
    """Rather than read past the end of the mapped file."""
    written(tmp_path, None)
    path = tmp_path / "model.bin"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="end too early"):
        WeightsFile(path)
