"""Method names of the IDL to the handlers that answer them: what servers, and the simulator, need of a service."""

from collections.abc import Callable, Mapping
from typing import Any

from iotdb_cluster.members.client.service import ClientService
from iotdb_cluster.members.data.service import DataService
from iotdb_cluster.members.meta.service import MetaService
from iotdb_cluster.members.raft_service import RaftService

Handler = Callable[..., Any]
"""Takes the arguments in the order of the IDL and the connection; returns the result or a coroutine of it."""


def _raft_handlers(service: RaftService) -> dict[str, Handler]:
    return {
        "sendHeartBeat": service.send_heart_beat,
        "startElection": service.start_election,
        "appendEntries": service.append_entries,
        "appendEntry": service.append_entry,
        "sendSnapshot": service.send_snapshot,
        "executeNonQueryPlan": service.execute_non_query_plan,
        "requestCommitIndex": service.request_commit_index,
        "pullTimeSeriesSchema": service.pull_time_series_schema,
        "readFile": service.read_file,
        # the extension
        "hello": service.hello,
        "vote": service.vote,
        "timeoutNow": service.timeout_now,
        "propose": service.propose,
        "readIndex": service.read_index,
        "exile": service.exile,
        "report": service.report,
    }


def meta_handlers(service: MetaService) -> Mapping[str, Handler]:
    """`MetaExtension`, which extends `TSMetaService`."""
    return _raft_handlers(service) | {
        "addNode": service.add_node,
        "removeNode": service.remove_node,
        "queryNodeStatus": service.query_node_status,
        "checkAlive": service.check_alive,
    }


def data_handlers(service: DataService) -> Mapping[str, Handler]:
    """`DataExtension`, which extends `TSDataService`."""
    return _raft_handlers(service) | {
        "querySingleSeries": service.query_single_series,
        "fetchSingleSeries": service.fetch_single_series,
        "querySingleSeriesByTimestamp": service.query_single_series_by_timestamp,
        "fetchSingleSeriesByTimestamp": service.fetch_single_series_by_timestamp,
        "endQuery": service.end_query,
        "getAllPaths": service.get_all_paths,
        "pullSnapshot": service.pull_snapshot,
        "offerStore": service.offer_store,
        "pullMove": service.pull_move,
        "nearlyFull": service.nearly_full,
        **service.queries.handlers(),
    }


def client_handlers(service: ClientService) -> Mapping[str, Handler]:
    """`ClientExtension`, which extends `TSIService`."""
    return service.handlers()
