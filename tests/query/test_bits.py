"""Bitmaps whose every bit is set are written without an array."""

import numpy as np
import pytest

from iotdb_cluster.types.bits import every_bit


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 15, 16, 17, 1_000])
def test_every_row_has_its_bit_and_nothing_else_has(count: int) -> None:
    assert np.packbits(np.ones(count, np.bool_)).tobytes() == every_bit(count)
