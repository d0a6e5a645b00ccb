"""Real worker processes that are killed, stopped and starved."""

import pytest

pytest.register_assert_rewrite("tests.chaos.verdicts", "tests.chaos.deployment")
