"""The page of figures is what the kept figures say."""

import json
from pathlib import Path

from bench.page import as_page

BENCH = Path(__file__).parent.parent.parent / "bench"


def test_the_page_is_made_of_the_figures_beside_it() -> None:
    results, moves = (json.loads((BENCH / name).read_text("utf-8")) for name in ("results.json", "moves.json"))
    assert as_page(results, moves) == (BENCH / "RESULTS.md").read_text("utf-8")
