"""Bitmaps as results carry them: a bit for each row, the first one highest."""


def every_bit(count: int) -> bytes:
    """A bitmap in which every one of `count` rows has its bit; those behind the last row are not set."""
    whole, rest = divmod(count, 8)
    return b"\xff" * whole + (bytes((0xFF00 >> rest & 0xFF,)) if rest else b"")
