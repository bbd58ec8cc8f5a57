"""Calls to other nodes: proof of identity first, order within a lane, no guesses about what took effect."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import Mock

import pytest

from iotdb_cluster.errors import NoLeader, OutcomeUnknown, RemoteError, Unreachable
from iotdb_cluster.members.clock import MonotonicClock
from iotdb_cluster.members.pending import gather
from iotdb_cluster.members.transport import Lane, Port
from iotdb_cluster.server import peers
from iotdb_cluster.server.backoff import LONGEST_PAUSE_MS, Backoff
from iotdb_cluster.server.lanes import Lanes, Sending
from iotdb_cluster.server.peers import PeerTransport
from iotdb_cluster.server.transport.server import ThriftServer
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.wire.idl import STRUCTS
from tests.server.rig import CODEC, serving

SERVICE = "MetaExtension"
CONTROL = (Lane.CONTROL, 0)
TIME_MS = 10_000
IDENTIFIER, OTHER_IDENTIFIER = 5, 6
OUR_LANES = (f"lane-{IDENTIFIER}-", f"lane-{OTHER_IDENTIFIER}-")
"""Threads to the peers of these tests; clusters that other tests keep for the whole run have lanes, too."""


def hello_fields(identifier: int) -> dict[str, Any]:
    return {
        "node": STRUCTS["Node"].make(ip="127.0.0.1", metaPort=1, nodeIdentifier=identifier, dataPort=2),
        "start_count": 1,
        "start_random": 2,
        "recent_starts": [],
        "seed_digest": "",
        "seed_list": "",
        "format_version": 1,
        "replica_num": 3,
        "slot_count": 10_000,
        "hash_seed": 2333,
        "cluster_name": "",
        "blind": False,
    }


class Names:
    """A greeting that believes an identifier and nothing else."""

    def request(self) -> Any:
        return STRUCTS["HelloRequest"].make(**hello_fields(1))

    def fault_of_answer(self, expected: NodeId | None, answer: Any) -> str | None:
        found = answer.node.nodeIdentifier
        return None if found == expected else f"{found} answers where {expected} was expected"


@dataclass
class Peer:
    """A node that answers; `seen` has the terms of all `timeoutNow` calls, by which calls are told apart."""

    identifier: int = IDENTIFIER
    seen: list[int] = field(default_factory=list)
    hellos: list[int] = field(default_factory=list)
    before_answer: Callable[[int], None] = lambda term: None
    knows_hello: bool = True
    connection: Any = None

    def table(self) -> dict[str, Callable[..., Any]]:
        table: dict[str, Callable[..., Any]] = {"timeoutNow": self.timeout_now, "requestCommitIndex": self.index}
        return table | {"hello": self.hello} if self.knows_hello else table

    def hello(self, request: Any, connection: Any) -> Any:
        self.hellos.append(connection.id)
        return STRUCTS["HelloAnswer"].make(**hello_fields(self.identifier))

    def timeout_now(self, term: int, leader: Any, header: Any, connection: Any) -> int:
        self.seen.append(term)
        self.connection = connection
        self.before_answer(term)
        if term < 0:
            raise NoLeader("a negative term")
        return term

    def index(self, header: Any, connection: Any) -> int:
        return 77


def node_at(server: ThriftServer, identifier: int = IDENTIFIER) -> Node:
    host, port = server.address
    return Node(host, port, NodeId(identifier), 1)


@contextmanager
def transport(**options: Any) -> Iterator[PeerTransport]:
    made = PeerTransport(CODEC, Names(), MonotonicClock(), lambda low, high: low, **options)
    try:
        yield made
    finally:
        assert made.close(10)
        assert [] == [t.name for t in threading.enumerate() if t.name.startswith(OUR_LANES)]


@contextmanager
def peer_and_transport(**options: Any) -> Iterator[tuple[Peer, Node, PeerTransport]]:
    peer = Peer()
    with serving(peer.table(), service=SERVICE) as server, transport(**options) as made:
        yield peer, node_at(server), made


def arguments(term: int) -> tuple[Any, ...]:
    return (term, STRUCTS["Node"].make(ip="x", metaPort=1, nodeIdentifier=1, dataPort=2), None)


class Outcomes:
    """Collects what sent calls come to."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._come = threading.Semaphore(0)

    def __call__(self, result: Any) -> None:
        self.all.append(result)
        self._come.release()

    def wait(self, count: int) -> list[Any]:
        for _ in range(count):
            assert self._come.acquire(timeout=10)
        return self.all


def send(made: PeerTransport, to: Node, term: int, on_done: Callable[[Any], None], lane: Any = CONTROL) -> None:
    made.send(to, Port.META, lane, lambda: ("timeoutNow", arguments(term)), TIME_MS, on_done)


# -- lanes -------------------------------------------------------------------------------------------------------------


def test_calls_of_a_lane_keep_their_order_over_one_connection() -> None:
    with peer_and_transport() as (peer, to, made):
        outcomes = Outcomes()
        for term in range(50):
            send(made, to, term, outcomes)
        assert list(range(50)) == outcomes.wait(50) == peer.seen
        assert 1 == len(peer.hellos)


def test_a_stalled_lane_does_not_hold_up_another() -> None:
    with peer_and_transport() as (peer, to, made):
        release, slow, fast = threading.Event(), Outcomes(), Outcomes()
        peer.before_answer = lambda term: None if term < 100 else bool(release.wait(10)) or None
        send(made, to, 100, slow, (Lane.BULK, 0))
        send(made, to, 1, fast)
        assert [1] == fast.wait(1)
        assert [] == slow.all
        release.set()
        assert [100] == slow.wait(1)


def test_a_call_is_built_only_when_its_turn_has_come() -> None:
    with peer_and_transport() as (peer, to, made):
        outcomes, built_after = Outcomes(), []

        def build() -> tuple[str, tuple[Any, ...]]:
            built_after.append(list(peer.seen))
            return "timeoutNow", arguments(2)

        send(made, to, 1, outcomes)
        made.send(to, Port.META, CONTROL, build, TIME_MS, outcomes)
        assert [1, 2] == outcomes.wait(2)
        assert [[1]] == built_after


def test_a_call_that_cannot_be_built_fails_alone() -> None:
    with peer_and_transport() as (_, to, made):
        outcomes = Outcomes()
        made.send(to, Port.META, CONTROL, lambda: ("timeoutNow", 1 // 0), TIME_MS, outcomes)  # type: ignore[arg-type, return-value]
        send(made, to, 1, outcomes)
        first, second = outcomes.wait(2)
        assert isinstance(first, ZeroDivisionError)
        assert 1 == second


def test_an_error_in_who_is_told_does_not_end_the_lane() -> None:
    with peer_and_transport() as (_, to, made):
        outcomes = Outcomes()
        send(made, to, 1, lambda result: 1 // 0)
        send(made, to, 2, outcomes)
        assert [2] == outcomes.wait(1)


def test_a_refusal_is_an_answer_and_keeps_the_connection() -> None:
    with peer_and_transport() as (peer, to, made):
        outcomes = Outcomes()
        send(made, to, -1, outcomes)
        send(made, to, 1, outcomes)
        refusal, good = outcomes.wait(2)
        assert isinstance(refusal, RemoteError)
        assert 702 == refusal.code
        assert 1 == good
        assert 1 == len(peer.hellos)


def test_a_call_without_an_answer_in_time_is_unknown_and_the_next_goes_by_a_new_connection() -> None:
    with peer_and_transport() as (peer, to, made):
        release, outcomes = threading.Event(), Outcomes()
        peer.before_answer = lambda term: bool(release.wait(10)) or None if term == 1 else None
        made.send(to, Port.META, CONTROL, lambda: ("timeoutNow", arguments(1)), 30, outcomes)
        send(made, to, 2, outcomes)
        late, good = outcomes.wait(2)
        release.set()
        assert isinstance(late, OutcomeUnknown)
        assert 2 == good
        assert 2 == len(peer.hellos)


def test_a_call_whose_time_is_over_before_its_turn_is_not_sent() -> None:
    with peer_and_transport() as (peer, to, made):
        outcomes = Outcomes()
        peer.before_answer = lambda term: None
        made.send(to, Port.META, CONTROL, lambda: ("timeoutNow", arguments(1)), 0, outcomes)
        (outcome,) = outcomes.wait(1)
        assert isinstance(outcome, Unreachable)
        assert [] == peer.seen


def test_a_lane_that_idles_ends_its_thread_and_comes_back_when_needed() -> None:
    with peer_and_transport(lane_idle_s=0.01) as (_, to, made):
        outcomes = Outcomes()
        send(made, to, 1, outcomes)
        assert [1] == outcomes.wait(1)
        for thread in threading.enumerate():
            if thread.name.startswith(OUR_LANES):
                thread.join(10)
        assert 0 == made.lane_count
        send(made, to, 2, outcomes)
        assert [1, 2] == outcomes.wait(1)


def test_a_lane_that_is_full_refuses_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iotdb_cluster.server.lanes.WAITING_MAX_COUNT", 2)
    with peer_and_transport() as (peer, to, made):
        asked, release, outcomes = threading.Event(), threading.Event(), Outcomes()

        def stall(term: int) -> None:
            asked.set()
            release.wait(10)

        peer.before_answer = stall
        send(made, to, 0, outcomes)
        assert asked.wait(10)
        for term in (1, 2, 3):
            send(made, to, term, outcomes)
        assert ["2 calls wait in lane-5-meta-control-0"] == [error.message for error in outcomes.wait(1)]
        release.set()
        assert [0, 1, 2] == outcomes.wait(3)[1:]


def test_a_close_settles_every_call() -> None:
    peer, outcomes, asked, release = Peer(), Outcomes(), threading.Event(), threading.Event()

    def stall(term: int) -> None:
        asked.set()
        release.wait(10)

    peer.before_answer = stall
    with serving(peer.table(), service=SERVICE) as server:
        with transport() as made:
            for term in range(3):
                send(made, node_at(server), term, outcomes)
            assert asked.wait(10)
        send(made, node_at(server), 4, outcomes)
        release.set()
        assert [OutcomeUnknown, Unreachable, Unreachable, Unreachable] == [type(x) for x in outcomes.wait(4)]
        assert [0] == peer.seen


class Unreachables:
    """Nodes whose machines are off: a connection to one of them takes for ever."""

    def __init__(self) -> None:
        self.given_up = threading.Event()

    def connect(self, to: Node, port: Port, ends_at_ms: int) -> Any:
        self.given_up.wait(10)
        raise Unreachable("its machine is off")

    def call_on(self, connection: Any, method: str, arguments: tuple[Any, ...], ends_at_ms: int) -> Any:
        raise AssertionError("there is no connection")

    def now_ms(self) -> int:
        return 0


def test_the_time_of_a_close_is_for_all_lanes_together() -> None:
    nodes = Unreachables()
    lanes = Lanes(nodes)
    to = Node("10.0.0.9", 1, NodeId(IDENTIFIER), 2)
    for number in range(20):
        lanes.put((to, Port.DATA, (Lane.APPEND, number)), Sending(lambda: ("x", ()), TIME_MS, lambda _: None))
    begun = time.monotonic()
    assert not lanes.close(0.2)
    assert time.monotonic() - begun < 2
    nodes.given_up.set()
    assert lanes.close(10)


# -- calls that a thread waits for -------------------------------------------------------------------------------------


def test_a_call_gives_its_result_and_its_connection_serves_the_next() -> None:
    with peer_and_transport() as (peer, to, made):
        assert [1, 2] == [made.call(to, Port.META, "timeoutNow", arguments(n), TIME_MS).wait() for n in (1, 2)]
        assert 1 == len(peer.hellos)


def test_calls_awaited_together_are_under_way_together() -> None:
    with peer_and_transport() as (peer, to, made):
        meet = threading.Barrier(3)
        peer.before_answer = lambda term: bool(meet.wait(10)) or None
        calls = [made.call(to, Port.META, "timeoutNow", arguments(n), TIME_MS) for n in range(3)]
        assert [0, 1, 2] == gather(*calls).wait(10)
        assert 3 == len(peer.hellos)


def test_a_call_that_is_refused_raises_what_it_was_answered() -> None:
    with peer_and_transport() as (_, to, made):
        with pytest.raises(RemoteError, match="a negative term") as caught:
            made.call(to, Port.META, "timeoutNow", arguments(-1), TIME_MS).wait()
        assert 702 == caught.value.code


def test_a_call_without_an_answer_in_time_is_unknown() -> None:
    with peer_and_transport() as (peer, to, made):
        release = threading.Event()
        peer.before_answer = lambda term: bool(release.wait(10)) or None
        with pytest.raises(OutcomeUnknown, match="no answer within"):
            made.call(to, Port.META, "timeoutNow", arguments(1), 30).wait()
        with pytest.raises(OutcomeUnknown):
            made.call(to, Port.META, "timeoutNow", arguments(2), TIME_MS).wait(0.03)
        release.set()
        peer.before_answer = lambda term: None
        assert 3 == made.call(to, Port.META, "timeoutNow", arguments(3), TIME_MS).wait()


def test_a_node_that_restarted_is_called_over_a_new_connection_not_over_the_dead_one() -> None:
    with transport() as made:
        with serving(Peer().table(), service=SERVICE) as server:
            to = node_at(server)
            assert 1 == made.call(to, Port.META, "timeoutNow", arguments(1), TIME_MS).wait()
        with pytest.raises(Unreachable):
            made.call(to, Port.META, "timeoutNow", arguments(2), TIME_MS).wait()


def test_a_peer_that_dies_behind_a_call_leaves_its_outcome_unknown() -> None:
    with peer_and_transport() as (peer, to, made):
        peer.before_answer = lambda term: peer.connection.end(at_once=True)
        with pytest.raises(OutcomeUnknown, match="closed the connection"):
            made.call(to, Port.META, "timeoutNow", arguments(1), TIME_MS).wait()
        assert [1] == peer.seen


# -- who answers -------------------------------------------------------------------------------------------------------


def test_another_node_at_the_address_is_not_called() -> None:
    with peer_and_transport() as (peer, to, made):
        meant = replace(to, identifier=NodeId(OTHER_IDENTIFIER))
        with pytest.raises(Unreachable, match="5 answers where 6 was expected"):
            made.call(meant, Port.META, "timeoutNow", arguments(1), TIME_MS).wait()
        outcomes = Outcomes()
        send(made, meant, 1, outcomes)
        assert [Unreachable] == [type(x) for x in outcomes.wait(1)]
        assert [] == peer.seen


def test_an_introduction_gives_the_answer_whoever_it_is() -> None:
    with peer_and_transport() as (peer, to, made):
        peer.identifier = 99
        assert 99 == made.introduce(to.ip, to.meta_port, TIME_MS).wait().node.nodeIdentifier


@pytest.mark.parametrize(("compact", "first_byte"), [(True, 0x82), (False, 0x80)])
def test_a_stranger_is_asked_only_what_strangers_may_be_and_in_its_protocol(
    compact: bool, first_byte: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    decode = CODEC.decode_reply
    monkeypatch.setattr(CODEC, "decode_reply", lambda frame, *rest: heard.append(frame[0]) or decode(frame, *rest))
    options = {"compact_to_strangers": compact, "methods_for_strangers": frozenset({"requestCommitIndex"})}
    peer = Peer(knows_hello=False)
    with serving(peer.table(), service=SERVICE) as server, transport(**options) as made:
        to = node_at(server)
        assert 77 == made.call(to, Port.META, "requestCommitIndex", (None,), TIME_MS).wait()
        assert [0x80, first_byte] == heard
        outcomes = Outcomes()
        send(made, to, 1, outcomes)
        with pytest.raises(Unreachable, match="has not proved by hello"):
            made.call(to, Port.META, "timeoutNow", arguments(1), TIME_MS).wait()
        assert [Unreachable] == [type(x) for x in outcomes.wait(1)]
        assert [] == peer.seen
        with pytest.raises(Unreachable, match="not a node of this project"):
            made.introduce(to.ip, to.meta_port, TIME_MS).wait()


def test_an_answer_to_another_call_is_never_taken_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer_of_another(term: int, leader: Any, header: Any, connection: Any) -> int:
        return term

    def off_by_one(call: Any, result: Any) -> bytes:
        return CODEC.encode_reply(call._replace(seqid=call.seqid + 1), result)

    peer = Peer()
    with serving(peer.table() | {"timeoutNow": answer_of_another}, service=SERVICE) as server, transport() as made:
        to = node_at(server)
        assert 77 == made.call(to, Port.META, "requestCommitIndex", (None,), TIME_MS).wait()
        monkeypatch.setattr(server._dispatcher, "_codec", Mock(wraps=CODEC, encode_reply=off_by_one))
        with pytest.raises(OutcomeUnknown, match="the answer to call 4, not 3"):
            made.call(to, Port.META, "timeoutNow", arguments(1), TIME_MS).wait()


# -- a dead peer costs little ------------------------------------------------------------------------------------------


class HandClock:
    def __init__(self) -> None:
        self.at_ms = 1_000

    def now_ms(self) -> int:
        return self.at_ms

    def wall_ms(self) -> int:
        return 0


def test_attempts_at_a_dead_peer_get_rarer_and_start_afresh_after_a_success() -> None:
    clock = HandClock()
    backoff = Backoff(clock.now_ms, lambda low, high: high)
    backoff.check()
    assert backoff.failed("refused")
    pauses = []
    for _ in range(8):
        with pytest.raises(Unreachable, match="refused"):
            backoff.check()
        before_ms = clock.at_ms
        while True:
            clock.at_ms += 1
            try:
                backoff.check()
            except Unreachable:
                continue
            break
        pauses.append(clock.at_ms - before_ms)
        assert not backoff.failed("refused")
    assert [20, 40, 80, 160, 320, LONGEST_PAUSE_MS, LONGEST_PAUSE_MS, LONGEST_PAUSE_MS] == pauses
    assert backoff.succeeded()
    backoff.check()


def test_a_peer_that_hangs_is_told_once() -> None:
    """Its attempts end after 1499 or 1500 ms: that was a line in the log every second for as long as it hung."""
    backoff = Backoff(HandClock().now_ms, lambda low, high: high)
    said = [
        backoff.failed(f"no hello: 127.0.0.1:9003 gave no answer within {time_ms} ms") for time_ms in (1500, 1499, 9)
    ]
    assert [True, False, False] == said
    assert backoff.failed("127.0.0.1:9003 cannot be reached: Connection refused")


def test_a_refused_connection_fails_at_once_and_the_next_call_does_not_even_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(Peer().table(), service=SERVICE) as server:
        to = node_at(server)
    attempts = []
    with transport() as made:
        opened = made._connector.open
        monkeypatch.setattr(made._connector, "open", lambda *args: attempts.append(1) or opened(*args))
        made.now_ms = made._backoff((to, Port.META))._now_ms = lambda: 5
        for _ in range(5):
            with pytest.raises(Unreachable, match="refused"):
                made.call(to, Port.META, "timeoutNow", arguments(1), TIME_MS).wait()
    assert [1] == attempts


def test_idle_connections_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "IDLE_MAX_COUNT", 2)
    with peer_and_transport() as (_, to, made):
        calls = [made.call(to, Port.META, "timeoutNow", arguments(n), TIME_MS) for n in range(6)]
        gather(*calls).wait(10)
        assert [2] == [len(idle) for idle in made._idle.values()]
