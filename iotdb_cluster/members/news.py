"""Tells threads and coroutines that wait that there is something new."""

from iotdb_cluster.members.pending import Pending


class News:
    """Take `upcoming()` first, then look, then wait for it: so nothing is missed. May be used from any thread."""

    def __init__(self) -> None:
        self._upcoming: Pending[None] = Pending()

    def upcoming(self) -> Pending[None]:
        """Settled by the next `tell`."""
        return self._upcoming

    def tell(self) -> None:
        """There is something new; called by one thread."""
        told, self._upcoming = self._upcoming, Pending()
        told.resolve(None)
