"""Several coroutines at once, in one thread: what each asks first is under way before the first answer is awaited."""

from collections.abc import Coroutine, Generator, Sequence
from typing import Any, Generic, TypeVar, cast

from iotdb_cluster.members.pending import Suspension

T = TypeVar("T")


async def together(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Their values in order; the first error, in order, ends the others."""
    if len(coroutines) == 1:
        return [await coroutines[0]]
    started: list[_Started[T]] = []
    try:
        for coroutine in coroutines:
            started.append(_Started(coroutine))
        return [await one for one in started]
    finally:
        for coroutine in coroutines:
            coroutine.close()


class _Started(Generic[T]):
    """A coroutine that has run up to the first thing it waits for, which is begun."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._suspension: Suspension | None = None
        self._value: T | None = None
        self._go_on()

    def __await__(self) -> Generator[Suspension, None, T]:
        while self._suspension is not None:
            yield self._suspension
            self._go_on()
        return cast(T, self._value)

    def _go_on(self) -> None:
        try:
            self._suspension = self._coroutine.send(None)
        except StopIteration as finished:
            self._suspension, self._value = None, finished.value
        else:
            self._suspension.pending.begin()
