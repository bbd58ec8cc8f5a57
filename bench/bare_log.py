"""A bare replicated log, to compare with: three processes, a fixed leader, no Thrift, no elections, nothing applied.

A frame is a 4-byte length and as many bytes. The leader writes each frame to its file, the two followers to theirs, all
with fdatasync; a caller is answered when the leader and one follower have it. A thread for each connection takes frames
in; one thread takes whatever waits, as one write, one sync and one message to each follower.

A frame `R` + u32 is answered by that many bytes: what a socket alone can deliver.
"""

import argparse
import os
import socket
import struct
import threading
from collections import deque
from pathlib import Path

READ = 0x52
ACK = b"\0\0\0\x01A"


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes; `EOFError` when the other side ends first."""
    parts = []
    while size:
        part = sock.recv(size, socket.MSG_WAITALL)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_frame(sock: socket.socket) -> bytes:
    """The next frame, without its length."""
    (length,) = struct.unpack("!I", read_exactly(sock, 4))
    return read_exactly(sock, length)


def listen() -> socket.socket:
    """A listening socket on a free port, whose number is the first line of standard output."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(sock.getsockname()[1], flush=True)
    return sock


class LogFile:
    """A growing file; `append` returns when the bytes are durable."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append(self, data: bytes) -> None:
        """Write and sync."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        os.fdatasync(self._fd)


def follow(path: Path) -> None:
    """Be a follower: write, sync and acknowledge what the one leader sends."""
    log = LogFile(path)
    sock, _ = listen().accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while True:
            log.append(read_frame(sock))
            sock.sendall(b"A")
    except EOFError:
        return


class Leader:
    """Takes frames, replicates them in batches, answers."""

    def __init__(self, path: Path, followers: list[int]) -> None:
        self._log = LogFile(path)
        self._followers = [socket.create_connection(("127.0.0.1", port)) for port in followers]
        for sock in self._followers:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._waiting: deque[tuple[bytes, threading.Lock]] = deque()
        self._work = threading.Semaphore(0)
        self._acknowledged = threading.Condition()
        self._by_follower = [0] * len(followers)

    def run(self) -> None:
        """Serve until the process is ended."""
        threading.Thread(target=self._replicate, daemon=True).start()
        for number, sock in enumerate(self._followers):
            threading.Thread(target=self._collect, args=(number, sock), daemon=True).start()
        server = listen()
        while True:
            sock, _ = server.accept()
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        mine = threading.Lock()
        mine.acquire()
        try:
            while True:
                frame = read_frame(sock)
                if frame[0] == READ and len(frame) == 5:
                    (size,) = struct.unpack("!I", frame[1:])
                    sock.sendall(struct.pack("!I", size) + bytes(size))
                    continue
                self._waiting.append((frame, mine))
                self._work.release()
                mine.acquire()
                sock.sendall(ACK)
        except (EOFError, ConnectionError):
            return

    def _replicate(self) -> None:
        batches = 0
        while True:
            self._work.acquire()
            taken = [self._waiting.popleft()]
            while self._work.acquire(blocking=False):
                taken.append(self._waiting.popleft())
            data = b"".join(frame for frame, _ in taken)
            message = struct.pack("!I", len(data)) + data
            for sock in self._followers:
                sock.sendall(message)
            self._log.append(data)
            batches += 1
            with self._acknowledged:
                while max(self._by_follower) < batches:
                    self._acknowledged.wait()
            for _, caller in taken:
                caller.release()

    def _collect(self, number: int, sock: socket.socket) -> None:
        while True:
            acks = len(sock.recv(4096))
            if not acks:
                return
            with self._acknowledged:
                self._by_follower[number] += acks
                self._acknowledged.notify()


def main() -> None:
    """`follower FILE`, or `leader FILE PORT PORT`; prints its port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["follower", "leader"])
    parser.add_argument("file", type=Path)
    parser.add_argument("followers", type=int, nargs="*")
    options = parser.parse_args()
    if options.role == "follower":
        follow(options.file)
    else:
        Leader(options.file, options.followers).run()


if __name__ == "__main__":
    main()
