"""Contract suites: a class of tests per seam, which every adapter subclasses with a harness of its own."""

import pytest

pytest.register_assert_rewrite(
    "tests.contract.store_contract", "tests.contract.broker_contract", "tests.contract.pipeline_contract"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An adapter's `missing` (test name -> reason) are the abilities it can't have: they must fail, or be taken out."""
    for item in items:
        if isinstance(item, pytest.Function):
            reason = getattr(item.cls, "missing", {}).get(item.originalname)
            if reason is not None:
                item.add_marker(pytest.mark.xfail(strict=True, reason=reason))
