"""Which slot a storage group falls into (interface page "Routing").

The hash is MurmurHash3 x64 128 with three habits of the original that every peer has to share: the bytes of the tail
are signed, the two halves are added up and cut to 32 bits, and the length is counted in UTF-16 code units while the
bytes are UTF-8, so that of a name that is not ASCII only its first bytes count.
"""

import struct
from functools import lru_cache

from iotdb_cluster.types.identity import Slot

SLOT_COUNT = 10_000
HASH_SEED = 2333

_MASK = (1 << 64) - 1
_C1 = 0x87C37B91114253D5
_C2 = 0x4CF5AD432745937F
_BLOCKS = struct.Struct("<QQ")


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _mixed(h: int) -> int:
    h ^= h >> 33
    h = (h * 0xFF51AFD7ED558CCD) & _MASK
    h ^= h >> 33
    h = (h * 0xC4CEB9FE1A85EC53) & _MASK
    return h ^ (h >> 33)


def _tail_word(tail: bytes) -> int:
    """Up to eight bytes as one word, where a byte above 127 is negative and so fills everything above it with ones."""
    word = 0
    for position, byte in enumerate(tail):
        signed = byte - 256 if byte > 127 else byte
        word ^= (signed << (8 * position)) & _MASK
    return word


def murmur128_sum(key: bytes, seed: int) -> int:
    """The sum of both halves of the hash of `key`, as an unsigned 64-bit number."""
    h1 = h2 = seed & _MASK
    whole = len(key) & ~15
    for offset in range(0, whole, 16):
        k1, k2 = _BLOCKS.unpack_from(key, offset)
        h1 ^= (_rotated((k1 * _C1) & _MASK, 31) * _C2) & _MASK
        h1 = (_rotated(h1, 27) + h2) & _MASK
        h1 = (h1 * 5 + 0x52DCE729) & _MASK
        h2 ^= (_rotated((k2 * _C2) & _MASK, 33) * _C1) & _MASK
        h2 = (_rotated(h2, 31) + h1) & _MASK
        h2 = (h2 * 5 + 0x38495AB5) & _MASK
    tail = key[whole:]
    if len(tail) > 8:
        k2 = (_tail_word(tail[8:]) * _C2) & _MASK
        h2 ^= (_rotated(k2, 33) * _C1) & _MASK
    if tail:
        k1 = (_tail_word(tail[:8]) * _C1) & _MASK
        h1 ^= (_rotated(k1, 31) * _C2) & _MASK
    h1 ^= len(key)
    h2 ^= len(key)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    h1 = _mixed(h1)
    h2 = _mixed(h2)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    return (h1 + h2) & _MASK


def storage_group_hash(storage_group: str, seed: int = HASH_SEED) -> int:
    """The signed 32-bit hash of a storage group; a time partition never enters it."""
    units = len(storage_group.encode("utf-16-be")) // 2
    low = murmur128_sum(storage_group.encode("utf-8")[:units], seed) & 0xFFFF_FFFF
    return low - (1 << 32) if low >= 1 << 31 else low


@lru_cache(maxsize=4096)
def slot_of(storage_group: str, slot_count: int = SLOT_COUNT, seed: int = HASH_SEED) -> Slot:
    """The slot of a storage group, `0 <= slot < slot_count`.

    The remainder is Java's, whose sign is that of the hash, and then made positive; so it is not Python's `%` of it.
    """
    return abs(storage_group_hash(storage_group, seed)) % slot_count
