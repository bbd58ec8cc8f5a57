"""Calls between members: lost, late, repeated, reordered, cut one way; each answered or failed at its caller once."""

from collections.abc import Callable
from random import Random

from iotdb_cluster.raft.events import Answered, CallFailed, Event
from iotdb_cluster.raft.messages import Answer, Message
from iotdb_cluster.types.identity import NodeId
from tests.sim.group.clock import Clock
from tests.sim.group.knobs import Weather


class Call:
    """A request on its way, and the token by which it is answered."""

    __slots__ = ("incarnation", "is_over", "message", "sent_ms", "source", "target")

    def __init__(self, source: NodeId, incarnation: int, target: NodeId, message: Message, sent_ms: int) -> None:
        self.source = source
        self.incarnation = incarnation
        self.target = target
        self.message = message
        self.sent_ms = sent_ms
        self.is_over = False


class Network:
    """Brings calls to `arrive(call)` and answers to `give_back(call, event)`; `cut` holds directed pairs."""

    def __init__(
        self,
        clock: Clock,
        random: Random,
        weather: Weather,
        timeout_ms: int,
        arrive: Callable[[Call], bool],
        give_back: Callable[[Call, Event], None],
    ) -> None:
        self._clock = clock
        self._random = random
        self._arrive = arrive
        self._give_back = give_back
        self.weather = weather
        self.timeout_ms = timeout_ms
        self.cut: set[tuple[NodeId, NodeId]] = set()

    def delay_ms(self) -> int:
        """How long one message takes."""
        weather, random = self.weather, self._random
        delay_ms = random.randint(1, weather.delay_max_ms)
        if weather.tail_chance and random.random() < weather.tail_chance:
            delay_ms += random.randint(0, weather.tail_max_ms)
        return delay_ms

    def is_lost(self, source: NodeId, target: NodeId, chance: float) -> bool:
        """True when a message in this direction does not arrive."""
        return (source, target) in self.cut or (chance > 0 and self._random.random() < chance)

    def send(self, call: Call) -> None:
        """Send a request; it may arrive again, much later."""
        weather = self.weather
        if self.is_lost(call.source, call.target, weather.loss):
            self.expect_failure(call)
            return
        self._clock.after(self.delay_ms(), self._arrives, call)
        if weather.repeat and self._random.random() < weather.repeat:
            again = Call(call.source, call.incarnation, call.target, call.message, call.sent_ms)
            again.is_over = True
            self._clock.after(
                self.delay_ms() + self._random.randint(0, weather.repeat_late_max_ms), self._arrives, again
            )

    def _arrives(self, call: Call) -> None:
        if (call.source, call.target) in self.cut or not self._arrive(call):
            self.expect_failure(call)

    def expect_failure(self, call: Call) -> None:
        """The caller gives up when its time-out is over, unless an answer comes before."""
        if not call.is_over:
            self._clock.at(call.sent_ms + self.timeout_ms, self.fail, call)

    def fail(self, call: Call) -> None:
        """The caller learns that there was no answer."""
        if not call.is_over:
            call.is_over = True
            self._give_back(call, CallFailed(call.target, call.message))

    def answer(self, call: Call, answer: Answer) -> None:
        """Send an answer back; one that comes after the caller gave up, or a second time, is dropped there."""
        if call.is_over:
            return
        if self.is_lost(call.target, call.source, self.weather.answer_loss):
            self.expect_failure(call)
            return
        delay_ms = self.delay_ms()
        if self._clock.now_ms + delay_ms > call.sent_ms + self.timeout_ms:
            self.expect_failure(call)
        self._clock.after(delay_ms, self._answers, call, answer)

    def _answers(self, call: Call, answer: Answer) -> None:
        if call.is_over:
            return
        if (call.target, call.source) in self.cut:
            self.expect_failure(call)
            return
        call.is_over = True
        event = Answered(call.target, call.message, answer)
        self._give_back(call, event)
        weather = self.weather
        if weather.repeat and self._random.random() < weather.repeat:
            self._clock.after(self._random.randint(0, weather.repeat_late_max_ms), self._give_back, call, event)

    def heal(self) -> None:
        """Every link works again, quickly and surely."""
        self.cut.clear()
        self.weather = Weather()
