"""Events and effects in words, for transcripts that a person reads."""

from collections.abc import Iterable

from iotdb_cluster.raft import effects as fx
from iotdb_cluster.raft import events as ev
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.messages import (
    Answer,
    AppendRequest,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    TimeoutNow,
    VoteRequest,
)
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.membership import Membership


def of_id(entry_id: EntryId) -> str:
    """Index and term: `7/2`."""
    return f"{entry_id.index}/{entry_id.term}"


def of_membership(membership: Membership | None) -> str:
    """`1 2 3`, `1 2 3 + 4` with a learner, `1 2 5 <- 1 2 3` while joint."""
    if membership is None:
        return "nobody"
    text = " ".join(map(str, sorted(membership.voters)))
    if membership.learners:
        text += " + " + " ".join(map(str, sorted(membership.learners)))
    if membership.outgoing:
        text += " <- " + " ".join(map(str, sorted(membership.outgoing)))
    return text


def of_entry(entry: Entry) -> str:
    """Position and content."""
    if entry.kind == EntryKind.MEMBERSHIP:
        return f"{of_id(entry.id)} [{of_membership(entry.membership)}]"
    return of_id(entry.id) + (f" {entry.body.decode('latin-1')}" if entry.body else "")


def of_entries(entries: Iterable[Entry]) -> str:
    """Up to four entries in full, more by the first and last."""
    listed = list(entries)
    if len(listed) > 4:
        return f"{of_entry(listed[0])} .. {of_entry(listed[-1])}"
    return ", ".join(map(of_entry, listed))


def of_message(message: Message) -> str:
    """A request."""
    match message:
        case VoteRequest():
            name = "pre-vote?" if message.pre else "vote?"
            meta = "" if message.meta_last is None else f", meta {of_id(message.meta_last)}"
            handover = ", handover" if message.handover else ""
            return f"{name} term {message.term}, last {of_id(message.last)}{meta}{handover}"
        case AppendRequest():
            return f"append term {message.term} behind {of_id(message.prev)}: {of_entries(message.entries)}"
        case Heartbeat():
            return f"heartbeat term {message.term}, commit {message.commit_index}, round {message.round}"
        case TimeoutNow():
            return f"campaign now, term {message.term}"


def of_answer(answer: Answer) -> str:
    """An answer."""
    last = f", last {of_id(answer.last)}" if isinstance(answer, HeartbeatAnswer) and answer.last is not None else ""
    return f"{answer.verdict.name} (term {answer.term}){last}"


def of_event(event: ev.Event) -> str:
    """What comes into a member."""
    match event:
        case ev.Received(message):
            return f"gets {of_message(message)}"
        case ev.Answered(peer, message, answer):
            return f"hears from {peer}: {of_answer(answer)} to {of_message(message)}"
        case ev.CallFailed(peer, message):
            return f"hears nothing from {peer} to {of_message(message)}"
        case ev.Propose(_, payloads):
            return f"is asked to write {', '.join(payload.body.decode('latin-1') for payload in payloads)}"
        case ev.ChangeMembership(_, membership):
            return f"is asked for the membership {of_membership(membership)}"
        case ev.Persisted(last):
            return f"has synced up to {of_id(last)}"
        case ev.SnapshotInstalled(last):
            return f"has installed a snapshot of {of_id(last)}"
        case ev.SnapshotSent(peer, last, ok):
            return f"sent {peer} a snapshot of {of_id(last)}: {'taken' if ok else 'not taken'}"
        case ev.Compact(upto):
            return f"may forget up to {upto}"
        case ev.TransferLeadership(to):
            return f"is to hand over to {to or 'the best'}"
        case ev.ContextChanged(meta_last, meta_applied, tombstones):
            return f"meta last {of_id(meta_last)}, applied {of_id(meta_applied)}, tombstones {sorted(tombstones)}"
        case ev.Tick():
            return "ticks"
        case ev.ReadIndex():
            return "is asked for a strong read"


def of_effect(effect: fx.Effect) -> str:
    """What a member wants done."""
    match effect:
        case fx.Send(to, message, durable):
            return f"{'synced ' if durable else ''}-> {to}: {of_message(message)}"
        case fx.Reply(_, answer, durable):
            return f"{'synced ' if durable else ''}answer: {of_answer(answer)}"
        case fx.SaveHardState(hard_state):
            return f"save term {hard_state.term}, vote {hard_state.vote or 'none'}"
        case fx.SaveEntries(entries):
            return f"save {of_entries(entries)}"
        case fx.SaveSnapshotPoint(last, membership, drop_log):
            dropped = ", old log dropped" if drop_log else ""
            return f"log begins behind {of_id(last)} [{of_membership(membership)}]{dropped}"
        case fx.Accepted(_, ids):
            return f"accepted as {', '.join(map(of_id, ids))}"
        case fx.Refused(_, reason, leader):
            return f"refused, {reason.name}, leader {leader or 'unknown'}"
        case fx.Committed(entries):
            return f"apply {of_entries(entries)}"
        case fx.ReadConfirmed(_, index):
            return f"read at {index}"
        case fx.RoleChanged(role, term, leader):
            return f"{role.value} of term {term}, leader {leader or 'unknown'}"
        case fx.SendSnapshot(to, at_least):
            return f"-> {to}: a snapshot from {at_least} on"
        case fx.PeerRegressed(peer, acknowledged, found):
            return f"{peer} had acknowledged {acknowledged} and now ends at {found}"


def of_member(raft: Raft) -> str:
    """Where a member stands: role, term, log."""
    begin = f"{raft.log.snapshot.index}.." if raft.log.snapshot.index else ""
    return f"{raft.role.name[0]} t{raft.term} {begin}{of_id(raft.last_id)} c{raft.commit_index}"
