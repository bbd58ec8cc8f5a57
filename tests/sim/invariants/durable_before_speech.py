"""Invariant 11: a grant, a campaign or an acknowledgement leaves a node when what it stands on is durable."""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import Reply, Send
from iotdb_cluster.raft.messages import AppendAnswer, AppendRequest, Verdict, VoteAnswer, VoteRequest
from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Compare what is said with what would survive a loss of power.

    A later durable term outdoes an earlier one: the node can't contradict itself in a term that it has left.
    """
    speech = world.speech
    effect, disk = speech.effect, world.disks[speech.node]
    if type(effect) is Send:
        message = effect.message
        if type(message) is VoteRequest and not message.pre:
            saved = disk.hard_state
            if saved.term < message.term or (saved.term == message.term and saved.vote != speech.node):
                yield Violation(11, f"node {speech.node} campaigns in term {message.term}, durable is {saved}")
        return
    assert type(effect) is Reply
    request, answer = speech.request, effect.answer
    if answer.verdict is not Verdict.AGREE:
        return
    saved = disk.hard_state
    if type(request) is VoteRequest and type(answer) is VoteAnswer and not request.pre:
        if saved.term < request.term or (saved.term == request.term and saved.vote != request.candidate):
            yield Violation(11, f"node {speech.node} grants {request}, durable is {saved}")
    elif type(request) is AppendRequest and type(answer) is AppendAnswer:
        last = request.entries[-1].id
        if saved.term < request.term or (saved.term == request.term and not disk.holds(last)):
            yield Violation(11, f"node {speech.node} acknowledges {last} of term {request.term}, which is not durable")
