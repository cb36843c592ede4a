// What an application does with node-postgres, at the address given as the only argument.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { Client, Pool } = require("pg");

const url = process.argv[2];
const table = `node_${process.hrtime.bigint()}`;

async function withClient(work) {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function rejects(promise, code) {
  await assert.rejects(promise, (error) => error.code === code);
}

async function statementsWithAndWithoutAName() {
  await withClient(async (client) => {
    await client.query(`CREATE TABLE ${table} (id int PRIMARY KEY, body jsonb, tags text[])`);
    for (let id = 0; id < 50; id++) {
      const values = [id, { id, nested: [1, 2] }, ["a", "b\"c"]];
      await client.query({ name: "insert", text: `INSERT INTO ${table} VALUES ($1, $2, $3)`, values });
    }
    for (let id = 0; id < 50; id++) {
      const text = `SELECT body, tags FROM ${table} WHERE id = $1`;
      const { rows } = await client.query(id % 2 ? { name: "read", text, values: [id] } : { text, values: [id] });
      assert.deepEqual(rows, [{ body: { id, nested: [1, 2] }, tags: ["a", "b\"c"] }]);
    }
    const several = await client.query("SELECT 1 AS a; SELECT 2 AS b");
    assert.deepEqual(several.map((result) => result.rows), [[{ a: 1 }], [{ b: 2 }]]);
  });
}

async function aPoolOfConnectionsUsesTheSameName() {
  const pool = new Pool({ connectionString: url, max: 10 });
  const read = { name: "shared", text: `SELECT id FROM ${table} WHERE id = $1` };
  const jobs = Array.from({ length: 300 }, (_, job) => pool.query({ ...read, values: [job % 50] }));
  (await Promise.all(jobs)).forEach(({ rows }, job) => assert.deepEqual(rows, [{ id: job % 50 }]));
  await pool.end();
}

async function transactionsEndAsTold() {
  await withClient(async (client) => {
    await client.query("BEGIN");
    await client.query(`DELETE FROM ${table}`);
    await rejects(client.query("SELECT no_such_column"), "42703");
    await rejects(client.query("SELECT 1"), "25P02");
    await client.query("ROLLBACK");
    assert.equal((await client.query(`SELECT * FROM ${table}`)).rowCount, 50);
    await rejects(client.query(`INSERT INTO ${table} VALUES (1)`), "23505");
    const { rows } = await client.query("BEGIN READ ONLY; SELECT count(*)::int AS n FROM " + table).then((r) => r[1]);
    assert.deepEqual(rows, [{ n: 50 }]);
    await rejects(client.query(`DELETE FROM ${table}`), "25006");
    await client.query("ROLLBACK");
  });
}

async function errorsLeaveTheConnectionUsable() {
  await withClient(async (client) => {
    for (let turn = 0; turn < 20; turn++) {
      await rejects(client.query({ text: "SELECT 1 / $1::int", values: [0] }), "22012");
      await rejects(client.query({ name: `bad${turn}`, text: "SELEC 1" }), "42601");
      assert.equal((await client.query("SELECT $1::text AS t", ["x"])).rows[0].t, "x");
    }
  });
}

async function noticesAndNotificationsArrive() {
  await withClient(async (ear) => {
    const notice = once(ear, "notice");
    await ear.query("DO $$ BEGIN RAISE NOTICE 'heard'; END $$");
    assert.equal((await notice)[0].message, "heard");
    const notification = once(ear, "notification");
    await ear.query(`LISTEN ${table}`);
    await withClient((mouth) => mouth.query(`NOTIFY ${table}, 'hello'`));
    assert.equal((await notification)[0].payload, "hello");
  });
}

(async () => {
  await statementsWithAndWithoutAName();
  await aPoolOfConnectionsUsesTheSameName();
  await transactionsEndAsTold();
  await errorsLeaveTheConnectionUsable();
  await noticesAndNotificationsArrive();
  console.log("ok");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
