"""The original's Session and JDBC speak without frames: whole conversations with stock clients of both protocols."""

import pytest
from thriftpy2.protocol import TBinaryProtocolFactory, TCompactProtocolFactory, TCyBinaryProtocolFactory
from thriftpy2.rpc import make_client
from thriftpy2.transport import TBufferedTransportFactory, TCyBufferedTransportFactory

from tests.services.rig import RPC, LoggedIn, code

PLAIN = {
    "binary": (TBinaryProtocolFactory(), TBufferedTransportFactory()),
    "compact": (TCompactProtocolFactory(), TBufferedTransportFactory()),
    "compiled": (TCyBinaryProtocolFactory(), TCyBufferedTransportFactory()),
}


@pytest.fixture(params=sorted(PLAIN))
def plain(node, request):
    """A client whose connection has no frames."""
    proto_factory, trans_factory = PLAIN[request.param]
    client = make_client(
        RPC.TSIService, *node.client_address, proto_factory=proto_factory, trans_factory=trans_factory, timeout=20_000
    )
    yield client
    client.close()


def test_a_session_without_frames_writes_and_reads(plain, new_name):
    session = LoggedIn(plain)
    sg = new_name()
    assert 200 == code(session.set_storage_group(sg))
    rows = [(f"{sg}.d", time, ["s", "t"], [str(time * time), f"'{time} é'"]) for time in range(2_000)]
    assert {200} == {code(status) for status in session.insert_rows(*rows).statusList}
    request = RPC.TSExecuteStatementReq(
        sessionId=session.id, statement=f"select s, t from {sg}.d", statementId=plain.requestStatementId(session.id)
    )
    request.fetchSize = 2_000
    answer = plain.executeQueryStatement(request)
    assert [f"{sg}.d.s", f"{sg}.d.t"] == answer.columns
    assert 8 * 2_000 == len(answer.queryDataSet.time)
    assert 200 == code(session.close())
