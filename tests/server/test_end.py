"""The thread that waits for the end of a node hears of every signal."""

import signal
import threading

from iotdb_cluster.server.loop import End


def test_a_signal_that_another_thread_takes_ends_the_node():
    end = End()
    before = signal.signal(signal.SIGUSR1, lambda *_: end.stop("told by a signal"))
    has_waited = threading.Timer(20, lambda: end.fault(RuntimeError("the signal was not heard of")))
    taken = threading.Event()

    def take():
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        taken.wait()

    taker = threading.Timer(0.1, take)  # by then the main thread waits
    try:
        taker.start()
        has_waited.start()
        assert 0 == end.wait()
    finally:
        has_waited.cancel()
        taken.set()
        taker.join()
        signal.signal(signal.SIGUSR1, before)
