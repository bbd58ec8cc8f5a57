"""Figures: `python -m bench` measures a cluster on this machine beside a bare replicated log, and writes JSON."""
