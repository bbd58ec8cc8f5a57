"""Rows that go straight to the node that leads them, and what becomes of them where that does not work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from iotdb_cluster.client.routes import Routes
from iotdb_cluster.client.session import Session
from iotdb_cluster.server.transport.server import ThriftServer
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.report import GroupReport, Report
from iotdb_cluster.wire.idl import STRUCTS
from tests.client.rig import ClientPort, client_ports, status
from tests.server.rig import serving

NOT_LED_HERE = 702


def report(number: int, leads: dict[str, int], *, term: int = 1) -> Report:
    """What node `number` says when each storage group has a group of its own, led by a node in `term`."""
    headers = {storage_group: NodeId(100 + at) for at, storage_group in enumerate(sorted(leads))}
    return Report(
        node=Node("127.0.0.1", 9000 + number, NodeId(number), 40000 + number),
        client_port=55560,
        pid=1,
        blind=False,
        version="1",
        cluster_name="c",
        cluster_id="00",
        table_version=1,
        groups=tuple(
            GroupReport(headers[sg], "follower", NodeId(leader), term, 1, 1, 1) for sg, leader in leads.items()
        ),
        storage_groups=headers,
    )


@contextmanager
def knowing_ports(leads: dict[str, int], count: int = 3) -> Iterator[tuple[list[ClientPort], list[ThriftServer]]]:
    """Client ports of nodes 0, 1, ... that say who leads what."""
    ports = [ClientPort() for _ in range(count)]

    def tables(number: int) -> dict[str, Callable[..., Any]]:
        said = report(number, leads).to_json()
        return {**ports[number].table(), "report": lambda session, c: STRUCTS["NodeReport"].make(json=said)}

    with _all([tables(number) for number in range(count)]) as servers:
        yield ports, servers


@contextmanager
def _all(tables: list[Any]) -> Iterator[list[ThriftServer]]:
    if not tables:
        yield []
        return
    with serving(tables[0], service="ClientExtension") as first, _all(tables[1:]) as rest:
        yield [first, *rest]


def inserted(ports: list[ClientPort]) -> list[list[str]]:
    """The devices whose rows each port was sent."""
    return [[what.deviceId for method, what in port.calls if method.startswith("insert")] for port in ports]


def test_rows_and_tablets_go_to_the_node_that_leads_their_storage_group() -> None:
    with knowing_ports({"root.a": 1, "root.b": 2}) as (ports, servers):
        with Session([server.address for server in servers], direct=True) as session:
            session.insert_row("root.a.d", 1, ["s"], [1])
            session.insert_tablet("root.b.x.y", ["s"], ["DOUBLE"], [1], [[1.5]])
            session.insert_row("root.unknown.d", 1, ["s"], [1])
        assert [["root.unknown.d"], ["root.a.d"], ["root.b.x.y"]] == inserted(ports)
        assert [set()] * 3 == [port.sessions for port in ports], "every session was closed"


def test_without_direct_all_calls_go_to_one_node() -> None:
    with knowing_ports({"root.a": 1}) as (ports, servers):
        with Session([server.address for server in servers]) as session:
            session.insert_row("root.a.d", 1, ["s"], [1])
        assert [["root.a.d"], [], []] == inserted(ports)


def test_a_node_that_refuses_without_effect_is_followed_by_the_others() -> None:
    with knowing_ports({"root.a": 1}) as (ports, servers):
        ports[1].answers = [status(NOT_LED_HERE)]
        with Session([server.address for server in servers], direct=True) as session:
            session.insert_row("root.a.d", 1, ["s"], [1])
        assert [["root.a.d"], ["root.a.d"], []] == inserted(ports)


def test_servers_that_do_not_say_who_leads_are_used_as_ever() -> None:
    with client_ports(2) as (ports, servers):
        with Session([server.address for server in servers], direct=True) as session:
            session.insert_row("root.a.d", 1, ["s"], [1])
        assert [["root.a.d"], []] == inserted(ports)


def test_the_latest_term_says_who_leads() -> None:
    old, new = ("127.0.0.1", 1), ("127.0.0.1", 2)
    routes = Routes({old: report(1, {"root.a": 1}, term=3), new: report(2, {"root.a": 2}, term=4)})
    assert new == routes.leader_of("root.a.d")
    assert routes.leader_of("root.ab.d") is None


def test_a_leader_whose_address_was_not_given_is_no_way() -> None:
    assert Routes({("127.0.0.1", 1): report(1, {"root.a": 7})}).leader_of("root.a.d") is None
