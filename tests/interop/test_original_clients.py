"""The original's JDBC driver and Session hold their conversations with a cluster of three nodes."""

import os
import subprocess

import pytest

from tests.interop.original_clients import NotToBeHad, built
from tests.services.rig import new_nodes, running

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

TALK_S = 120


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the clients were told, by the names that `Clients.java` gives."""
    try:
        class_path = built(tmp_path_factory.mktemp("java"))
    except NotToBeHad as why:
        pytest.skip(str(why))
    with running(new_nodes(tmp_path_factory.mktemp("nodes"), 3, replica_num=2)) as nodes:
        ip, port = nodes[0].client_address
        done = subprocess.run(
            ["java", "-cp", class_path, "Clients", ip, str(port)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "JAVA_TOOL_OPTIONS": "-Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8"},
            timeout=TALK_S,
            check=False,
        )
    assert 0 == done.returncode, done.stderr[-2_000:]
    return dict(line.split(" ==> ", 1) for line in done.stdout.splitlines() if " ==> " in line)


REFUSED = {
    "wrong password": "600: ",
    "no zone": "403: ",
    "no statement": "401: line 1, column 1: unexpected 'SELEKT'",
    "no query": "401: line 1, column 8: unexpected 'FROM'",
    "no series": "401: root.j.d.nope matches no time series",
    "query as update": "400: ",
    "update as query": "400: ",
    "LOAD CONFIGURATION": "703: ",
    "session: create again": "300: ",
    "session: no statement": "401: line 1, column 12: ",
    "session: no series": "401: root.zz.x",
    "session: no storage group": "303: ",
}

TOLD = {
    "zone": "+08:00",
    "new zone": "Asia/Shanghai",
    "insert": "false",
    "insert with a date": "0",
    "batch": "1500 times [200]",
    "what it did": "Time | root.j.d.l / 1 | 9000000000 / 5 | 5",
    "SELECT * FROM root.j.d WHERE time < 3": (
        "Time | root.j.d.b | root.j.d.i | root.j.d.l | root.j.d.f | root.j.d.x | root.j.d.t"
        " / 1 | true | -7 | 9000000000 | 1.5 | 2.25 | it is é"
    ),
    "SELECT i, i, x FROM root.j.d WHERE time < 200 AND i > 150 LIMIT 2 OFFSET 1": (
        "Time | root.j.d.i | root.j.d.i | root.j.d.x / 152 | 152 | 152 | 152.5 / 153 | 153 | 153 | 153.5"
    ),
    "SELECT count(i), avg(x), max_value(t), min_time(i), last_value(b) FROM root.j.d": (
        "count(root.j.d.i) | avg(root.j.d.x) | max_value(root.j.d.t) | min_time(root.j.d.i) | last_value(root.j.d.b)"
        f" / 1502 | {(1500 * 850.0 + 2.25) / 1501} | two | 1 | true"
    ),
    "SELECT count(i), sum(x) FROM root.j.d GROUP BY([100, 160], 20ms)": (
        "Time | count(root.j.d.i) | sum(root.j.d.x) / 100 | 20 | 2200.0 / 120 | 20 | 2600.0 / 140 | 20 | 3000.0"
        " / 160 | 1 | 160.5"
    ),
    "SELECT i FROM root.j.d WHERE time = 50 FILL(int32[previous])": "Time | root.j.d.i / 50 | -7",
    "SELECT i, t FROM root.j.d WHERE time < 101 GROUP BY DEVICE": (
        "Time | Device | i | t / 1 | root.j.d | -7 | it is é / 100 | root.j.d | 100 | null"
    ),
    "SELECT t, l FROM root.j.d DISABLE ALIGN": (
        "Timeroot.j.d.t | root.j.d.t | Timeroot.j.d.l | root.j.d.l / 1 | it is é | 1 | 9000000000"
        " / 1580673906000 | two | 5 | 5"
    ),
    "SELECT i FROM root.j.d WHERE time > 100000000000000": "Time | root.j.d.i",
    "SHOW STORAGE GROUP": "storage group / root.j",
    "SHOW TIMESERIES root.j.d.f": (
        "timeseries | storage group | dataType | encoding | compression"
        " / root.j.d.f | root.j | FLOAT | GORILLA | SNAPPY"
    ),
    "SHOW DEVICES root.j": "devices / root.j.d",
    "COUNT TIMESERIES root.j": "count / 6",
    "COUNT TIMESERIES root.j GROUP BY LEVEL=2": "column | count / root.j.d | 6",
    "SHOW TTL ON root.j": "storage group | ttl / root.j | null",
    "LIST USER": "user / root",
    "values": "1 true -7 9000000000 2.25 it is é",
    "two at once": "1501",
    "cancel": "done",
    "prepared": "Time | root.j.d.i | root.j.d.t / 1 | -7 | it is é",
    "product": "IoTDB",
    "DELETE FROM root.j.d.i WHERE time < 150": "false",
    "flush root.j": "false",
    "merge": "false",
    "after DELETE": "count(root.j.d.i) | count(root.j.d.x) / 1451 | 1501",
    "DELETE STORAGE GROUP": "false",
    "session: again": "taken",
    "session: create": "taken",
    "session: SELECT * FROM root.s.d WHERE time < 2": (
        "[Time, root.s.d.i, root.s.d.b, root.s.d.t, root.s.d.f, root.s.d.n, root.s.d.x]"
        " [INT64, INT64, BOOLEAN, TEXT, FLOAT, INT32, DOUBLE]"
        " / 0 | 0 | true | é0 | 0.0 | 0 | 0.0 / 1 | 10000000000 | false | é1 | 0.25 | -1 | 0.125"
    ),
    "session: SELECT i,n,i FROM root.s.d WHERE time = 2999": (
        "[Time, root.s.d.i, root.s.d.n, root.s.d.i] [INT64, INT64, INT32, INT64]"
        " / 2999 | 29990000000000 | -2999 | 29990000000000"
    ),
    "session: SELECT count(i), sum(x) FROM root.s.d": (
        "[count(root.s.d.i), sum(root.s.d.x)] [INT64, DOUBLE] / 0 | 3000 | 562312.5"
    ),
    "session: SHOW TIMESERIES root.s.d.b": (
        "[timeseries, storage group, dataType, encoding, compression] [TEXT, TEXT, TEXT, TEXT, TEXT]"
        " / 0 | root.s.d.b | root.s | BOOLEAN | RLE | SNAPPY"
    ),
    "session: pages": "3000",
    "session: after deleteData": "[Time, root.s.d.i] [INT64, INT64] / 2999 | 29990000000000 / 5000 | 1",
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_its_code(told, name):
    assert told[name].startswith("refused: " + REFUSED[name]), told[name]


@pytest.mark.parametrize("name", TOLD)
def test_it_is_told(told, name):
    assert TOLD[name] == told[name]


def test_a_batch_that_fails_in_part_says_what_failed(told):
    first, second = told["batch that fails in part"].removeprefix("refused: ").split(" / ")
    assert first.startswith("401: statement 1: line 1, column 1: unexpected 'nonsense'")
    assert second.startswith("400: statement 2: ")


def test_the_tree_names_every_series(told):
    assert told["tree"].startswith('=== Timeseries Tree === { "root": { "j": { "d": { "b": {')
    assert 6 == told["tree"].count('"StorageGroup": "root.j"')
