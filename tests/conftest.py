"""What all tests share: where nodes inside tests log to, and which tests stay in one process."""

import sys
from pathlib import Path

import pytest
import structlog


def pytest_configure() -> None:
    """Behind pytest's own redirections, so that a failed test shows it and no command's output holds it."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where two processes share the tests, a folder's stay together and in order: they share clusters, and memory."""
    here = Path(__file__).parent
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.path.relative_to(here).parts[0]))
