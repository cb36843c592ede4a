// pgjdbc as applications use it.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public class Features {
    interface Work {
        void run() throws Exception;
    }

    static String address;
    static String user;
    static String password;

    static Connection connection() throws SQLException {
        return DriverManager.getConnection(address, user, password);
    }

    static String unique(String what) {
        return what + "_" + System.nanoTime();
    }

    static void same(Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError("found " + found + ", not " + expected);
        }
    }

    static void fails(String code, Work work) throws Exception {
        try {
            work.run();
        } catch (SQLException error) {
            same(error.getSQLState(), code);
            return;
        }
        throw new AssertionError("there was no error " + code);
    }

    static Object one(Connection db, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = db.prepareStatement(sql)) {
            for (int at = 0; at < values.length; at++) {
                statement.setObject(at + 1, values[at]);
            }
            try (ResultSet rows = statement.executeQuery()) {
                rows.next();
                return rows.getObject(1);
            }
        }
    }

    static void run(Connection db, String sql) throws SQLException {
        try (Statement statement = db.createStatement()) {
            statement.execute(sql);
        }
    }

    static void connect() throws Exception {
        for (int turn = 0; turn < 10; turn++) {
            try (Connection db = connection()) {
                same(one(db, "SELECT 1"), 1);
                same(db.isValid(10), true);
            }
        }
        try (Connection db = connection()) {
            db.setSchema("pg_catalog");
            same(db.getSchema(), "pg_catalog");
            db.setReadOnly(true);
            same(one(db, "SELECT count(*) FROM pg_class WHERE relname = 'pg_class'"), 1L);
        }
    }

    static void prepare() throws Exception {
        String table = unique("java");
        try (Connection first = connection(); Connection second = connection()) {
            run(first, "CREATE TABLE " + table + " (id int PRIMARY KEY, name text)");
            PreparedStatement add = first.prepareStatement("INSERT INTO " + table + " VALUES (?, ?)");
            PreparedStatement read = first.prepareStatement("SELECT name FROM " + table + " WHERE id = ?");
            PreparedStatement next = second.prepareStatement("SELECT ?::int + 1");
            // Before it is run: described alone.
            same(read.getMetaData().getColumnName(1), "name");
            // Named on the server from the fifth time on.
            for (int id = 0; id < 30; id++) {
                add.setInt(1, id);
                add.setString(2, "name " + id);
                same(add.executeUpdate(), 1);
                read.setInt(1, id);
                try (ResultSet rows = read.executeQuery()) {
                    rows.next();
                    same(rows.getString(1), "name " + id);
                }
                next.setInt(1, id);
                try (ResultSet rows = next.executeQuery()) {
                    rows.next();
                    same(rows.getInt(1), id + 1);
                }
            }
            // The columns of what it has named it knows from the portal of the first time, and waits to be told that
            // they are others.
            PreparedStatement all = first.prepareStatement("SELECT * FROM " + table + " WHERE id = ?");
            for (int more = 0; more < 3; more++) {
                for (int id = 0; id < 12; id++) {
                    all.setInt(1, id);
                    try (ResultSet rows = all.executeQuery()) {
                        rows.next();
                        same(rows.getMetaData().getColumnCount(), 2 + more);
                        same(rows.getObject(1), id);
                        same(rows.getObject(2 + more), more == 0 ? "name " + id : 7L + more);
                    }
                    one(second, "SELECT 1");
                }
                run(first, "ALTER TABLE " + table + " ADD COLUMN more" + more + " bigint DEFAULT " + (8 + more));
            }
            // More than it keeps: it closes the oldest.
            for (int width = 0; width < 300; width++) {
                for (int turn = 0; turn < 6; turn++) {
                    same(one(first, "SELECT ?::int + " + width, turn), turn + width);
                }
            }
        }
    }

    static void pipeline() throws Exception {
        String table = unique("java");
        try (Connection db = connection()) {
            run(db, "CREATE TABLE " + table + " (id int PRIMARY KEY, name text)");
            try (PreparedStatement add = db.prepareStatement("INSERT INTO " + table + " VALUES (?, ?)")) {
                for (int batch = 0; batch < 8; batch++) {
                    for (int id = batch * 500; id < batch * 500 + 500; id++) {
                        add.setInt(1, id);
                        add.setString(2, "name " + id);
                        add.addBatch();
                    }
                    same(add.executeBatch().length, 500);
                }
                for (int id : new int[] {10000, 1, 10001}) {
                    add.setInt(1, id);
                    add.setString(2, "again");
                    add.addBatch();
                }
                fails("23505", add::executeBatch);
            }
            same(one(db, "SELECT count(*) FROM " + table), 4000L);
            try (PreparedStatement add = db.prepareStatement(
                    "INSERT INTO " + table + " VALUES (?, 'new')", Statement.RETURN_GENERATED_KEYS)) {
                for (int id = 20000; id < 20100; id++) {
                    add.setInt(1, id);
                    add.addBatch();
                }
                add.executeBatch();
                int keys = 0;
                for (ResultSet rows = add.getGeneratedKeys(); rows.next(); keys++) {
                    same(rows.getInt(1), 20000 + keys);
                }
                same(keys, 100);
            }
        }
    }

    static void transaction() throws Exception {
        String table = unique("java");
        String count = "SELECT count(*) FROM " + table;
        try (Connection db = connection()) {
            run(db, "CREATE TABLE " + table + " (id int PRIMARY KEY)");
            for (int id = 0; id < 20; id++) {
                run(db, "INSERT INTO " + table + " VALUES (" + id + ")");
                same(one(db, count), id + 1L);
            }
            db.setAutoCommit(false);
            run(db, "DELETE FROM " + table);
            db.rollback();
            run(db, "INSERT INTO " + table + " VALUES (20)");
            java.sql.Savepoint point = db.setSavepoint();
            fails("23505", () -> run(db, "INSERT INTO " + table + " VALUES (1)"));
            fails("25P02", () -> one(db, "SELECT 1"));
            db.rollback(point);
            db.commit();
            // BEGIN becomes a named statement, too.
            for (int turn = 0; turn < 20; turn++) {
                same(one(db, count), 21L);
                db.commit();
            }
            db.setReadOnly(true);
            db.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            same(one(db, count), 21L);
            fails("25006", () -> run(db, "DELETE FROM " + table));
            db.rollback();
        }
    }

    static void error() throws Exception {
        try (Connection db = connection()) {
            for (int turn = 0; turn < 20; turn++) {
                fails("22012", () -> one(db, "SELECT 1 / ?::int", 0));
                fails("42601", () -> one(db, "SELEC 1"));
                fails("42P01", () -> one(db, "SELECT * FROM no_such_table"));
                fails("22012", () -> run(db, "SELECT 1; SELECT 1 / 0"));
                same(one(db, "SELECT ?::text", "x"), "x");
            }
        }
    }

    static void large() throws Exception {
        try (Connection db = connection()) {
            db.setAutoCommit(false);
            try (Statement statement = db.createStatement()) {
                statement.setFetchSize(1000);
                long sum = 0;
                try (ResultSet rows = statement.executeQuery("SELECT i FROM generate_series(1, 20000) AS i")) {
                    while (rows.next()) {
                        sum += rows.getInt(1);
                    }
                }
                same(sum, 200010000L);
                // Given up midway.
                statement.executeQuery("SELECT i FROM generate_series(1, 20000) AS i").next();
            }
            db.commit();
            String text = "lagoon".repeat(500000);
            same(one(db, "SELECT ?::text", text), text);
            var objects = db.unwrap(PGConnection.class).getLargeObjectAPI();
            long id = objects.createLO();
            try (var object = objects.open(id)) {
                object.write(text.getBytes());
            }
            try (var object = objects.open(id)) {
                same(new String(object.read(text.length())), text);
            }
            objects.delete(id);
            db.commit();
        }
    }

    static void copy() throws Exception {
        String table = unique("java");
        try (Connection db = connection()) {
            run(db, "CREATE TABLE " + table + " (id int PRIMARY KEY, name text)");
            var copies = db.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder rows = new StringBuilder();
            for (int id = 0; id < 5000; id++) {
                rows.append(id).append('\t').append("x".repeat(200)).append('\n');
            }
            same(copies.copyIn("COPY " + table + " FROM STDIN", new StringReader(rows.toString())), 5000L);
            StringWriter out = new StringWriter();
            same(copies.copyOut("COPY " + table + " TO STDOUT", out), 5000L);
            same(out.toString(), rows.toString());
            fails("23505", () -> copies.copyIn("COPY " + table + " FROM STDIN", new StringReader("1\tis there already\n")));
            var abandoned = copies.copyIn("COPY " + table + " FROM STDIN");
            abandoned.cancelCopy();
            same(one(db, "SELECT count(*) FROM " + table), 5000L);
        }
    }

    static void cancel() throws Exception {
        ExecutorService other = Executors.newSingleThreadExecutor();
        try (Connection db = connection()) {
            try (Statement sleeping = db.createStatement()) {
                String mark = unique("asleep");
                Future<?> cancelling = other.submit(() -> {
                    String asleep = "/* pglagoon: primary */ SELECT count(*) FROM pg_stat_activity "
                        + "WHERE wait_event = 'PgSleep' AND strpos(query, '" + mark + "') > 0";
                    try (Connection watcher = connection()) {
                        while (!one(watcher, asleep).equals(1L)) {}
                    }
                    sleeping.cancel();
                    return null;
                });
                fails("57014", () -> sleeping.execute("/* pglagoon: primary */ SELECT pg_sleep(60) AS " + mark));
                cancelling.get();
                same(one(db, "SELECT 1"), 1);
                sleeping.setQueryTimeout(1);
                fails("57014", () -> sleeping.execute("SELECT pg_sleep(60)"));
                same(one(db, "SELECT 1"), 1);
            }
        } finally {
            other.shutdown();
        }
    }

    static void listen() throws Exception {
        String channel = unique("java");
        try (Connection ear = connection(); Connection mouth = connection()) {
            run(ear, "LISTEN " + channel);
            for (String payload : new String[] {"hello", "again"}) {
                one(mouth, "SELECT pg_notify(?, ?)", channel, payload);
                PGNotification[] heard = ear.unwrap(PGConnection.class).getNotifications(60000);
                same(heard[0].getName() + heard[0].getParameter(), channel + payload);
            }
        }
    }

    // It has no pool of its own.
    static void pool() throws Exception {
        String table = unique("java");
        try (Connection db = connection()) {
            run(db, "CREATE TABLE " + table + " (job int PRIMARY KEY)");
        }
        ExecutorService workers = Executors.newFixedThreadPool(30);
        List<Callable<Void>> jobs = new ArrayList<>();
        for (int worker = 0; worker < 30; worker++) {
            int first = worker * 10;
            jobs.add(() -> {
                try (Connection db = connection()) {
                    for (int job = first; job < first + 10; job++) {
                        db.setAutoCommit(false);
                        run(db, "INSERT INTO " + table + " VALUES (" + job + ")");
                        db.commit();
                        db.setAutoCommit(true);
                        same(one(db, "SELECT job FROM " + table + " WHERE job = ?", job), job);
                    }
                }
                return null;
            });
        }
        for (Future<Void> done : workers.invokeAll(jobs)) {
            done.get();
        }
        workers.shutdown();
        try (Connection db = connection()) {
            db.setAutoCommit(false);
            same(one(db, "SELECT count(*) FROM " + table), 300L);
        }
    }

    static void schema() throws Exception {
        String table = unique("java");
        try (Connection db = connection()) {
            run(db, "CREATE TABLE " + table + " (id serial PRIMARY KEY, name text)");
            List<String> columns = new ArrayList<>();
            try (ResultSet rows = db.getMetaData().getColumns(null, null, table, null)) {
                while (rows.next()) {
                    columns.add(rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME"));
                }
            }
            same(columns, List.of("id serial", "name text"));
            try (ResultSet rows = db.getMetaData().getPrimaryKeys(null, null, table)) {
                rows.next();
                same(rows.getString("COLUMN_NAME"), "id");
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        java.net.URI url = java.net.URI.create(arguments[0]);
        user = url.getUserInfo().split(":")[0];
        password = url.getUserInfo().split(":")[1];
        address = "jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath();
        Map<String, Work> features = new LinkedHashMap<>();
        features.put("connect", Features::connect);
        features.put("prepare", Features::prepare);
        features.put("pipeline", Features::pipeline);
        features.put("transaction", Features::transaction);
        features.put("error", Features::error);
        features.put("large", Features::large);
        features.put("copy", Features::copy);
        features.put("cancel", Features::cancel);
        features.put("notify", Features::listen);
        features.put("pool", Features::pool);
        features.put("schema", Features::schema);
        System.out.println("pgjdbc version " + org.postgresql.util.DriverInfo.DRIVER_VERSION);
        features.forEach((name, work) -> {
            try {
                work.run();
                System.out.println("pgjdbc " + name + " ok");
            } catch (Throwable error) {
                error.printStackTrace();
                System.out.println("pgjdbc " + name + " fails " + String.valueOf(error).replace('\n', ' '));
            }
        });
    }
}
