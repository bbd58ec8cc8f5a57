"""Invariant 24: a member whose removal is committed never comes to lead, is sent nothing, moves nobody (rule 4.4).

The rule binds whoever knows the removal to be committed. After a restart of all nobody knows that until a leader has
committed an entry of its own term: until then the removed member may campaign like anyone whose removal is half made
(rule 4.1), and if it is elected it leads without counting itself, and hands over.
"""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import Send
from iotdb_cluster.raft.events import Received
from iotdb_cluster.raft.messages import VoteRequest
from tests.sim.invariants.view import Step, Violation, World


def check(world: World) -> Iterable[Violation]:
    """Look at new leaders, at what leaders send, and at what a vote request of a removed member does."""
    step = world.step
    if step.became_leader:
        yield from _elected_after_its_removal(world)
    if step.raft.is_leader:
        members = step.raft.membership.members if step.raft.membership is not None else frozenset()
        for effect in step.effects:
            if type(effect) is Send and effect.to not in members:
                yield Violation(24, f"leader {step.node} sends to {effect.to}, who is in no membership of it")
    yield from _moved_by_a_removed_member(step)


def _elected_after_its_removal(world: World) -> Iterable[Violation]:
    step, ledger = world.step, world.ledger
    term = step.raft.term
    removed_at = ledger.removed_before(term, step.node)
    if removed_at is None:
        return
    commits = {voter: ledger.known_commits.get(voter, 0) for voter in ledger.votes.get((term, step.node), set())}
    commits[step.node] = step.before.commit_index
    knowing = sorted(voter for voter, commit in commits.items() if commit >= removed_at)
    if knowing:
        yield Violation(24, f"node {step.node}, whose removal {knowing} know to be committed, leads term {term}")


def _moved_by_a_removed_member(step: Step) -> Iterable[Violation]:
    if len(step.events) != 1 or type(step.events[0]) is not Received:
        return
    message = step.events[0].message
    known = step.raft.committed_membership
    if type(message) is not VoteRequest or known is None or step.raft.membership != known:
        return
    if message.candidate not in known.members and not message.pre:
        is_newer = message.last > step.before.last_id
        if not is_newer and (step.raft.term, step.raft.leader) != (step.before.term, step.before.leader):
            yield Violation(
                24, f"node {step.node} is moved to term {step.raft.term} by the removed {message.candidate}"
            )
