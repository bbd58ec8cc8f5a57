"""Compiled readers and how they give up.

A compiled reader knows only what every generated client writes: fields in the order of their ids, each of its declared
type, required ones present, none unknown. Of anything else it gives up by one of `GAVE_UP`, and the walk of the
protocol then reads the whole message again and says what is wrong, or finds nothing wrong. So the walk is the
definition; a compiled reader must agree with it wherever it answers at all.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from iotdb_cluster.wire.idl import Struct
from iotdb_cluster.wire.limits import Limits
from iotdb_cluster.wire.walk import Budget

Reader = Callable[[bytes, int, Budget], tuple[Any, int]]
"""Reads a struct at an offset; answers it and the offset behind it."""

Head = tuple[int, bytes, int, int]
"""Of a message: its kind, method and sequence number, and the offset of what follows."""


class NotCanonical(Exception):
    """The bytes are not as every generated client writes them; never leaves this package."""


GAVE_UP = (NotCanonical, struct.error, IndexError, UnicodeDecodeError)


class CompiledReaders(ABC):
    """The readers of all structs within the same limits, compiled when they are first asked for."""

    def __init__(self, limits: Limits) -> None:
        self.string_bytes = limits.string_bytes
        self._readers: dict[Struct, Reader] = {}

    def reader(self, of: Struct) -> Reader:
        """The reader of a struct."""
        if of not in self._readers:
            self._readers[of] = self._compile(of)
        return self._readers[of]

    @abstractmethod
    def _compile(self, of: Struct) -> Reader:
        """A reader of a struct in one protocol."""


Put = Callable[[bytes], None]

Writer = Callable[[Any, Put], None]
"""Hands the bytes of a struct, part by part, to its second argument; the first is the struct or a tuple of its values.

A value that the IDL does not allow (None in a required field, text for a number) is a mistake of this project and
raises whatever Python raises there.
"""


class CompiledWriters(ABC):
    """The writers of all structs, compiled when they are first asked for."""

    def __init__(self) -> None:
        self._writers: dict[tuple[Struct, bool], Writer] = {}

    def writer(self, of: Struct, *, of_tuple: bool = False) -> Writer:
        """The writer of a struct, or of a tuple of its values in the order of their ids."""
        if (of, of_tuple) not in self._writers:
            self._writers[of, of_tuple] = self._compile(of, of_tuple)
        return self._writers[of, of_tuple]

    @abstractmethod
    def _compile(self, of: Struct, of_tuple: bool) -> Writer:
        """A writer of a struct in one protocol."""
