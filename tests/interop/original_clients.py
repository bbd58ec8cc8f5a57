"""The original's own Java clients, linked against this project's interface.

No published release of the original speaks the interface of its first cluster module: 0.9.3 is older on the wire and
0.10.0 newer. What differs between the latter and the interface are the generated structs, not how its JDBC driver and
Session hold conversations, page through results and unpack values. So those are taken as published (`java/pom.xml`),
and the structs are generated from `thrift/rpc.thrift` by Apache's compiler, under the names by which the clients know
them.
"""

import re
import shutil
import subprocess
from pathlib import Path

from iotdb_cluster.wire.idl import thrift_folder

HERE = Path(__file__).parent / "java"
STRUCTS = Path("org/apache/iotdb/service/rpc/thrift")
NEEDED = {"java": "default-jre-headless", "javac": "default-jdk-headless", "mvn": "maven", "thrift": "thrift-compiler"}
FETCH_S, BUILD_S = 240, 120

RENAMED = {
    "IOTDB_SERVICE_PROTOCOL_V1": "IOTDB_SERVICE_PROTOCOL_V2",
    "TSBatchInsertionReq": "TSInsertTabletReq",
    "insertBatch": "insertTablet",
}
"""What the clients of 0.10.0 call things; `insertTablet` still goes over the wire as `insertBatch`."""

LATER_FIELDS = {
    "TSExecuteStatementResp": ("map<string, i32> columnNameIndexMap",),
    "TSExecuteBatchStatementResp": ("list<TSStatus> statusList",),
    "TSCreateTimeseriesReq": (
        "map<string, string> props",
        "map<string, string> tags",
        "map<string, string> attributes",
        "string measurementAlias",
    ),
}
"""Fields that the clients look at, and that nobody sets on the wire."""

FLAT_STATUS = """
  public int code;
  public String message;
  public TSStatus(int code) { this.code = code; }
  public TSStatus setMessage(String message) { this.message = message; return this; }
"""
IN_VALIDATE = {
    "TSStatus": "if (statusType != null) { code = statusType.code; message = statusType.message; }",
    "TSExecuteBatchStatementResp": """
    if (result != null && statusList == null) {
      statusList = new java.util.ArrayList<>();
      for (int each : result) statusList.add(new TSStatus(each == -2 ? 200 : each).setMessage(status.message));
    }""",
    "TSExecuteStatementResp": """
    if (nonAlignQueryDataSet != null && columnNameIndexMap == null) {
      columnNameIndexMap = new java.util.LinkedHashMap<>();
      for (String each : columns) columnNameIndexMap.putIfAbsent(each, columnNameIndexMap.size());
    }""",
}
"""What fills those fields from the fields of the interface, once a struct has been read."""


class NotToBeHad(Exception):
    """What the clients need is not on this machine, and cannot be fetched."""


def built(folder: Path) -> str:
    """The class path of the program `java/Clients.java` and all that it needs; raises `NotToBeHad`."""
    for command, package in NEEDED.items():
        if shutil.which(command) is None:
            raise NotToBeHad(f"{command} is not installed (Debian package {package})")
    jars = _fetched(folder / "jars")
    classes = folder / "classes"
    classes.mkdir()
    _generate(folder)
    sources = [HERE / "Clients.java", *(folder / "src").rglob("*.java")]
    class_path = ":".join([str(classes), *map(str, jars)])
    _run(["javac", "-nowarn", "-proc:none", "-encoding", "UTF-8", "-cp", class_path, "-d", str(classes), *sources])
    return class_path


def _fetched(folder: Path) -> list[Path]:
    command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml")]
    fetch = [*command, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    try:
        done = subprocess.run(fetch, capture_output=True, text=True, timeout=FETCH_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotToBeHad(f"Maven did not fetch the original's clients within {FETCH_S} s") from None
    if done.returncode:
        raise NotToBeHad(f"Maven did not fetch the original's clients: {(done.stdout + done.stderr)[:300]}")
    # The generated structs stand in for the published ones, so their jar comes behind them.
    return sorted(folder.glob("*.jar"))


def _generate(folder: Path) -> None:
    """The structs and the service, as the clients know them, in `src`."""
    text = (thrift_folder() / "rpc.thrift").read_text()
    for old, new in RENAMED.items():
        text = text.replace(old, new)
    for struct, fields in LATER_FIELDS.items():
        lines = "".join(f"  {number}: optional {field}\n" for number, field in enumerate(fields, 1_000))
        text = _once(rf"(struct {struct} \{{[^}}]*)\}}", rf"\1{lines}}}", text)
    (folder / "rpc.thrift").write_text(text)
    (folder / "src").mkdir()
    _run(["thrift", "--gen", "java", "-out", folder / "src", folder / "rpc.thrift"])
    made = folder / "src" / STRUCTS
    for path in made.glob("*.java"):
        path.write_text(_for_thrift_0_13(path.read_text()))
    for struct, line in IN_VALIDATE.items():
        _edit(made / f"{struct}.java", r"(public void validate\(\) throws [\w.]+ \{)", rf"\1\n    {line}")
    _edit(made / "TSStatus.java", r"(public class TSStatus [^{]*\{)", rf"\1{FLAT_STATUS}")
    _edit(made / "TSIService.java", r'sendBase\("insertTablet"', 'sendBase("insertBatch"')
    _edit(made / "TSIService.java", r'receiveBase\(result, "insertTablet"\)', 'receiveBase(result, "insertBatch")')


def _for_thrift_0_13(text: str) -> str:
    """What a later compiler makes, for the runtime library that the clients were published with."""
    text = re.sub(
        r"iprot\.read(List|Set)Begin\(([\w.]+)\)", r"new org.apache.thrift.protocol.T\1(\2, iprot.readI32())", text
    )
    return re.sub(
        r"iprot\.readMapBegin\(([\w.]+), ([\w.]+)\)",
        r"new org.apache.thrift.protocol.TMap(\1, \2, iprot.readI32())",
        text,
    )


def _edit(path: Path, pattern: str, replacement: str) -> None:
    path.write_text(_once(pattern, replacement, path.read_text()))


def _once(pattern: str, replacement: str, text: str) -> str:
    text, count = re.subn(pattern, replacement, text)
    assert count == 1, f"{pattern} is there {count} times"
    return text


def _run(command: list[str | Path]) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert 0 == done.returncode, done.stderr[-2_000:]
