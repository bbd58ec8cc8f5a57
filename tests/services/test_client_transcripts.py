"""Transcripts of the original's clients, as far as their calls are served."""

import pytest

from tests.services.rig import one_node
from tests.services.transcripts import Player, scenarios

SCENARIOS = {scenario["name"]: scenario for scenario in scenarios()}
NOT_YET = {"users", "ttl"}
"""What needs accounts and times to live."""


@pytest.fixture(scope="module")
def empty_node(tmp_path_factory):
    """A node of its own: the original's server was empty, too."""
    with one_node(tmp_path_factory.mktemp("transcripts")) as node:
        yield node


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - NOT_YET))
def test_a_transcript_is_answered_as_the_original_does_or_better(empty_node, name):
    with Player(empty_node) as player:
        assert [] == list(player.differences(SCENARIOS[name]["steps"]))
