"""Copies for slot moves: what writers wait for comes first, and nobody is fenced before most of the target have it."""

from types import SimpleNamespace

import numpy as np
import pytest

from iotdb_cluster.errors import Busy, OutcomeUnknown, Unreachable
from iotdb_cluster.members.moves.codec import GroupDeed
from iotdb_cluster.members.moves.mover import SAME_SOURCE_MS, Mover
from iotdb_cluster.members.moves.pulling import PULL_BYTES
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.partition.moves import Decision, Deed, GroupSlots, MoveBook
from iotdb_cluster.storage.disk import RealDisk
from iotdb_cluster.timeseries.manifest import SealedFile, StorageGroupContent
from iotdb_cluster.timeseries.move_content import MoveContent
from iotdb_cluster.timeseries.move_staging import MoveStaging
from iotdb_cluster.timeseries.sealed_writer import Checksums
from iotdb_cluster.types.identity import EntryId, GroupId, Node, NodeId
from iotdb_cluster.types.membership import Membership

SOURCE, TARGET = GroupId(7), GroupId(1)
NODES = {number: Node("127.0.0.1", number, NodeId(number), 100 + number) for number in (1, 2, 3, 5, 7)}
UNLIMITED_MB = 1 << 40


class Source:
    """A member of the source and the other members of the target, as whoever calls them sees them."""

    def __init__(self, world):
        self.world = world
        self.files = {}
        self.calls = []
        self.complete_at = set()
        self.silent = set()
        self.timeouts_ms = set()
        self.not_fenced_at = set()
        self.then = lambda: None
        """What happens behind the first piece of a file."""

    def offer(self, move, pieces):
        """Let a move have one file of so many pieces."""
        data = np.random.default_rng(move).bytes(pieces * PULL_BYTES)
        checks = Checksums()
        checks.add(data)
        group = f"root.g{move}"
        file = SealedFile("1.parquet", group, 1, 0, 1, 0, 1, checks.size, checks.md5, checks.blocks)
        self.files[move] = (MoveContent(EntryId(1, 9), (StorageGroupContent(group, (), (file,)),)), data)

    async def call(self, node, port, method, arguments, timeout_ms):
        self.timeouts_ms.add(timeout_ms)
        if node.identifier in self.silent:
            self.calls.append(("silent", node.identifier, timeout_ms))
            raise OutcomeUnknown("no answer")
        if method == "readFile":
            path, offset, length, _ = arguments
            self.calls.append(("read", int(path), offset // PULL_BYTES))
            then, self.then = self.then, lambda: None
            then()
            return self.files[int(path)][1][offset : offset + length]
        _, move, fenced = arguments
        if node.identifier in (2, 3) and node.identifier not in self.complete_at:
            raise Unreachable("not yet")
        self.calls.append(("fenced" if fenced else "offer", move, node.identifier))
        if fenced and node.identifier in self.not_fenced_at:
            raise Busy("the fence is not applied here")
        content, _ = self.files[move]
        return SimpleNamespace(content=content.encode(), paths=[str(move)])


class World:
    """A node that is in the target group, and leads it."""

    def __init__(self, folder):
        self.disk = disk = RealDisk(folder)
        self.source = Source(self)
        self.book = MoveBook().intend(SOURCE, TARGET, [1]).intend(SOURCE, TARGET, [2])
        self.data_members = []
        self.meta = None
        self.is_ending = False
        self.spare_bytes = 1 << 40
        self.offered_files = None
        settings = SimpleNamespace(heartbeat_interval_ms=250, connection_time_out_ms=1_000)
        self.now_ms = 0
        self.members_of_source = [7]
        clock = SimpleNamespace(now_ms=lambda: self.now_ms)
        self.context = SimpleNamespace(clock=clock, settings=settings, me=NODES[1], transport=self.source)
        voters = frozenset(map(NodeId, (1, 2, 3)))
        self.member = SimpleNamespace(
            group=TARGET,
            is_closed=False,
            leader=NodeId(1),
            raft=SimpleNamespace(membership=Membership(voters), is_leader=True),
            slots=SimpleNamespace(states=GroupSlots()),
            room=SimpleNamespace(spare_bytes=lambda: self.spare_bytes),
            store=SimpleNamespace(
                staging=lambda move: MoveStaging(disk, "data/1", move), prepare_move=lambda move, content: None
            ),
        )
        self.mover = Mover(self, MoveSettings(mb_per_second=UNLIMITED_MB))

    @property
    def state(self):
        members = [NODES[number] for number in self.members_of_source]
        return SimpleNamespace(moves=self.book, node=NODES.get, members_of=lambda header: members)

    def data(self, group):
        return self.member if group == TARGET else None

    def look(self):
        """Let the mover look once; what was called meanwhile."""
        self.source.calls.clear()
        work = self.mover.work()
        work.send(None)  # up to the pause between two looks
        work.close()
        return list(self.source.calls)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_what_lies_behind_a_fence_is_copied_between_two_pieces_of_a_bulk(world):
    world.source.offer(1, pieces=3)
    world.source.offer(2, pieces=1)
    world.source.then = lambda: setattr(world, "book", world.book.report_copied(2))
    calls = world.look()
    assert [("offer", 1, 7), ("read", 1, 0), ("fenced", 2, 7), ("read", 2, 0)] == calls[:4]
    assert [("read", 1, 1), ("read", 1, 2)] == calls[4:6]
    assert world.mover.ready(2) is not None and world.mover.ready(1) is None


def test_a_bulk_that_is_wanted_behind_the_fence_goes_on_where_it_was(world):
    world.source.offer(1, pieces=3)
    world.source.offer(2, pieces=1)
    world.source.then = lambda: setattr(world, "book", world.book.report_copied(1))
    calls = world.look()
    # The next bulk is begun, and gives way at once: what is here of the first one is not pulled again.
    assert [("offer", 1, 7), ("read", 1, 0), ("offer", 2, 7), ("read", 2, 0)] == calls[:4]
    assert [("fenced", 1, 7), ("read", 1, 1), ("read", 1, 2)] == calls[4:7]
    assert world.mover.ready(1) is not None


def test_behind_the_fence_the_source_of_the_bulk_is_asked_and_others_only_when_it_stays_behind(world):
    """Others have the same points in files of their own: all of them would be copied while writers wait."""
    world.members_of_source = [7, 5]
    world.source.offer(1, pieces=1)
    world.source.offer(2, pieces=1)
    world.look()
    world.book = world.book.report_copied(1)
    world.source.not_fenced_at.add(7)
    assert [("fenced", 1, 7)] == [call for call in world.look() if call[0] == "fenced"]
    world.now_ms = SAME_SOURCE_MS
    assert [("fenced", 1, 7), ("fenced", 1, 5)] == [call for call in world.look() if call[0] == "fenced"]
    assert world.mover.ready(1) is not None


def test_a_move_is_copied_when_most_of_the_target_have_the_bulk(world):
    world.source.offer(1, pieces=1)
    world.source.offer(2, pieces=1)
    world.look()
    assert not world.mover.is_copied(world.member, 1)
    world.look()
    assert not world.mover.is_copied(world.member, 1)
    world.source.complete_at.add(3)
    world.look()
    assert world.mover.is_copied(world.member, 1)


def test_a_file_that_is_removed_because_its_move_is_over_stops_nobody(world, tmp_path):
    world.source.offer(1, pieces=1)
    world.source.offer(2, pieces=1)

    def end_it():
        world.book = world.book.decide(1, Decision.ABORTED)
        MoveStaging(world.disk, "data/1", 1).remove(frozenset())

    world.source.then = end_it
    assert ("read", 2, 0) in world.look()
    assert not list(tmp_path.glob("data/1/root.g1/*"))


def test_the_record_of_a_move_may_go_while_it_is_looked_at():
    def read(path):
        raise FileNotFoundError(path)

    assert MoveStaging(SimpleNamespace(exists=lambda path: True, read=read), "data/1", 1).content() is None


def test_nothing_is_copied_to_a_disk_that_has_no_room_for_it_until_it_has(world, tmp_path):
    world.source.offer(1, pieces=2)
    world.source.offer(2, pieces=1)
    world.spare_bytes = 2 * PULL_BYTES - 1
    assert [("offer", 1, 7), ("offer", 2, 7), ("read", 2, 0)] == world.look()[:3]
    world.spare_bytes += 1
    assert [("offer", 1, 7), ("read", 1, 0), ("read", 1, 1)] == world.look()[:3]


def test_a_bulk_is_copied_no_faster_than_the_settings_say_and_what_writers_wait_for_at_once(world):
    world.mover = Mover(world, MoveSettings(mb_per_second=2))
    world.source.offer(1, pieces=3)
    world.source.offer(2, pieces=1)
    work = world.mover.work()
    for read in range(3):
        until = work.send(None).deadline
        assert 500 * (read + 1) == until.at_ms  # a piece of 1 MiB every half second
        assert ("read", 1, read) == world.source.calls[-1]
        world.now_ms = until.at_ms
    work.close()

    world.source.offer(2, pieces=4)
    world.book = world.book.report_copied(2)
    world.source.calls.clear()
    work = world.mover.work()
    work.send(None)
    work.close()
    assert [("read", 2, piece) for piece in range(4)] == [call for call in world.source.calls if call[1] == 2][1:5]


def test_a_member_that_was_away_pulls_what_an_install_names_no_faster_than_a_bulk_and_after_what_writers_wait_for(
    world,
):
    """Most others have it, so nobody waits: it may not take the network and the disk from clients."""
    world.mover = Mover(world, MoveSettings(mb_per_second=2))
    world.source.complete_at.add(3)
    world.member.leader = NodeId(3)
    world.source.offer(1, pieces=3)
    world.source.offer(2, pieces=1)
    world.book = world.book.report_copied(1)
    content, _ = world.source.files[1]
    world.mover.want(TARGET, GroupDeed(Deed.INSTALL, 1, (1,), content.covered.index, content.encode()))
    work = world.mover.work()
    until = work.send(None).deadline
    assert [("offer", 1, 3), ("read", 1, 0)] == world.source.calls
    assert 500 == until.at_ms  # a piece of 1 MiB every half second
    world.book = world.book.report_copied(2)
    world.now_ms = until.at_ms
    until = work.send(None).deadline
    assert [("fenced", 2, 7), ("read", 2, 0), ("read", 1, 1)] == world.source.calls[2:]
    assert 1_000 == until.at_ms
    work.close()


def test_a_source_that_does_not_answer_is_left_for_the_next_one_long_before_a_connection_times_out(world):
    world.context.settings.connection_time_out_ms = 20_000
    world.mover = Mover(world, MoveSettings(mb_per_second=UNLIMITED_MB, call_timeout_ms=700))
    world.members_of_source = [7, 5]
    world.source.silent.add(7)
    world.source.offer(1, pieces=1)
    world.source.offer(2, pieces=1)
    assert [("silent", 7, 700), ("offer", 1, 5), ("read", 1, 0)] == world.look()[:3]
    assert 700 == max(world.source.timeouts_ms)
