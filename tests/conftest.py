"""Servers that tests of several folders share."""

pytest_plugins = ["tests.kafka_server.fixtures"]
