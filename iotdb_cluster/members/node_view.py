"""The node as its services see it."""

from typing import Protocol

from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.offered_files import OfferedFiles
from iotdb_cluster.members.data.readers import Readers
from iotdb_cluster.members.life.introductions import Introductions
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.news import News
from iotdb_cluster.members.router import Router
from iotdb_cluster.types.identity import GroupId, Node
from iotdb_cluster.types.report import Report


class NodeView(Protocol):
    """What is shared by the services of one node."""

    @property
    def me(self) -> Node:
        """This node, identifier included."""

    @property
    def context(self) -> Context:
        """The node's runtime, clock, disk, peers and settings."""

    @property
    def news(self) -> News:
        """Tells when `state` is another one."""

    @property
    def router(self) -> Router:
        """The way to the group of a plan."""

    @property
    def introductions(self) -> Introductions:
        """Who we are, and whom we believe."""

    @property
    def offered_files(self) -> OfferedFiles:
        """What `readFile` may read."""

    @property
    def readers(self) -> Readers:
        """Open readers."""

    @property
    def meta(self) -> MetaGroupMember | None:
        """The member of the meta group; None before the seed nodes have found each other."""

    @property
    def state(self) -> MetaState:
        """The meta group's state as applied here; an empty one while blind."""

    @property
    def is_stopping(self) -> bool:
        """True once the node hands its groups over to others, in order to stop."""

    def data(self, group: GroupId) -> DataGroupMember | None:
        """The member of a data group, where this node has one."""

    def report(self) -> Report:
        """What this node knows, for people."""

    def regenerate_identifier(self) -> None:
        """Take a new identifier; does nothing for a node whose identifier others may count on already."""

    def exiled(self, meta_index: int) -> None:
        """The cluster says that this node was removed by the meta entry at `meta_index`."""
