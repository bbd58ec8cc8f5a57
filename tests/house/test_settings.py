"""Settings: what is allowed, what is refused and in which words, and that files and code agree."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from iotdb_cluster.errors import StartRefused
from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.server.config import as_yaml, load, raft_settings
from iotdb_cluster.settings import SeedNode, Settings, parse_seed_nodes

PROJECT = Path(__file__).resolve().parents[2]

ORIGINALS_FILE = """\
# LOCAL_IP is the address of this node
! another comment
LOCAL_IP=127.0.0.1
LOCAL_META_PORT=9103
LOCAL_DATA_PORT : 40110
LOCAL_CLIENT_PORT   55660

SEED_NODES=127.0.0.1:9103:40110,\\
           127.0.0.1:9104:40111,
ENABLE_THRIFT_COMPRESSION=False
MAX_CONCURRENT_CLIENT_NUM=1000
REPLICA_NUM=2
CONNECTION_TIME_OUT_MS=15000
CONSISTENCY_LEVEL=weak
MAX_REMOVED_LOG_SIZE=100000
"""


def written(folder: Path, text: str, name: str = "iotdb-cluster.yaml") -> Path:
    conf = folder / "conf"
    conf.mkdir(exist_ok=True)
    (conf / name).write_text(text)
    return conf


def refusal(folder: Path, text: str, name: str = "iotdb-cluster.yaml") -> str:
    conf = written(folder, text, name)
    with pytest.raises(StartRefused) as caught:
        load(conf)
    message = str(caught.value)
    assert "\n" not in message
    assert name in message
    return message


# ---- the defaults


def test_mirrored_settings_have_the_defaults_of_the_original():
    settings = Settings()
    assert ("127.0.0.1", 9003, 40010, 55560) == (
        settings.local_ip,
        settings.local_meta_port,
        settings.local_data_port,
        settings.local_client_port,
    )
    assert "127.0.0.1:9003:40010,127.0.0.1:9004:40011,127.0.0.1:9005:40012" == settings.seed_nodes
    assert (True, 1024, 3, 20_000) == (
        settings.enable_thrift_compression,
        settings.max_concurrent_client_num,
        settings.replica_num,
        settings.connection_time_out_ms,
    )


def test_the_shipped_file_is_what_the_code_says():
    assert as_yaml() == (PROJECT / "conf" / "iotdb-cluster.yaml").read_text(), "run `make fix`"


def test_the_shipped_file_loads_to_the_defaults(tmp_path):
    settings = load(written(tmp_path, (PROJECT / "conf" / "iotdb-cluster.yaml").read_text())).settings
    defaults = Settings(data_dir=str(tmp_path / "run" / "node-9003"))
    assert defaults == settings


def test_every_setting_has_a_meaning_and_every_number_a_unit():
    without_unit = {"local_meta_port", "local_data_port", "local_client_port", "replica_num", "fetch_size"}
    for item in fields(Settings):
        assert item.metadata["meaning"].endswith("."), item.name
        if isinstance(item.default, int) and not isinstance(item.default, bool) and item.name not in without_unit:
            assert re.search(r"_(ms|s|mb|mb_per_second|bytes|entries|count|num|max)$", item.name), item.name


def test_the_raft_core_has_the_same_defaults():
    assert RaftSettings() == raft_settings(Settings())


def test_every_setting_is_read_by_something():
    core = {item.name for item in fields(RaftSettings)}
    package = PROJECT / "iotdb_cluster"
    sources = [path for path in package.rglob("*.py") if path.name != "settings.py"]
    everything = "\n".join(path.read_text() for path in sources)
    raft = "\n".join(path.read_text() for path in sources if path.parent.name == "raft")
    for item in fields(Settings):
        assert re.search(rf"settings\.{item.name}\b", raft if item.name in core else everything), item.name


def test_a_setting_that_follows_another_one_is_resolved():
    settings = Settings(local_ip="node1.example", local_meta_port=7, connection_time_out_ms=5_000)
    assert ("node1.example", 5_000, "run/node-7") == (
        settings.bind_address,
        settings.write_deadline_ms,
        settings.data_dir,
    )


def test_the_password_is_not_shown():
    assert "geheim" not in repr(Settings(password="geheim"))


# ---- addresses


@pytest.mark.parametrize("address", ["10.1.2.3", "::1", "fe80::1", "node-1.example.org", "localhost", "db_1"])
def test_names_and_addresses_of_both_families_are_taken(address):
    assert address == Settings(local_ip=address).local_ip


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "", "300.1.1.1", "a b", "-x", "[::1]"])
def test_an_address_that_others_cannot_connect_to_is_refused(address):
    with pytest.raises(StartRefused, match=f"^local_ip = {re.escape(repr(address))}: must be "):
        Settings(local_ip=address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.1"])
def test_listening_everywhere_is_allowed(address):
    assert address == Settings(bind_address=address).bind_address


def test_seed_nodes_are_taken_apart_and_sorted():
    expected = (SeedNode("127.0.0.1", 2, 3), SeedNode("::1", 9003, 40010), SeedNode("node.example", 1, 2))
    assert expected == parse_seed_nodes("node.example:1:2, [::1]:9003:40010,127.0.0.1:2:3")
    assert "[::1]:9003:40010" == str(expected[1])


@pytest.mark.parametrize(
    "seeds", ["", "a:1", "a:1:2:3", "a:0:2", "a:1:65536", "0.0.0.0:1:2", "a:1:2,a:1:3", "::1:1:2", "a:1:2;b:1:2"]
)
def test_seed_nodes_that_cannot_be_are_refused(seeds):
    with pytest.raises(StartRefused, match="^seed_nodes = "):
        Settings(seed_nodes=seeds)


# ---- refusals name file, key and value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("replica_nums: 3", "replica_nums: there is no such setting; did you mean replica_num?"),
        ("nonsense: 3", "nonsense: there is no such setting"),
        ("replica_num: three", "replica_num = 'three': must be a whole number"),
        ("replica_num: true", "replica_num = True: must be a whole number"),
        ("replica_num: 0", "replica_num = 0: must be from 1 to 99"),
        ("enable_thrift_compression: 1", "enable_thrift_compression = 1: must be true or false"),
        ("local_meta_port: 70000", "local_meta_port = 70000: must be from 1 to 65535"),
        ("local_data_port: 9003", "must be three different ports"),
        ("read_consistency: strongest", "read_consistency = 'strongest': must be one of strong, mid, weak"),
        ("time_zone: Nowhere/Land", "time_zone = 'Nowhere/Land': must be an offset such as +08:00"),
        ("heartbeat_interval_ms: 500", "election_timeout_min_ms = 750: must be at least twice"),
        ("election_timeout_max_ms: 750", "election_timeout_max_ms = 750: must be more than"),
        ("append_max_bytes: 60000000", "append_max_bytes = 60000000: at most half of frame_max_mb"),
        ("password: 12", "password = (not shown): must be a text"),
        ("replica_num: 3\nreplica_num: 5", "replica_num: stands in it twice"),
        ("- a\n- b", "must be lines of 'setting: value'"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_bad_line_of_yaml_is_named(tmp_path, text, expected):
    assert expected in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LOCAL_META_PROT=9003", "LOCAL_META_PROT = 9003: there is no such setting; did you mean local_meta_port?"),
        ("LOCAL_META_PORT=9oo3", "LOCAL_META_PORT = '9oo3': must be a whole number"),
        ("ENABLE_THRIFT_COMPRESSION=yes", "ENABLE_THRIFT_COMPRESSION = 'yes': must be true or false"),
        ("REPLICA_NUM=-1", "replica_num = -1: must be from 1 to 99"),
        ("LOCAL_IP=0.0.0.0", "local_ip = '0.0.0.0': must be an address that other nodes can connect to"),
    ],
)
def test_a_bad_line_of_properties_is_named(tmp_path, text, expected):
    assert expected in refusal(tmp_path, text, "iotdb-cluster.properties")


def test_a_folder_without_or_with_two_configurations_is_refused(tmp_path):
    with pytest.raises(StartRefused, match="has neither"):
        load(tmp_path)
    written(tmp_path, "replica_num: 3")
    with pytest.raises(StartRefused, match="has both"):
        load(written(tmp_path, "REPLICA_NUM=3", "iotdb-cluster.properties"))


# ---- the original's file


def test_the_originals_properties_are_taken_as_they_are(tmp_path):
    configuration = load(written(tmp_path, ORIGINALS_FILE, "iotdb-cluster.properties"))
    settings = configuration.settings
    assert (9103, 40110, 55660) == (settings.local_meta_port, settings.local_data_port, settings.local_client_port)
    assert (SeedNode("127.0.0.1", 9103, 40110), SeedNode("127.0.0.1", 9104, 40111)) == settings.seeds
    assert (False, 1000, 2, 15_000, "weak") == (
        settings.enable_thrift_compression,
        settings.max_concurrent_client_num,
        settings.replica_num,
        settings.connection_time_out_ms,
        settings.read_consistency,
    )
    assert ("MAX_REMOVED_LOG_SIZE = 100000: has no effect here",) == configuration.notices


def test_a_folder_is_counted_from_above_the_configuration_folder(tmp_path):
    assert str(tmp_path / "disk1" / "n1") == load(written(tmp_path, "data_dir: disk1/n1")).settings.data_dir
    assert "/srv/n1" == load(written(tmp_path, "data_dir: /srv/n1")).settings.data_dir


# ---- what is allowed but dangerous


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("bind_address: 0.0.0.0", True),
        ("bind_address: 0.0.0.0\npassword: x", False),
        ("local_ip: 10.0.0.1", True),
        ("bind_address: 127.0.0.2", False),
        ("bind_address: '::1'", False),
        ("local_ip: localhost", False),
    ],
)
def test_the_well_known_password_on_an_open_port_is_a_warning(tmp_path, text, warned):
    assert warned == any("root/root" in notice for notice in load(written(tmp_path, text)).notices)
