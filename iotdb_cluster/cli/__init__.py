"""The console command `iotdb-cluster`, and clusters of processes on this machine."""
