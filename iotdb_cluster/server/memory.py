"""What the allocator of the C library does with memory that was freed."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8

KEPT_BYTES = 16 * 1024 * 1024
GROWTH_BYTES = 1024 * 1024
MAPPED_BYTES = 16 * 1024 * 1024
ARENAS = 2


def keep_freed_memory() -> bool:
    """Let this process keep some freed memory for its next messages; False where the C library has no such setting.

    glibc gives freed memory back from 128 kB on, for each thread's arena, and the system then hands out zeroed pages
    again: of a node that takes tablets of 88 kB that was a fifth of all its processor time. Few arenas, since each
    keeps its own; the interpreter lets one thread allocate at a time anyway.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    chosen = {
        _M_ARENA_MAX: ARENAS,
        _M_TRIM_THRESHOLD: KEPT_BYTES,
        _M_TOP_PAD: GROWTH_BYTES,
        _M_MMAP_THRESHOLD: MAPPED_BYTES,
    }
    taken = [mallopt(parameter, value) for parameter, value in chosen.items()]
    return all(taken)
