"""The node's log: JSON when redirected, text when asked, levels, rotation."""

import io
import json
import logging

import pytest
import structlog

from iotdb_cluster.errors import StartRefused
from iotdb_cluster.server.logging import set_up_logging
from iotdb_cluster.settings import Settings


@pytest.fixture(autouse=True)
def _logging_as_before():
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    before = structlog.get_config()
    logging.getLogger().handlers[:] = []
    yield
    for handler in logging.getLogger().handlers:
        handler.close()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    structlog.configure(**before)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_redirected_it_is_json_with_values_as_keys():
    stream = io.StringIO()
    set_up_logging(Settings(), stream)
    structlog.get_logger().info("vote_granted", candidate=7, term=3)
    line = json.loads(stream.getvalue())
    assert ("vote_granted", 7, 3, "info") == (line["event"], line["candidate"], line["term"], line["level"])
    assert line["timestamp"].endswith("Z")


def test_on_a_terminal_it_is_text():
    stream = Terminal()
    set_up_logging(Settings(), stream)
    structlog.get_logger().info("vote_granted", candidate=7)
    assert "vote_granted" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_text_can_be_asked_for():
    stream = io.StringIO()
    set_up_logging(Settings(log_format="text"), stream)
    structlog.get_logger().info("vote_granted", candidate=7)
    assert "candidate=7" in stream.getvalue()


def test_below_its_level_nothing_is_logged():
    stream = io.StringIO()
    set_up_logging(Settings(log_level="warning"), stream)
    structlog.get_logger().info("chatter")
    logging.getLogger("library").info("chatter")
    structlog.get_logger().warning("important")
    assert ["important"] == [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def test_what_libraries_log_has_the_same_form():
    stream = io.StringIO()
    set_up_logging(Settings(), stream)
    logging.getLogger("some.library").warning("odd %s", "thing")
    line = json.loads(stream.getvalue())
    assert ("odd thing", "some.library", "warning") == (line["event"], line["logger"], line["level"])


def test_an_exception_is_logged_with_its_traceback():
    stream = io.StringIO()
    set_up_logging(Settings(), stream)
    try:
        raise ValueError("what happened")
    except ValueError:
        structlog.get_logger().exception("call_failed", reference="abc")
    line = json.loads(stream.getvalue())
    assert "ValueError: what happened" in line["exception"]


def test_a_log_file_is_rotated(tmp_path):
    set_up_logging(Settings(data_dir=str(tmp_path), log_file="log/node.log", log_file_max_mb=1, log_file_keep_count=1))
    for _ in range(3):
        structlog.get_logger().info("filler", text="x" * 700_000)
    assert ["node.log", "node.log.1"] == sorted(path.name for path in (tmp_path / "log").iterdir())


def test_a_log_file_that_cannot_be_written_stops_the_start(tmp_path):
    (tmp_path / "log").write_text("a file, not a folder")
    with pytest.raises(StartRefused, match="log_file = 'log/node.log': cannot be written"):
        set_up_logging(Settings(data_dir=str(tmp_path), log_file="log/node.log"))
