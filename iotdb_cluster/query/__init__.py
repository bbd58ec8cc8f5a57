"""Rows of several series: aligned by time, filtered, aggregated, filled, packed; where points come from is open."""
