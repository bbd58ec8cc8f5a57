"""A time-series database cluster behind the Thrift interface of Apache IoTDB's first Raft cluster module."""
