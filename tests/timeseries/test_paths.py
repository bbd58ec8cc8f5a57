"""Paths: what may be one, how it is taken apart, what a pattern matches."""

import pytest

from iotdb_cluster.errors import PathIllegal
from iotdb_cluster.types.paths import (
    MAX_LEVELS,
    MAX_PATH_CHARACTERS,
    Pattern,
    check_device,
    check_pattern,
    check_series,
    check_storage_group,
    is_prefix,
    match,
    nodes_of,
    split_series,
)


@pytest.mark.parametrize(
    "path",
    [
        "root.sg.d.s",
        "root.sg.s",
        "root.Ln.wf01.温度",
        "root.sg.1.2",
        "root.sg.d.s-1",
        'root.sg.d."x.y"',
        "root.a b.c.d",
    ],
)
def test_series_paths_that_are_fine(path: str) -> None:
    assert nodes_of(path) == check_series(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("sg.d.s", "does not begin with 'root'"),
        ("ROOT.sg.s", "does not begin with 'root'"),
        ("rooted.sg.s", "does not begin with 'root'"),
        ("root", "at least 3 levels"),
        ("root.sg", "at least 3 levels"),
        ("root..s", "empty node"),
        ("root.sg.s.", "empty node"),
        ("root.sg.*", "'*'"),
        ("root.sg.s*", "'*'"),
        ("root.sg.a/b", "'/'"),
        ("root.sg.a\\b", "'\\\\'"),
        ("root.sg.a\0", "'\\x00'"),
        ("root.sg.a\udc80", "'\\udc80'"),
        ('root.sg."x', "quotes"),
        ('root.sg.""', "quotes"),
        ('root."x".s', "'\"'"),
        (".".join(["root"] * 10_000), f"longer than {MAX_PATH_CHARACTERS}"),
        ("root" + ".a" * MAX_LEVELS, f"more than {MAX_LEVELS} levels"),
    ],
)
def test_series_paths_that_are_refused_with_the_reason(path: str, reason: str) -> None:
    with pytest.raises(PathIllegal) as refused:
        check_series(path)
    assert reason in refused.value.message
    assert len(refused.value.message) < 300


def test_storage_groups_name_folders() -> None:
    assert ("root", "sg") == check_storage_group("root.sg")
    for path in ("root", "root.*", 'root."sg"', "root." + "x" * 200, "root." + "温" * 70):
        with pytest.raises(PathIllegal):
            check_storage_group(path)


def test_devices_and_patterns() -> None:
    assert ("root", "sg", "d") == check_device("root.sg.d")
    assert ("root", "*", "s") == check_pattern("root.*.s")
    assert ("root",) == check_pattern("root")
    for path in ("root", 'root.sg."d"'):
        with pytest.raises(PathIllegal):
            check_device(path)


@pytest.mark.parametrize(
    ("path", "device", "measurement"),
    [
        ("root.sg.d.s", "root.sg.d", "s"),
        ('root.sg.d."x.y"', "root.sg.d", '"x.y"'),
        ("root.sg.d.'x.y'", "root.sg.d", "'x.y'"),
        ("s", "", "s"),
    ],
)
def test_a_series_is_device_and_measurement(path: str, device: str, measurement: str) -> None:
    assert (device, measurement) == split_series(path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("root.sg.d.s", "root.sg.d.s", True),
        ("root.sg.d.s", "root.sg.d.s2", False),
        ("root.sg.d", "root.sg.d.s", True),
        ("root.sg.d", "root.sg.d.x.s", True),
        ("root.sg.d", "root.sg.d2.s", False),
        ("root.sg.d.*", "root.sg.d.s", True),
        ("root.sg.d.*", "root.sg.d.x.s", True),
        ("root.sg.*.s", "root.sg.d.s", True),
        ("root.sg.*.s", "root.sg.d.x.s", False),
        ("root.*", "root.sg.d.s", True),
        ("root.*.*.*.*", "root.sg.d.s", False),
        ("root", "root.sg.d.s", True),
        ('root.sg.d."x.y"', 'root.sg.d."x.y"', True),
        ("root.sg.d.x", 'root.sg.d."x.y"', False),
    ],
)
def test_a_star_is_one_node_and_a_prefix_means_what_is_below(pattern: str, path: str, expected: bool) -> None:
    assert expected == match(pattern, path)
    device, measurement = split_series(path)
    wanted = Pattern.parse(pattern).measurement_of(nodes_of(device))
    assert expected == (wanted in ("*", measurement))


def test_a_pattern_knows_where_it_can_match() -> None:
    pattern = Pattern.parse("root.a.*.s")
    assert pattern.may_match_below(("root", "a"))
    assert pattern.may_match_below(("root", "a", "d", "s", "deeper"))
    assert not pattern.may_match_below(("root", "b"))
    assert is_prefix("root.a", "root.a") and is_prefix("root.a", "root.a.b") and not is_prefix("root.a", "root.ab")
