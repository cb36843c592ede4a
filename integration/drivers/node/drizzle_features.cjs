// Drizzle as applications use it, over node-postgres and postgres.js: the second argument.
"use strict";

const assert = require("node:assert/strict");
const { mkdtempSync, mkdirSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { Pool } = require("pg");
const postgres = require("postgres");
const { count, eq, relations, sql } = require("drizzle-orm");
const { integer, pgTable, serial, text } = require("drizzle-orm/pg-core");
const { code, report, unique, url } = require("./features.cjs");

const over = process.argv[3];
const { drizzle } = require(`drizzle-orm/${over}`);
const { migrate } = require(`drizzle-orm/${over}/migrator`);

const boats = pgTable(unique("boats"), { id: serial("id").primaryKey(), name: text("name").notNull().unique() });
const sails = pgTable(unique("sails"), { id: serial("id").primaryKey(), boat: integer("boat").notNull() });
const schema = {
  boats,
  sails,
  boatsRelations: relations(boats, ({ many }) => ({ sails: many(sails) })),
  sailsRelations: relations(sails, ({ one }) => ({ of: one(boats, { fields: [sails.boat], references: [boats.id] }) })),
};

async function withDb(work, max = 1) {
  const isPg = over === "node-postgres";
  const client = isPg ? new Pool({ connectionString: url, max }) : postgres(url, { max, onnotice: () => {} });
  try {
    await work(drizzle(client, { schema }));
  } finally {
    await client.end();
  }
}

async function rejects(promise, expected) {
  await assert.rejects(promise, (error) => code(error.cause ?? error) === expected);
}

const rows = (result) => result.rows ?? [...result];

async function connect() {
  for (let turn = 0; turn < 5; turn++) {
    await withDb(async (db) => assert.deepEqual(rows(await db.execute(sql`SELECT 1 AS a`)), [{ a: 1 }]));
  }
}

async function withTables(work, max) {
  await withDb(async (db) => {
    await db.execute(sql`CREATE TABLE IF NOT EXISTS ${boats} (id serial PRIMARY KEY, name text NOT NULL UNIQUE)`);
    await db.execute(sql`CREATE TABLE IF NOT EXISTS ${sails} (id serial PRIMARY KEY, boat int NOT NULL)`);
    await db.execute(sql`TRUNCATE ${boats}, ${sails}`);
    await work(db);
  }, max);
}

async function prepare() {
  await withTables(async (db) => {
    const made = await db.insert(boats).values([{ name: "one" }, { name: "two" }]).returning();
    const byName = db.select().from(boats).where(eq(boats.name, sql.placeholder("name"))).prepare("by_name");
    for (let turn = 0; turn < 20; turn++) {
      const boat = made[turn % 2];
      assert.deepEqual(await byName.execute({ name: boat.name }), [boat]);
    }
  });
}

async function transaction() {
  await withTables(async (db) => {
    for (let turn = 0; turn < 20; turn++) {
      const [{ id }] = await db.insert(boats).values({ name: `boat ${turn}` }).returning();
      await db.insert(sails).values([{ boat: id }, { boat: id }]);
      assert.equal((await db.select({ n: count() }).from(boats))[0].n, turn + 1);
    }
    const found = await db.query.boats.findMany({ with: { sails: true } });
    assert.deepEqual(found.map((boat) => boat.sails.length), Array(20).fill(2));
    await db.transaction(async (tx) => {
      await tx.insert(boats).values({ name: "kept" });
      await rejects(tx.transaction((point) => point.insert(boats).values({ name: "boat 1" })), "23505");
    });
    await assert.rejects(db.transaction(async (tx) => {
      await tx.delete(boats);
      tx.rollback();
    }));
    assert.equal((await db.select().from(boats)).length, 21);
    const readOnly = { accessMode: "read only", isolationLevel: "repeatable read" };
    await db.transaction(async (tx) => assert.equal((await tx.select().from(boats)).length, 21), readOnly);
    await rejects(db.transaction((tx) => tx.delete(boats), readOnly), "25006");
  });
}

async function error() {
  await withTables(async (db) => {
    for (let turn = 0; turn < 20; turn++) {
      await rejects(db.execute(sql`SELECT 1 / ${0}::int`), "22012");
      await rejects(db.insert(boats).values({ id: 1, name: null }), "23502");
      assert.deepEqual(await db.select().from(boats), []);
    }
  });
}

async function large() {
  await withTables(async (db) => {
    const names = Array.from({ length: 5000 }, (_, n) => ({ name: `boat ${n} ${"x".repeat(100)}` }));
    assert.equal((await db.insert(boats).values(names).returning()).length, 5000);
    assert.equal((await db.select().from(boats)).length, 5000);
    const name = "lagoon".repeat(500000);
    assert.equal(rows(await db.execute(sql`SELECT ${name}::text AS t`))[0].t, name);
  });
}

async function pool() {
  await withTables(async (db) => {
    const jobs = Array.from({ length: 300 }, async (_, job) => {
      await db.transaction(async (tx) => {
        const [boat] = await tx.insert(boats).values({ name: `job ${job}` }).returning();
        assert.deepEqual(await tx.select().from(boats).where(eq(boats.name, `job ${job}`)), [boat]);
      });
      assert.deepEqual(rows(await db.execute(sql`SELECT ${job}::int AS job`)), [{ job }]);
    });
    await Promise.all(jobs);
    assert.equal((await db.select().from(boats).for("update")).length, 300);
  }, 30);
}

// Migrations as drizzle-kit writes them. The journal is in a schema of its own: CREATE SCHEMA IF NOT EXISTS fails with 23505 when
// two programs run it at once (here that of the other driver), on any server.
async function migrations() {
  const folder = mkdtempSync(join(tmpdir(), "drizzle-"));
  const [table, journal] = [unique("migrated"), unique("journal")];
  mkdirSync(join(folder, "meta"));
  const entries = [];
  const add = (tag, statements) => {
    entries.push({ idx: entries.length, version: "7", when: Date.now() + entries.length, tag, breakpoints: true });
    writeFileSync(join(folder, `${tag}.sql`), statements.join("\n--> statement-breakpoint\n"));
    writeFileSync(join(folder, "meta/_journal.json"), JSON.stringify({ version: "7", dialect: "postgresql", entries }));
  };
  try {
    await withDb(async (db) => {
      const options = { migrationsFolder: folder, migrationsSchema: journal };
      add("0000_first", [`CREATE TABLE "${table}" (id serial PRIMARY KEY)`, `CREATE INDEX ON "${table}" (id)`]);
      await migrate(db, options);
      add("0001_second", [`ALTER TABLE "${table}" ADD COLUMN name text DEFAULT 'new'`]);
      await migrate(db, options);
      await migrate(db, options);
      await db.execute(sql.raw(`INSERT INTO "${table}" VALUES (1)`));
      assert.deepEqual(rows(await db.execute(sql.raw(`SELECT * FROM "${table}"`))), [{ id: 1, name: "new" }]);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

report(`drizzle-${over}`, require(require.resolve("drizzle-orm").replace(/[^/]*$/, "package.json")).version, {
  connect, prepare, transaction, error, large, pool, schema: migrations,
});
