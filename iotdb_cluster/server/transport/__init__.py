"""The threaded Thrift server: frames in, calls dispatched, answers out, everything bounded."""
