"""Seeds that once found something: every short run begins with them.

What a seed plays changes with everything that draws or sends, so each finding has a test of its own besides.
"""

GROUP_SEEDS = {
    9656: "a voter whose replica was dropped before it acknowledged its promotion was never sent anything again",
    13489: "a removed member came to lead when all had restarted: the invariant was stricter than rule 4.4",
}

CLUSTER_SEEDS = {
    149: "readers were counted as left open before they had been idle for long enough",
    217: "the same",
    406: "the same",
    721: "the same",
    256: "a node that was removed while it joined took a new identifier and came back; the watch lost sight of its log",
    296: "a founder of a new group was removed before it had founded it, and the group never had a majority",
    491: "many unknown writes: the search for an order ran out of its budget",
}
