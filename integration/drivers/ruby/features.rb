# Ruby's pg as applications use it.

require "pg"

URL = ARGV.fetch(0)

def unique(what) = "#{what}_#{Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)}"

def same(found, expected)
  raise "found #{found.inspect[0, 100]}, not #{expected.inspect[0, 100]}" unless found == expected
end

def fails(kind)
  yield
rescue kind
  nil
else
  raise "there was no #{kind}"
end

def with_connection
  connection = PG.connect(URL)
  yield connection
ensure
  connection&.close
end

def value(connection, sql, values = []) = connection.exec_params(sql, values).getvalue(0, 0)

def connect
  10.times { with_connection { |connection| same(value(connection, "SELECT 1"), "1") } }
  with_connection do |connection|
    connection.exec("SET statement_timeout = '12s'")
    10.times { same(value(connection, "SHOW statement_timeout"), "12s") }
    with_connection { |other| same(value(other, "SHOW statement_timeout"), "0") }
  end
end

def prepare
  table = unique("ruby")
  with_connection do |one|
    with_connection do |two|
      one.exec("CREATE TABLE #{table} (id int PRIMARY KEY, name text)")
      one.prepare("a1", "INSERT INTO #{table} VALUES ($1, $2)")
      one.prepare("a2", "SELECT name FROM #{table} WHERE id = $1")
      two.prepare("a1", "SELECT $1::int + 1")
      two.prepare("a2", "SELECT $1::int * 2")
      same(one.describe_prepared("a2").fields, ["name"])
      30.times do |id|
        one.exec_prepared("a1", [id, "name #{id}"])
        same(two.exec_prepared("a1", [id]).getvalue(0, 0), (id + 1).to_s)
        same(one.exec_prepared("a2", [id]).getvalue(0, 0), "name #{id}")
        same(two.exec_prepared("a2", [id]).getvalue(0, 0), (id * 2).to_s)
      end
      # As ActiveRecord gives its statements up.
      one.exec("DEALLOCATE a2")
      fails(PG::InvalidSqlStatementName) { one.exec_prepared("a2", [1]) }
      one.prepare("a2", "SELECT 7")
      same(one.exec_prepared("a2").getvalue(0, 0), "7")
    end
  end
end

def pipeline
  with_connection do |connection|
    connection.enter_pipeline_mode
    100.times do |n|
      connection.send_query_params("SELECT 100 / $1::int", [n % 10])
      connection.pipeline_sync
    end
    100.times do |n|
      if n % 10 == 0
        fails(PG::DivisionByZero) { connection.get_result.check }
      else
        same(connection.get_result.getvalue(0, 0), (100 / (n % 10)).to_s)
      end
      connection.get_result
      same(connection.get_result.result_status, PG::PGRES_PIPELINE_SYNC)
    end
    connection.exit_pipeline_mode
    same(value(connection, "SELECT 1"), "1")
  end
end

def transaction
  table = unique("ruby")
  with_connection do |connection|
    connection.exec("CREATE TABLE #{table} (id int PRIMARY KEY)")
    count = -> { value(connection, "SELECT count(*) FROM #{table}").to_i }
    20.times do |id|
      connection.exec_params("INSERT INTO #{table} VALUES ($1)", [id])
      same(count.call, id + 1)
    end
    fails(ZeroDivisionError) do
      connection.transaction do
        connection.exec("DELETE FROM #{table}")
        raise ZeroDivisionError
      end
    end
    connection.transaction do
      connection.exec("SAVEPOINT one")
      fails(PG::UniqueViolation) { connection.exec("INSERT INTO #{table} VALUES (1)") }
      fails(PG::InFailedSqlTransaction) { connection.exec("SELECT 1") }
      connection.exec("ROLLBACK TO one")
      connection.exec("INSERT INTO #{table} VALUES (20)")
    end
    same(count.call, 21)
    connection.exec("BEGIN READ ONLY")
    same(count.call, 21)
    fails(PG::ReadOnlySqlTransaction) { connection.exec("DELETE FROM #{table}") }
    connection.exec("ROLLBACK")
  end
end

def error
  with_connection do |connection|
    20.times do
      fails(PG::DivisionByZero) { value(connection, "SELECT 1 / $1::int", [0]) }
      fails(PG::SyntaxError) { connection.exec("SELEC 1") }
      fails(PG::UndefinedTable) { connection.prepare("never", "SELECT * FROM no_such_table") }
      same(value(connection, "SELECT $1::text", ["x"]), "x")
      # What ActiveRecord asks to see whether a connection lives.
      connection.exec(";")
    end
  end
end

def large
  with_connection do |connection|
    connection.send_query("SELECT i FROM generate_series(1, 20000) AS i")
    connection.set_single_row_mode
    same(connection.get_result.stream_each_row.sum { |row| row[0].to_i }, 200_010_000)
    connection.transaction do
      connection.exec("DECLARE part CURSOR FOR SELECT generate_series(1, 2000)")
      20.times { |n| same(connection.exec("FETCH 100 FROM part").getvalue(0, 0), (n * 100 + 1).to_s) }
    end
    same(connection.exec("SELECT repeat('x', 100) FROM generate_series(1, 50000)").ntuples, 50_000)
    text = "lagoon" * 500_000
    same(value(connection, "SELECT $1::text", [text]), text)
  end
end

def copy
  table = unique("ruby")
  with_connection do |connection|
    connection.exec("CREATE TABLE #{table} (id int PRIMARY KEY, name text)")
    connection.copy_data("COPY #{table} FROM STDIN") do
      5000.times { |id| connection.put_copy_data("#{id}\t#{"x" * 200}\n") }
    end
    rows = []
    connection.copy_data("COPY (SELECT id FROM #{table} ORDER BY id) TO STDOUT") do
      while (row = connection.get_copy_data)
        rows << row.to_i
      end
    end
    same(rows, (0...5000).to_a)
    fails(PG::UniqueViolation) do
      connection.copy_data("COPY #{table} FROM STDIN") { connection.put_copy_data("1\tis there already\n") }
    end
    fails(ZeroDivisionError) { connection.copy_data("COPY #{table} FROM STDIN") { raise ZeroDivisionError } }
    same(value(connection, "SELECT count(*) FROM #{table}"), "5000")
  end
end

def cancel
  with_connection do |connection|
    2.times do
      mark = unique("asleep")
      connection.send_query("/* pglagoon: primary */ SELECT pg_sleep(60) AS #{mark}")
      with_connection do |watcher|
        asleep = "/* pglagoon: primary */ SELECT count(*) FROM pg_stat_activity " \
                 "WHERE wait_event = 'PgSleep' AND strpos(query, '#{mark}') > 0"
        nil until value(watcher, asleep) == "1"
      end
      connection.cancel
      fails(PG::QueryCanceled) { connection.get_last_result }
      same(value(connection, "SELECT 1"), "1")
    end
  end
end

def notify
  channel = unique("ruby")
  with_connection do |ear|
    with_connection do |mouth|
      ear.exec("LISTEN #{channel}")
      %w[hello again].each do |payload|
        value(mouth, "SELECT pg_notify($1, $2)", [channel, payload])
        ear.wait_for_notify(60) { |name, _, text| same([name, text], [channel, payload]) } or raise "nothing was heard"
      end
    end
  end
end

# It has no pool of its own.
def pool
  table = unique("ruby")
  with_connection { |connection| connection.exec("CREATE TABLE #{table} (job int PRIMARY KEY)") }
  threads = Array.new(30) do |worker|
    Thread.new do
      with_connection do |connection|
        connection.prepare("add", "INSERT INTO #{table} VALUES ($1)")
        connection.prepare("read", "SELECT job FROM #{table} WHERE job = $1")
        (worker * 10...worker * 10 + 10).each do |job|
          connection.transaction { connection.exec_prepared("add", [job]) }
          same(connection.exec_prepared("read", [job]).getvalue(0, 0), job.to_s)
        end
      end
    end
  end
  threads.each(&:join)
  with_connection { |connection| same(connection.exec("SELECT FROM #{table} FOR UPDATE").ntuples, 300) }
end

$stdout.sync = true
puts "ruby-pg version #{PG::VERSION}"
ENV.fetch("FEATURES").split.each do |name|
  next puts("ruby-pg #{name} n/a") unless private_methods(false).include?(name.to_sym)

  send(name)
  puts "ruby-pg #{name} ok"
rescue Exception => error # a failed assertion as well as an error of the driver
  warn error.full_message(highlight: false)
  puts "ruby-pg #{name} fails #{error.message.lines.first.to_s.strip}"
end
