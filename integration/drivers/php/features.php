<?php
// PDO as applications use it: each request connects anew, and statements are prepared by the server.

$url = parse_url($argv[1]);
$dsn = sprintf('pgsql:host=%s;port=%d;dbname=%s', $url['host'], $url['port'], ltrim($url['path'], '/'));

function connection(array $options = []): PDO
{
    global $dsn, $url;
    return new PDO($dsn, $url['user'], $url['pass'], $options);
}

function unique(string $what): string
{
    return $what . '_' . hrtime(true);
}

function same(mixed $found, mixed $expected): void
{
    if ($found !== $expected) {
        throw new Exception('found ' . substr(var_export($found, true), 0, 100) . ', not ' . substr(var_export($expected, true), 0, 100));
    }
}

function fails(string $code, callable $work): void
{
    try {
        $work();
    } catch (PDOException $error) {
        same($error->getCode(), $code);
        return;
    }
    throw new Exception("there was no error $code");
}

function one(PDO $db, string $sql, array $values = []): mixed
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement->fetchColumn();
}

$features = [];

$features['connect'] = function () {
    for ($turn = 0; $turn < 10; $turn++) {
        same(connection()->query('SELECT 1')->fetchColumn(), 1);
    }
    $kept = connection([PDO::ATTR_PERSISTENT => true]);
    same($kept->query('SELECT 2')->fetchColumn(), 2);
};

$features['prepare'] = function () {
    $table = unique('pdo');
    [$one, $two] = [connection(), connection()];
    $one->exec("CREATE TABLE $table (id int PRIMARY KEY, name text)");
    for ($id = 0; $id < 30; $id++) {
        // Each is given up at once: PDO sends DEALLOCATE.
        $one->prepare("INSERT INTO $table VALUES (?, ?)")->execute([$id, "name $id"]);
    }
    $read = $one->prepare("SELECT name FROM $table WHERE id = :id");
    $next = $two->prepare('SELECT :id::int + 1');
    for ($id = 0; $id < 30; $id++) {
        $read->execute(['id' => $id]);
        same($read->fetchColumn(), "name $id");
        $next->execute(['id' => $id]);
        same($next->fetchColumn(), $id + 1);
        same(one($one, 'SELECT ?::int * 2', [$id]), $id * 2);
    }
    $emulated = connection([PDO::ATTR_EMULATE_PREPARES => true]);
    same(one($emulated, "SELECT name FROM $table WHERE id = ?", [7]), 'name 7');
};

$features['transaction'] = function () {
    $table = unique('pdo');
    $db = connection();
    $db->exec("CREATE TABLE $table (id int PRIMARY KEY)");
    for ($id = 0; $id < 20; $id++) {
        $db->exec("INSERT INTO $table VALUES ($id)");
        same(one($db, "SELECT count(*) FROM $table"), $id + 1);
    }
    $db->beginTransaction();
    $db->exec("DELETE FROM $table");
    $db->exec('SAVEPOINT one');
    fails('42703', fn () => $db->query('SELECT no_such_column'));
    fails('25P02', fn () => $db->query('SELECT 1'));
    $db->exec('ROLLBACK TO one');
    same(one($db, "SELECT count(*) FROM $table"), 0);
    $db->rollBack();
    $db->beginTransaction();
    $db->exec("INSERT INTO $table VALUES (20)");
    $db->commit();
    same(one($db, "SELECT count(*) FROM $table"), 21);
    $db->exec('BEGIN READ ONLY');
    same(one($db, "SELECT count(*) FROM $table"), 21);
    fails('25006', fn () => $db->exec("DELETE FROM $table"));
    $db->exec('ROLLBACK');
    $sequence = "CREATE TABLE {$table}_s (id serial, name text)";
    $db->exec($sequence);
    $insert = function () use ($db, $table) {
        $db->beginTransaction();
        $db->exec("INSERT INTO {$table}_s (name) VALUES ('a')");
        $id = $db->lastInsertId();
        $db->commit();
        return (int) $id;
    };
    try {
        same($insert(), 1);
    } catch (PDOException $error) {
        // The first ever to ask a pgLagoon for such a value is told to run its transaction again.
        same($error->getCode(), '40001');
        $db->rollBack();
        same($insert(), 2);
    }
};

$features['error'] = function () {
    $db = connection();
    for ($turn = 0; $turn < 20; $turn++) {
        fails('22012', fn () => one($db, 'SELECT 1 / ?::int', [0]));
        fails('42601', fn () => $db->query('SELEC 1'));
        fails('42P01', fn () => one($db, 'SELECT * FROM no_such_table'));
        fails('22P02', fn () => one($db, 'SELECT ?::int', ['no number']));
        same(one($db, 'SELECT ?::text', ['x']), 'x');
    }
};

$features['large'] = function () {
    $db = connection();
    $rows = $db->query("SELECT i, repeat('x', 100) FROM generate_series(1, 50000) AS i")->fetchAll();
    same(count($rows), 50000);
    $db->beginTransaction();
    $cursor = $db->prepare('SELECT i FROM generate_series(1, 2000) AS i', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $cursor->execute();
    same($cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST), [2000]);
    same($cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 500), [500]);
    $cursor = null;
    $db->commit();
    $text = str_repeat('lagoon', 500000);
    same(one($db, 'SELECT ?::text', [$text]), $text);
};

$features['copy'] = function () {
    $table = unique('pdo');
    $db = connection();
    $db->exec("CREATE TABLE $table (id int PRIMARY KEY, name text)");
    $rows = array_map(fn ($id) => "$id\t" . str_repeat('x', 200), range(0, 4999));
    same($db->pgsqlCopyFromArray($table, $rows), true);
    same(count($db->pgsqlCopyToArray($table)), 5000);
    fails('23505', fn () => $db->pgsqlCopyFromArray($table, ["1\tis there already"]));
    same(one($db, "SELECT count(*) FROM $table"), 5000);
};

$features['notify'] = function () {
    $channel = unique('pdo');
    [$ear, $mouth] = [connection(), connection()];
    $ear->exec("LISTEN $channel");
    foreach (['hello', 'again'] as $payload) {
        one($mouth, 'SELECT pg_notify(?, ?)', [$channel, $payload]);
        $heard = $ear->pgsqlGetNotify(PDO::FETCH_ASSOC, 60000);
        same([$heard['message'], $heard['payload']], [$channel, $payload]);
    }
};

// PHP has no pool: 30 connections that are open at once.
$features['pool'] = function () {
    $table = unique('pdo');
    $connections = array_map(fn () => connection(), range(1, 30));
    $connections[0]->exec("CREATE TABLE $table (job int PRIMARY KEY)");
    for ($job = 0; $job < 300; $job++) {
        $db = $connections[$job % 30];
        $db->prepare("INSERT INTO $table VALUES (?)")->execute([$job]);
        same(one($db, "SELECT job FROM $table WHERE job = ?", [$job]), $job);
    }
    same(count($connections[0]->query("SELECT job FROM $table FOR UPDATE")->fetchAll()), 300);
};

echo 'php-pdo version ', PHP_MAJOR_VERSION, '.', PHP_MINOR_VERSION, "\n";
foreach (explode(' ', getenv('FEATURES')) as $name) {
    if (!isset($features[$name])) {
        echo "php-pdo $name n/a\n";
        continue;
    }
    try {
        $features[$name]();
        echo "php-pdo $name ok\n";
    } catch (Throwable $error) {
        fwrite(STDERR, "$error\n");
        echo "php-pdo $name fails ", str_replace("\n", ' ', $error->getMessage()), "\n";
    }
}
