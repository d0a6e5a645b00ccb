"""Weights as CTranslate2's own converter writes them, read back in every type; bfloat16 needs torch: tests/torch."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.inference.batched.conversion import VALUES, assert_unchanged, written
from tests.unit.inference.batched.model_bins import weights
from transcriber_worker.inference.batched.weights import WeightsFile


@pytest.mark.parametrize(
    ("quantization", "bound"),
    [(None, 0), ("float32", 0), ("float16", 4e-4), ("int16", 2e-3), ("int8", 1e-2)],
)
def test_weights_are_what_they_were_before_they_were_converted(
    tmp_path: Path, quantization: str | None, bound: float
) -> None:
    assert_unchanged(written(tmp_path, quantization), within=bound)


def test_a_weight_may_have_two_names(tmp_path: Path) -> None:
    file = written(tmp_path, "float16")
    assert file.weights["linear/bias"] == file.weights["conv/bias"]
    assert np.array_equal(file.floats("conv/bias"), VALUES[:, 0].astype(np.float16))


def test_a_second_name_of_nothing_is_reported(tmp_path: Path) -> None:
    path = weights(tmp_path / "model.bin", {"a/weight": (2, 2)}, aliases={"b/weight": "a/weight", "c": "d/weight"})
    with pytest.raises(ValueError, match="lacks d/weight"):
        WeightsFile(path)


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
