# ruff: noqa  (kept as they were searched)
"""Breadth-first search over an explicit state graph, with traces and a check that a good state stays reachable."""

import time
from collections import deque


class Result:
    def __init__(self, name, states, edges, seconds, complete, violations, stuck):
        self.name, self.states, self.edges, self.seconds = name, states, edges, seconds
        self.complete, self.violations, self.stuck = complete, violations, stuck

    def line(self):
        how = "all" if self.complete else "cut off"
        return f"{self.name}: {self.states} states ({how}), {self.edges} steps, {self.seconds:.0f} s"


def trace(parent, state):
    steps = []
    while parent[state] is not None:
        previous, label = parent[state]
        steps.append((label, state))
        state = previous
    return list(reversed(steps))


def explore(name, initial, steps, check, fair=None, good=None, limit=2_000_000, stop_at_first=True):
    """`steps(state)` yields (label, state, fault or None); `check(state)` returns a fault or None.

    With `fair(label)` and `good(state)`: a state from which no good one can be reached by fair steps alone is stuck.
    """
    begin = time.monotonic()
    parent = {initial: None}
    queue = deque([initial])
    violations = {}
    edges = 0
    back = {} if good else None
    complete = True
    while queue:
        state = queue.popleft()
        for label, after, fault in steps(state):
            edges += 1
            fault = fault or (check(after) if after not in parent else None)
            if after not in parent:
                if len(parent) >= limit:
                    complete = False
                    continue
                parent[after] = (state, label)
                queue.append(after)
            if back is not None and fair(label):
                back.setdefault(after, []).append(state)
            if fault and fault not in violations:
                violations[fault] = trace(parent, state) + [(label, after)]
                if stop_at_first:
                    queue.clear()
                    complete = False
                    break
    stuck = None
    if good and complete:
        reach = {state for state in parent if good(state)}
        work = list(reach)
        while work:
            for before in back.get(work.pop(), ()):
                if before not in reach:
                    reach.add(before)
                    work.append(before)
        for state in parent:  # insertion order: the first one is a shortest one
            if state not in reach:
                stuck = trace(parent, state)
                break
    return Result(name, len(parent), edges, time.monotonic() - begin, complete, violations, stuck)
