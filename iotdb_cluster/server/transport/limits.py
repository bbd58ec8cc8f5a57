"""What a port takes from a caller before it refuses."""

from dataclasses import dataclass

from iotdb_cluster.settings import MIB, Settings


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Bounds of one port; sizes in bytes, times in milliseconds."""

    connection_max_count: int = 1024
    """Connections, each with its thread, that are served at once."""
    frame_max_bytes: int = 64 * MIB
    """The largest message that is taken, and the largest answer that is given."""
    frame_timeout_ms: int = 20_000
    """From the first byte of a message to its last; between messages a caller may be silent for ever."""
    send_timeout_ms: int = 20_000
    """How long a caller may leave an answer unread before its connection is cut."""
    refusal_max_count: int = 64
    """Connections above the cap that are being told so; one more, and the oldest of them is closed without a word."""
    refusal_timeout_ms: int = 5_000
    """How long such a connection may take to make its first call."""

    @classmethod
    def of(cls, settings: Settings) -> "TransportLimits":
        """The limits that the configuration states."""
        return cls(
            connection_max_count=settings.max_concurrent_client_num,
            frame_max_bytes=settings.frame_max_mb * MIB,
            frame_timeout_ms=settings.frame_timeout_ms,
            send_timeout_ms=settings.send_timeout_ms,
        )
