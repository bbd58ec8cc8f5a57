"""Data groups: their state machine over a store of time series, their snapshots, and `TSDataService`."""
