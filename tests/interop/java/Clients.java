import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import org.apache.iotdb.jdbc.IoTDBConnection;
import org.apache.iotdb.jdbc.IoTDBSQLException;
import org.apache.iotdb.rpc.StatementExecutionException;
import org.apache.iotdb.session.Session;
import org.apache.iotdb.session.SessionDataSet;
import org.apache.iotdb.tsfile.file.metadata.enums.CompressionType;
import org.apache.iotdb.tsfile.file.metadata.enums.TSDataType;
import org.apache.iotdb.tsfile.file.metadata.enums.TSEncoding;
import org.apache.iotdb.tsfile.utils.Binary;
import org.apache.iotdb.tsfile.write.record.Tablet;
import org.apache.iotdb.tsfile.write.schema.MeasurementSchema;

/** Conversations of the original's JDBC driver and Session; each thing that they were told is one line "name ==> text". */
public class Clients {
  interface Step {
    String told() throws Exception;
  }

  public static void main(String[] arguments) throws Exception {
    String ip = arguments[0];
    int port = Integer.parseInt(arguments[1]);
    jdbc("jdbc:iotdb://" + ip + ":" + port + "/");
    session(ip, port);
  }

  static void tell(String name, Step step) throws Exception {
    String told;
    try {
      told = step.told();
    } catch (IoTDBSQLException | StatementExecutionException | BatchUpdateException refusal) {
      told = "refused: " + refusal.getMessage().replace("\n", " / ");
    }
    System.out.println(name + " ==> " + told);
  }

  static void jdbc(String url) throws Exception {
    Class.forName("org.apache.iotdb.jdbc.IoTDBDriver");
    tell("wrong password", () -> DriverManager.getConnection(url, "root", "none").toString());
    try (Connection connection = DriverManager.getConnection(url, "root", "root");
        Statement statement = connection.createStatement()) {
      zones((IoTDBConnection) connection);
      writing(statement);
      refusals(statement);
      queries(statement);
      paging(connection);
      PreparedStatement prepared = connection.prepareStatement("SELECT i, t FROM root.j.d WHERE time = ?");
      prepared.setLong(1, 1);
      tell("prepared", () -> rows(prepared.executeQuery()));
      tell("product", () -> connection.getMetaData().getDatabaseProductName());
      tell("tree", () -> connection.getMetaData().toString().replaceAll("\\s+", " "));
      for (String sql : List.of("DELETE FROM root.j.d.i WHERE time < 150", "flush root.j", "merge", "LOAD CONFIGURATION")) {
        tell(sql, () -> String.valueOf(statement.execute(sql)));
      }
      tell("after DELETE", () -> rows(statement.executeQuery("SELECT count(i), count(x) FROM root.j.d")));
      tell("DELETE STORAGE GROUP", () -> String.valueOf(statement.execute("DELETE STORAGE GROUP root.j")));
    }
  }

  static void zones(IoTDBConnection connection) throws Exception {
    tell("zone", () -> connection.getTimeZone());
    connection.setTimeZone("Asia/Shanghai");
    tell("new zone", () -> connection.getTimeZone());
    tell("no zone", () -> {
      connection.setTimeZone("Mars/Olympus");
      return "taken";
    });
  }

  static void writing(Statement statement) throws Exception {
    statement.execute("SET STORAGE GROUP TO root.j");
    String[] types = {"b BOOLEAN PLAIN", "i INT32 RLE", "l INT64 TS_2DIFF", "f FLOAT GORILLA", "x DOUBLE GORILLA", "t TEXT PLAIN"};
    for (String each : types) {
      String[] words = each.split(" ");
      statement.execute("CREATE TIMESERIES root.j.d." + words[0] + " WITH DATATYPE=" + words[1] + ", ENCODING=" + words[2]);
    }
    tell("insert", () -> String.valueOf(
        statement.execute("INSERT INTO root.j.d(timestamp,b,i,l,f,x,t) VALUES(1,true,-7,9000000000,1.5,2.25,'it is é')")));
    tell("insert with a date", () -> String.valueOf(
        statement.executeUpdate("INSERT INTO root.j.d(timestamp,i,t) VALUES(2020-02-03 04:05:06,8,\"two\")")));
    for (int time = 100; time < 1600; time++) {
      statement.addBatch("INSERT INTO root.j.d(timestamp,i,x) VALUES(" + time + "," + time + "," + time + ".5)");
    }
    tell("batch", () -> {
      int[] codes = statement.executeBatch();
      return codes.length + " times " + new TreeSet<>(Arrays.stream(codes).boxed().toList());
    });
    statement.clearBatch();
    statement.addBatch("INSERT INTO root.j.d(timestamp,l) VALUES(5,5)");
    statement.addBatch("nonsense");
    statement.addBatch("INSERT INTO root.j.d(timestamp,l) VALUES(6,'x')");
    tell("batch that fails in part", () -> Arrays.toString(statement.executeBatch()));
    statement.clearBatch();
    tell("what it did", () -> rows(statement.executeQuery("SELECT l FROM root.j.d")));
  }

  static void refusals(Statement statement) throws Exception {
    tell("no statement", () -> String.valueOf(statement.execute("SELEKT 1")));
    tell("no query", () -> rows(statement.executeQuery("SELECT FROM")));
    tell("no series", () -> rows(statement.executeQuery("SELECT nope FROM root.j.d")));
    tell("query as update", () -> String.valueOf(statement.executeUpdate("SELECT i FROM root.j.d")));
    tell("update as query", () -> rows(statement.executeQuery("SET STORAGE GROUP TO root.k")));
  }

  static void queries(Statement statement) throws Exception {
    String[] queries = {
      "SELECT * FROM root.j.d WHERE time < 3",
      "SELECT i, i, x FROM root.j.d WHERE time < 200 AND i > 150 LIMIT 2 OFFSET 1",
      "SELECT count(i), avg(x), max_value(t), min_time(i), last_value(b) FROM root.j.d",
      "SELECT count(i), sum(x) FROM root.j.d GROUP BY([100, 160], 20ms)",
      "SELECT i FROM root.j.d WHERE time = 50 FILL(int32[previous])",
      "SELECT i, t FROM root.j.d WHERE time < 101 GROUP BY DEVICE",
      "SELECT t, l FROM root.j.d DISABLE ALIGN",
      "SELECT i FROM root.j.d WHERE time > 100000000000000",
      "SHOW STORAGE GROUP",
      "SHOW TIMESERIES root.j.d.f",
      "SHOW DEVICES root.j",
      "COUNT TIMESERIES root.j",
      "COUNT TIMESERIES root.j GROUP BY LEVEL=2",
      "SHOW TTL ON root.j",
      "LIST USER",
    };
    for (String query : queries) {
      tell(query, () -> statement.execute(query) ? rows(statement.getResultSet()) : "no query");
    }
    ResultSet values = statement.executeQuery("SELECT b, i, l, x, t FROM root.j.d WHERE time = 1");
    values.next();
    tell("values", () -> values.getTimestamp(1).getTime() + " " + values.getBoolean(2) + " " + values.getInt(3) + " "
        + values.getLong(4) + " " + values.getDouble(5) + " " + values.getString("root.j.d.t"));
    values.close();
  }

  static void paging(Connection connection) throws Exception {
    Statement first = connection.createStatement();
    Statement second = connection.createStatement();
    first.setFetchSize(7);
    second.setFetchSize(11);
    ResultSet some = first.executeQuery("SELECT i FROM root.j.d");
    ResultSet others = second.executeQuery("SELECT x FROM root.j.d");
    tell("two at once", () -> {
      int count = 0;
      while (count < 300 && some.next() && others.next()) {
        count++;
      }
      first.close();
      while (others.next()) {
        count++;
      }
      return String.valueOf(count);
    });
    second.close();
    Statement cancelled = connection.createStatement();
    cancelled.setFetchSize(10);
    cancelled.executeQuery("SELECT i FROM root.j.d").next();
    tell("cancel", () -> {
      cancelled.cancel();
      return "done";
    });
    cancelled.close();
  }

  /** Labels, then rows, with " | " between columns. */
  static String rows(ResultSet result) throws SQLException {
    ResultSetMetaData about = result.getMetaData();
    List<String> lines = new ArrayList<>();
    List<String> cells = new ArrayList<>();
    for (int at = 1; at <= about.getColumnCount(); at++) {
      cells.add(about.getColumnLabel(at));
    }
    lines.add(String.join(" | ", cells));
    while (result.next()) {
      cells.clear();
      for (int at = 1; at <= about.getColumnCount(); at++) {
        cells.add(String.valueOf(result.getString(at)));
      }
      lines.add(String.join(" | ", cells));
    }
    result.close();
    return String.join(" / ", lines);
  }

  static void session(String ip, int port) throws Exception {
    Session session = new Session(ip, port, "root", "root");
    session.open();
    session.setStorageGroup("root.s");
    tell("session: again", () -> {
      session.setStorageGroup("root.s");
      return "taken";
    });
    Step create = () -> {
      session.createTimeseries("root.s.d.i", TSDataType.INT64, TSEncoding.RLE, CompressionType.SNAPPY);
      return "taken";
    };
    tell("session: create", create);
    tell("session: create again", create);
    session.insertTablet(tablet(), true);
    for (String query : List.of("SELECT * FROM root.s.d WHERE time < 2", "SELECT i,n,i FROM root.s.d WHERE time = 2999",
        "SELECT count(i), sum(x) FROM root.s.d", "SHOW TIMESERIES root.s.d.b")) {
      tell("session: " + query, () -> rows(session.executeQueryStatement(query)));
    }
    SessionDataSet all = session.executeQueryStatement("SELECT i, t FROM root.s.d");
    tell("session: pages", () -> {
      all.setFetchSize(100);
      int count = 0;
      while (all.hasNext()) {
        all.next();
        count++;
      }
      return String.valueOf(count);
    });
    all.closeOperationHandle();
    session.executeNonQueryStatement("INSERT INTO root.s.d(timestamp,i) VALUES(5000,1)");
    tell("session: no statement", () -> {
      session.executeNonQueryStatement("INSERT INTO");
      return "taken";
    });
    tell("session: no series", () -> rows(session.executeQueryStatement("SELECT x FROM root.zz")));
    session.deleteData("root.s.d.i", 2998);
    tell("session: after deleteData", () -> rows(session.executeQueryStatement("SELECT i FROM root.s.d")));
    session.deleteTimeseries("root.s.d.b");
    session.deleteStorageGroup("root.s");
    tell("session: no storage group", () -> {
      session.deleteStorageGroup("root.s");
      return "taken";
    });
    session.close();
  }

  static String rows(SessionDataSet result) throws Exception {
    List<String> lines = new ArrayList<>();
    lines.add(result.getColumnNames() + " " + result.getColumnTypes());
    while (result.hasNext()) {
      lines.add(result.next().toString().replace("\t", " | "));
    }
    result.closeOperationHandle();
    return String.join(" / ", lines);
  }

  /** 3,000 rows of every type. */
  static Tablet tablet() {
    List<MeasurementSchema> columns = new ArrayList<>();
    for (String each : List.of("i INT64", "b BOOLEAN", "t TEXT", "f FLOAT", "n INT32", "x DOUBLE")) {
      String[] words = each.split(" ");
      columns.add(new MeasurementSchema(words[0], TSDataType.valueOf(words[1]), TSEncoding.PLAIN));
    }
    Tablet tablet = new Tablet("root.s.d", columns, 3000);
    for (int row = 0; row < 3000; row++) {
      tablet.timestamps[row] = row;
      ((long[]) tablet.values[0])[row] = row * 10_000_000_000L;
      ((boolean[]) tablet.values[1])[row] = row % 3 == 0;
      ((Binary[]) tablet.values[2])[row] = new Binary("é" + row);
      ((float[]) tablet.values[3])[row] = row / 4f;
      ((int[]) tablet.values[4])[row] = -row;
      ((double[]) tablet.values[5])[row] = row / 8.0;
    }
    tablet.rowSize = 3000;
    return tablet;
  }
}
