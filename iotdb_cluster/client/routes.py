"""Which node leads what a device's rows belong to, as the nodes themselves report it."""

from collections.abc import Mapping

from iotdb_cluster.client.failover import Address
from iotdb_cluster.types.identity import NodeId, Term
from iotdb_cluster.types.report import Report


class Routes:
    """The client ports of the nodes that lead the storage groups, at the time of the reports.

    It is advice: a node that does not lead passes a call on, so an old route costs time and nothing else.
    """

    def __init__(self, reports: Mapping[Address, Report]) -> None:
        address_of = {report.node.identifier: address for address, report in reports.items()}
        leaders: dict[NodeId, tuple[Term, NodeId]] = {}
        for report in reports.values():
            for group in report.groups:
                if group.header is not None and group.leader is not None:
                    heard = (group.term, group.leader)
                    leaders[group.header] = max(heard, leaders.get(group.header, heard))
        self._addresses = {
            storage_group: address_of[leaders[header][1]]
            for report in reports.values()
            for storage_group, header in report.storage_groups.items()
            if header in leaders and leaders[header][1] in address_of
        }

    def leader_of(self, device: str) -> Address | None:
        """Where the rows of a device go best; None when that is not known."""
        path = device
        while path:
            address = self._addresses.get(path)
            if address is not None:
                return address
            path = path.rpartition(".")[0]
        return None
