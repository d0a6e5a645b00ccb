"""Servers that tests of several folders share; and what must not be lost when a test run dies."""

import os

import pytest

pytest_plugins = ["tests.kafka_server.fixtures"]


@pytest.hookimpl(trylast=True)  # the reporter is made at this time too
def pytest_configure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None:
        config.pluginmanager.register(AtOnce(reporter), "tell-failures-at-once")


class AtOnce:
    """Tells failures when they happen: a process that dies (a library's fault in a thread of its own) has no summary.
    Python's own `faulthandler` is silent then: librdkafka's threads block every signal, so no handler runs."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.failed:
            return
        self._reporter.ensure_newline()
        self._reporter.write_sep("_", f"{report.nodeid} ({report.when})")
        self._reporter.write_line(report.longreprtext)
        for title, text in report.sections:
            self._reporter.write_sep("-", title)
            self._reporter.write_line(text)
        self._reporter.flush()
