"""Mutated frames are messages or are refused; see `tests.fuzz.frames`."""

from unittest.mock import patch

import pytest

from iotdb_cluster.wire.codec import Codec
from tests.fuzz.frames import Broken, fuzz

FEW = 4_000
MANY = 1_000_000


def test_mutated_frames_are_messages_or_are_refused() -> None:
    became = fuzz(FEW, seed=1)
    assert FEW <= became.total()
    assert {"call", "reply", "refused", "no message without a frame"} <= set(became)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_mutated_frames_are_messages_or_are_refused() -> None:
    assert MANY <= fuzz(MANY, seed=2).total()


def test_a_reader_that_breaks_is_found() -> None:
    with (
        patch.object(Codec, "decode_call", side_effect=IndexError("off the end")),
        pytest.raises(Broken, match="seed 3"),
    ):
        fuzz(FEW, seed=3)
