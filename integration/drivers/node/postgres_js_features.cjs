// postgres.js as applications use it.
"use strict";

const assert = require("node:assert/strict");
const { pipeline: stream } = require("node:stream/promises");
const { Readable } = require("node:stream");
const postgres = require("postgres");
const { code, report, sleeping, unique, url } = require("./features.cjs");

async function withSql(work, options = { max: 1 }) {
  const sql = postgres(url, { onnotice: () => {}, ...options });
  try {
    await work(sql);
  } finally {
    await sql.end({ timeout: 60 });
  }
}

async function rejects(promise, expected) {
  await assert.rejects(promise, (error) => code(error) === expected);
}

async function connect() {
  for (let turn = 0; turn < 10; turn++) {
    await withSql(async (sql) => assert.deepEqual([...(await sql`SELECT 1 AS a`)], [{ a: 1 }]));
  }
  // It asks the catalog for the types of arrays.
  await withSql(async (sql) => assert.deepEqual((await sql`SELECT ${["a", "b"]}::text[] AS a`)[0].a, ["a", "b"]));
}

async function prepare() {
  const table = unique("js");
  await withSql(async (one) => {
    await withSql(async (two) => {
      await one`CREATE TABLE ${one(table)} (id int PRIMARY KEY, body jsonb)`;
      for (let id = 0; id < 30; id++) {
        await one`INSERT INTO ${one(table)} ${one({ id, body: { id } })}`;
        assert.deepEqual((await one`SELECT body FROM ${one(table)} WHERE id = ${id}`)[0], { body: { id } });
        assert.equal((await two`SELECT ${id}::int + 1 AS next`)[0].next, id + 1);
      }
      const described = await one`SELECT id, body FROM ${one(table)} WHERE id = ${1}`.describe();
      assert.deepEqual(described.columns.map((column) => column.name), ["id", "body"]);
      // A change of the table, of which its statements know nothing.
      await two`ALTER TABLE ${two(table)} ADD COLUMN more int`;
      for (let turn = 0; turn < 3; turn++) {
        assert.equal((await one`SELECT body FROM ${one(table)} WHERE id = ${7}`)[0].body.id, 7);
      }
    });
  });
}

async function pipeline() {
  await withSql(async (sql) => {
    const answers = await Promise.allSettled(
      Array.from({ length: 200 }, (_, n) => sql`SELECT 100 / ${n % 10}::int AS n`),
    );
    answers.forEach(({ value, reason }, n) => {
      if (n % 10) {
        assert.deepEqual([...value], [{ n: Math.trunc(100 / (n % 10)) }]);
      } else {
        assert.equal(reason.code, "22012");
      }
    });
    const together = await sql.begin((tx) => [tx`SELECT 1 AS n`, tx`SELECT 2 AS n`, tx`SELECT 3 AS n`]);
    assert.deepEqual(together.map(([row]) => row.n), [1, 2, 3]);
  });
}

async function transaction() {
  const table = unique("js");
  await withSql(async (sql) => {
    const count = async (on) => (await on`SELECT count(*)::int AS n FROM ${sql(table)}`)[0].n;
    await sql`CREATE TABLE ${sql(table)} (id int PRIMARY KEY)`;
    for (let id = 0; id < 20; id++) {
      await sql`INSERT INTO ${sql(table)} VALUES (${id})`;
      assert.equal(await count(sql), id + 1);
    }
    await sql.begin(async (tx) => {
      await tx`INSERT INTO ${sql(table)} VALUES (20)`;
      await rejects(tx.savepoint((point) => point`INSERT INTO ${sql(table)} VALUES (1)`), "23505");
      assert.equal(await count(tx), 21);
    });
    await rejects(sql.begin(async (tx) => {
      await tx`DELETE FROM ${sql(table)}`;
      await tx`SELECT no_such_column`;
    }), "42703");
    assert.equal(await count(sql), 21);
    await sql.begin("READ ONLY", async (tx) => assert.equal(await count(tx), 21));
    await rejects(sql.begin("READ ONLY", (tx) => tx`DELETE FROM ${sql(table)}`), "25006");
  });
  await withSql(async (sql) => {
    const reserved = await sql.reserve();
    await reserved`BEGIN`;
    await reserved`DELETE FROM ${sql(table)}`;
    await reserved`ROLLBACK`;
    reserved.release();
    assert.equal((await sql`SELECT * FROM ${sql(table)}`).length, 21);
  }, { max: 3 });
}

async function error() {
  await withSql(async (sql) => {
    for (let turn = 0; turn < 20; turn++) {
      await rejects(sql`SELECT 1 / ${0}::int`, "22012");
      await rejects(sql`SELEC 1`, "42601");
      await rejects(sql`SELECT * FROM no_such_table WHERE id = ${turn}`, "42P01");
      await rejects(sql`SELECT ${"no number"}::int`, "22P02");
      await rejects(sql.unsafe("SELECT 1; SELECT 1 / 0"), "22012");
      assert.equal((await sql`SELECT ${"x"}::text AS t`)[0].t, "x");
    }
  });
}

async function large() {
  await withSql(async (sql) => {
    let sum = 0;
    await sql`SELECT i FROM generate_series(1, ${20000}::int) AS i`.cursor(1000, (rows) => {
      sum += rows.reduce((all, row) => all + row.i, 0);
    });
    assert.equal(sum, 200010000);
    for await (const rows of sql`SELECT i FROM generate_series(1, 20000) AS i`.cursor(10)) {
      assert.equal(rows.length, 10);
      break;
    }
    let seen = 0;
    await sql`SELECT repeat('x', 100) FROM generate_series(1, 50000)`.forEach(() => seen++);
    assert.equal(seen, 50000);
    const text = "lagoon".repeat(500000);
    assert.equal((await sql`SELECT ${text}::text AS t`)[0].t, text);
  });
}

async function copy() {
  const table = unique("js");
  await withSql(async (sql) => {
    await sql`CREATE TABLE ${sql(table)} (id int PRIMARY KEY, name text)`;
    const into = () => sql`COPY ${sql(table)} FROM STDIN`.writable();
    const rows = Array.from({ length: 5000 }, (_, id) => `${id}\t${"x".repeat(200)}\n`);
    await stream(Readable.from(rows), await into());
    assert.equal((await sql`SELECT id FROM ${sql(table)}`).length, 5000);
  });
  // It cannot use a connection again that has been read from like this.
  const sql = postgres(url, { max: 1 });
  let out = "";
  for await (const part of await sql`COPY (SELECT id FROM ${sql(table)} ORDER BY id) TO STDOUT`.readable()) {
    out += part;
  }
  assert.equal(out, Array.from({ length: 5000 }, (_, id) => `${id}\n`).join(""));
  await sql.end({ timeout: 0 });
}

async function cancel() {
  await withSql(async (sql) => {
    for (let turn = 0; turn < 2; turn++) {
      const [sleeps, doesSleep] = sleeping();
      const running = sql.unsafe(sleeps).execute();
      const cancelled = rejects(running, "57014");
      await withSql(async (watcher) => {
        while (!(await watcher.unsafe(doesSleep))[0].asleep);
      });
      running.cancel();
      await cancelled;
      assert.equal((await sql`SELECT 1 AS one`)[0].one, 1);
    }
  });
}

async function notify() {
  const channel = unique("js");
  await withSql(async (sql) => {
    const heard = [];
    let wake = () => {};
    const listening = await sql.listen(channel, (payload) => {
      heard.push(payload);
      wake();
    });
    for (const payload of ["hello", "again"]) {
      const arrival = new Promise((done) => (wake = done));
      await sql.notify(channel, payload);
      await arrival;
    }
    assert.deepEqual(heard, ["hello", "again"]);
    await listening.unlisten();
  }, { max: 3 });
}

async function pool() {
  const table = unique("js");
  await withSql(async (sql) => {
    await sql`CREATE TABLE ${sql(table)} (job int PRIMARY KEY, name text)`;
    const jobs = Array.from({ length: 300 }, async (_, job) => {
      await sql.begin(async (tx) => {
        await tx`INSERT INTO ${sql(table)} VALUES (${job}, ${`job ${job}`})`;
        const [row] = await tx`SELECT name FROM ${sql(table)} WHERE job = ${job}`;
        assert.equal(row.name, `job ${job}`);
      });
      assert.equal((await sql`SELECT ${job}::int AS job`)[0].job, job);
    });
    await Promise.all(jobs);
    assert.equal((await sql`SELECT job FROM ${sql(table)} FOR UPDATE`).length, 300);
  }, { max: 30 });
}

report("postgres.js", require(require.resolve("postgres").replace(/cjs.*/, "package.json")).version, {
  connect, prepare, pipeline, transaction, error, large, copy, cancel, notify, pool,
});
