"""The main job's SQL: right answers are told from wrong ones."""

from pathlib import Path

import pytest

from iotdb_cluster.client.session import Session
from iotdb_cluster.demo.asking import ask_site
from iotdb_cluster.demo.showing import one_of_each
from iotdb_cluster.demo.stations import STATIONS, load_station, sites_of
from tests.services.rig import one_node

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture(scope="module")
def sites():
    return sites_of([load_station(DATA / f"{name}.csv", rows_max=2_000) for name in STATIONS])


def test_one_site_of_each_station_is_asked(sites):
    assert [sites[0], sites[1]] == one_of_each(sites)


def test_every_answer_is_worked_out_from_the_files_and_a_spoilt_point_is_noticed(sites, tmp_path):
    with one_node(tmp_path, enable_auto_create_schema=True) as node, Session([node.client_address]) as session:
        for site in sites[:2]:
            for rows in site.tablets:
                session.insert_tablet(rows.device, rows.measurements, rows.data_types, rows.times, rows.columns)
            asked = ask_site(session, site)
            assert 4 == len(asked)
            assert [] == [each for each in asked if not each.is_right]
        warmest = ask_site(session, sites[0])[0]
        time = warmest.answer[0][0]
        session.insert_tablet(sites[0].device, ["temperature"], ["FLOAT"], [time + 60_000], [[40.5]])
        assert [False, False, False, True] == [each.is_right for each in ask_site(session, sites[0])]
