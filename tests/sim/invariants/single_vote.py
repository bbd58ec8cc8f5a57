"""Invariant 10: nobody says yes to two candidates of one term, itself included; seen on the wire, over all starts."""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import Reply, Send
from iotdb_cluster.raft.messages import Verdict, VoteRequest
from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Compare a grant, or a campaign, with what this node granted in the term before."""
    speech = world.speech
    effect = speech.effect
    message = effect.message if type(effect) is Send else speech.request
    if type(message) is not VoteRequest or message.pre:
        return
    if type(effect) is Reply and effect.answer.verdict is not Verdict.AGREE:
        return
    earlier = world.ledger.grants.get((message.term, speech.node))
    if earlier is not None and earlier != message.candidate:
        yield Violation(10, f"node {speech.node} votes for {message.candidate} in term {message.term}, after {earlier}")
