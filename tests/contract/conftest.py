"""Contract suites: a class of tests per seam, which every adapter subclasses with a harness of its own."""

import pytest

from transcriber_worker.domain.errors import RejectJob

pytest.register_assert_rewrite(
    "tests.contract.store_contract", "tests.contract.broker_contract", "tests.contract.pipeline_contract"
)

_BY_THE_SUITE = (AssertionError, pytest.fail.Exception, RejectJob)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An adapter's `missing` (test name -> reason) are the abilities it can't have: they must fail by what the suite
    asks for, and not because the adapter can't even be made, or be taken out."""
    for item in items:
        if isinstance(item, pytest.Function):
            reason = getattr(item.cls, "missing", {}).get(item.originalname)
            if reason is not None:
                item.add_marker(pytest.mark.xfail(strict=True, reason=reason, raises=_BY_THE_SUITE))
