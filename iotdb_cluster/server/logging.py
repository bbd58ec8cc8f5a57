"""Sets up structlog once for the process: text on a terminal, JSON otherwise, rotated when it goes to a file.

Everything goes through the standard library's root logger, so that what libraries log has the same form and place.
"""

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

import structlog
from structlog.typing import Processor

from iotdb_cluster.errors import StartRefused
from iotdb_cluster.settings import MIB, Settings


def set_up_logging(settings: Settings, stream: TextIO = sys.stderr) -> None:
    """Send what is logged from now on where `log_file` says, or to `stream`; replaces an earlier set-up."""
    level = getattr(logging, settings.log_level.upper())
    handler = _file_handler(settings) if settings.log_file else logging.StreamHandler(stream)
    as_text = settings.log_format == "text" or (
        settings.log_format == "auto" and not settings.log_file and stream.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(as_text, stream)],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


def _renderers(as_text: bool, stream: TextIO) -> list[Processor]:
    if as_text:
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _file_handler(settings: Settings) -> RotatingFileHandler:
    path = Path(settings.data_dir, settings.log_file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return RotatingFileHandler(
            path, maxBytes=settings.log_file_max_mb * MIB, backupCount=settings.log_file_keep_count, encoding="utf-8"
        )
    except OSError as error:
        raise StartRefused(f"log_file = {settings.log_file!r}: cannot be written: {error}") from error
