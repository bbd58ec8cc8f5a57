"""What all tests share: nodes inside tests log to the standard error, since what commands print is compared."""

import sys

import structlog


def pytest_configure() -> None:
    """Behind pytest's own redirections, so that a failed test shows it and no command's output holds it."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
