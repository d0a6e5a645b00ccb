"""CTranslate2's converter needs torch to write bfloat16."""

from pathlib import Path

from tests.unit.inference.batched.conversion import assert_unchanged, written


def test_weights_of_bfloat16_are_read(tmp_path: Path) -> None:
    assert_unchanged(written(tmp_path, "bfloat16"), within=4e-3)
