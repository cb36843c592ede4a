// node-postgres as applications use it.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { pipeline: stream } = require("node:stream/promises");
const { Readable } = require("node:stream");
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");
const copies = require("pg-copy-streams");
const { code, report, sleeping, unique, url } = require("./features.cjs");

async function withClient(work) {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function rejects(promise, expected) {
  await assert.rejects(promise, (error) => code(error) === expected);
}

async function connect() {
  for (let turn = 0; turn < 10; turn++) {
    await withClient(async (client) => {
      assert.deepEqual((await client.query("SELECT 1 AS a; SELECT 2 AS b")).map((r) => r.rows), [[{ a: 1 }], [{ b: 2 }]]);
      const notice = once(client, "notice");
      await client.query("DO $$ BEGIN RAISE NOTICE 'heard'; END $$");
      assert.equal((await notice)[0].message, "heard");
    });
  }
}

async function prepare() {
  const table = unique("node");
  await withClient(async (one) => {
    await withClient(async (two) => {
      await one.query(`CREATE TABLE ${table} (id int PRIMARY KEY, body jsonb, tags text[])`);
      for (let id = 0; id < 50; id++) {
        const values = [id, { id, nested: [1, 2] }, ["a", "b\"c"]];
        await one.query({ name: "insert", text: `INSERT INTO ${table} VALUES ($1, $2, $3)`, values });
      }
      for (let id = 0; id < 50; id++) {
        const text = `SELECT body, tags FROM ${table} WHERE id = $1`;
        const { rows } = await one.query(id % 2 ? { name: "read", text, values: [id] } : { text, values: [id] });
        assert.deepEqual(rows, [{ body: { id, nested: [1, 2] }, tags: ["a", "b\"c"] }]);
        // Another statement of the same name.
        const other = await two.query({ name: "read", text: "SELECT $1::int + 1 AS next", values: [id] });
        assert.deepEqual(other.rows, [{ next: id + 1 }]);
      }
    });
  });
}

async function pipeline() {
  const client = new Client({ connectionString: url, pipeline: true });
  await client.connect();
  const answers = await Promise.allSettled(
    Array.from({ length: 200 }, (_, n) =>
      client.query({ name: n % 2 ? "divide" : undefined, text: "SELECT 100 / $1::int AS n", values: [n % 10] }),
    ),
  );
  answers.forEach(({ value, reason }, n) => {
    if (n % 10) {
      assert.deepEqual(value.rows, [{ n: Math.trunc(100 / (n % 10)) }]);
    } else {
      assert.equal(reason.code, "22012");
    }
  });
  await client.end();
}

async function transaction() {
  const table = unique("node");
  await withClient(async (client) => {
    await client.query(`CREATE TABLE ${table} (id int PRIMARY KEY)`);
    for (let id = 0; id < 20; id++) {
      await client.query(`INSERT INTO ${table} VALUES ($1)`, [id]);
      assert.equal((await client.query(`SELECT id FROM ${table}`)).rowCount, id + 1);
    }
    await client.query("BEGIN");
    await client.query(`DELETE FROM ${table}`);
    await client.query("SAVEPOINT one");
    await rejects(client.query("SELECT no_such_column"), "42703");
    await rejects(client.query("SELECT 1"), "25P02");
    await client.query("ROLLBACK TO one");
    assert.equal((await client.query(`SELECT id FROM ${table}`)).rowCount, 0);
    await client.query("ROLLBACK");
    assert.equal((await client.query(`SELECT id FROM ${table}`)).rowCount, 20);
    const { rows } = await client.query(`BEGIN READ ONLY; SELECT count(*)::int AS n FROM ${table}`).then((r) => r[1]);
    assert.deepEqual(rows, [{ n: 20 }]);
    await rejects(client.query(`DELETE FROM ${table}`), "25006");
    await client.query("ROLLBACK");
  });
}

async function error() {
  await withClient(async (client) => {
    for (let turn = 0; turn < 20; turn++) {
      await rejects(client.query({ text: "SELECT 1 / $1::int", values: [0] }), "22012");
      await rejects(client.query({ name: `bad${turn}`, text: "SELEC 1" }), "42601");
      await rejects(client.query({ name: "fails", text: "SELECT 1 / $1::int", values: [0] }), "22012");
      await rejects(client.query({ text: "SELECT $1::int", values: ["no number"] }), "22P02");
      assert.equal((await client.query("SELECT $1::text AS t", ["x"])).rows[0].t, "x");
    }
  });
}

async function large() {
  await withClient(async (client) => {
    const sql = "SELECT i, repeat('x', 100) AS x FROM generate_series(1, $1::int) AS i";
    const cursor = client.query(new Cursor(sql, [20000]));
    let sum = 0;
    for (let rows = await cursor.read(1000); rows.length; rows = await cursor.read(1000)) {
      sum += rows.reduce((all, row) => all + row.i, 0);
    }
    assert.equal(sum, 200010000);
    const left = client.query(new Cursor(sql, [20000]));
    assert.equal((await left.read(10)).length, 10);
    await left.close();
    assert.equal((await client.query(sql, [50000])).rows.length, 50000);
    const text = "lagoon".repeat(500000);
    assert.equal((await client.query("SELECT $1::text AS t", [text])).rows[0].t, text);
  });
}

async function copy() {
  const table = unique("node");
  await withClient(async (client) => {
    await client.query(`CREATE TABLE ${table} (id int PRIMARY KEY, name text)`);
    const into = () => client.query(copies.from(`COPY ${table} FROM STDIN`));
    const rows = Array.from({ length: 5000 }, (_, id) => `${id}\t${"x".repeat(200)}\n`);
    await stream(Readable.from(rows), into());
    let out = "";
    const ids = client.query(copies.to(`COPY (SELECT id FROM ${table} ORDER BY id) TO STDOUT`));
    for await (const part of ids) {
      out += part;
    }
    assert.equal(out, Array.from({ length: 5000 }, (_, id) => `${id}\n`).join(""));
    await rejects(stream(Readable.from(["1\tis there already\n"]), into()), "23505");
    assert.equal((await client.query(`SELECT id FROM ${table}`)).rowCount, 5000);
  });
}

async function cancel() {
  await withClient(async (client) => {
    for (let turn = 0; turn < 2; turn++) {
      const [sleeps, doesSleep] = sleeping();
      const cancelled = rejects(client.query(sleeps), "57014");
      await withClient(async (watcher) => {
        while (!(await watcher.query(doesSleep)).rows[0].asleep);
      });
      // node-postgres gives the keys away, and leaves it to the application to send them.
      const canceller = new Client({ connectionString: url });
      canceller.cancel(client, client._activeQuery);
      await cancelled;
      assert.equal((await client.query("SELECT 1 AS one")).rows[0].one, 1);
    }
  });
}

async function notify() {
  const channel = unique("node");
  await withClient(async (ear) => {
    await ear.query(`LISTEN ${channel}`);
    for (const payload of ["hello", "again"]) {
      const notification = once(ear, "notification");
      await withClient((mouth) => mouth.query("SELECT pg_notify($1, $2)", [channel, payload]));
      assert.equal((await notification)[0].payload, payload);
    }
  });
}

async function pool() {
  const table = unique("node");
  const connections = new Pool({ connectionString: url, max: 30 });
  await connections.query(`CREATE TABLE ${table} (job int PRIMARY KEY, name text)`);
  const jobs = Array.from({ length: 300 }, async (_, job) => {
    const client = await connections.connect();
    try {
      await client.query("BEGIN");
      await client.query({ name: "add", text: `INSERT INTO ${table} VALUES ($1, $2)`, values: [job, `job ${job}`] });
      await client.query("COMMIT");
      const read = { name: "read", text: `SELECT name FROM ${table} WHERE job = $1`, values: [job] };
      assert.deepEqual((await client.query(read)).rows, [{ name: `job ${job}` }]);
    } finally {
      client.release();
    }
    // Another connection of the pool.
    assert.deepEqual((await connections.query("SELECT $1::int AS job", [job])).rows, [{ job }]);
  });
  await Promise.all(jobs);
  assert.equal(connections.totalCount, 30);
  await connections.query(`UPDATE ${table} SET name = name`);
  await connections.end();
  await withClient(async (client) => {
    assert.equal((await client.query(`SELECT job FROM ${table} FOR UPDATE`)).rowCount, 300);
  });
}

report("node-postgres", require("pg/package.json").version, { connect, prepare, pipeline, transaction, error, large, copy, cancel, notify, pool });
