"""The transcripts still read as they were written down."""

from pathlib import Path

import pytest

from tests.raft.transcript import FOLDER, Transcript


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_transcript_runs_as_it_reads(path: Path) -> None:
    assert path.read_text() == Transcript().run(path.read_text())
