// Sequelize as applications use it.
"use strict";

const assert = require("node:assert/strict");
const { DataTypes, QueryTypes, Sequelize, Transaction } = require("sequelize");
const { code, report, unique, url } = require("./features.cjs");

async function withSequelize(work, pool = {}) {
  const sequelize = new Sequelize(url, { logging: false, pool });
  const Boat = sequelize.define("boat", { name: { type: DataTypes.STRING, unique: true } }, { tableName: unique("boat") });
  const Sail = sequelize.define("sail", { area: DataTypes.INTEGER }, { tableName: unique("sail") });
  Boat.hasMany(Sail);
  Sail.belongsTo(Boat);
  try {
    await work(sequelize, Boat, Sail);
  } finally {
    await sequelize.close();
  }
}

const withTables = (work, pool) =>
  withSequelize(async (sequelize, Boat, Sail) => {
    await sequelize.sync();
    await work(sequelize, Boat, Sail);
  }, pool);

async function rejects(promise, expected) {
  await assert.rejects(promise, (error) => code(error.original ?? error) === expected);
}

async function connect() {
  for (let turn = 0; turn < 5; turn++) {
    await withSequelize((sequelize) => sequelize.authenticate());
  }
  await withSequelize(async (sequelize) => {
    const [[row]] = await sequelize.query("SELECT 1 AS a");
    assert.deepEqual(row, { a: 1 });
  });
}

async function prepare() {
  await withSequelize(async (sequelize) => {
    for (let turn = 0; turn < 20; turn++) {
      const bound = { bind: [turn, "x"], type: QueryTypes.SELECT };
      assert.deepEqual(await sequelize.query("SELECT $1::int AS n, $2::text AS t", bound), [{ n: turn, t: "x" }]);
    }
  });
}

async function transaction() {
  await withTables(async (sequelize, Boat, Sail) => {
    for (let turn = 0; turn < 20; turn++) {
      const boat = await Boat.create({ name: `boat ${turn}`, sails: [{ area: 1 }, { area: 2 }] }, { include: Sail });
      assert.equal(await Boat.count(), turn + 1);
      boat.name = `renamed ${turn}`;
      await boat.save();
      assert.equal((await boat.reload({ include: Sail })).sails.length, 2);
      assert.equal(boat.name, `renamed ${turn}`);
    }
    await sequelize.transaction(async (outer) => {
      await Boat.create({ name: "kept" }, { transaction: outer });
      const inner = sequelize.transaction({ transaction: outer }, (point) =>
        Boat.create({ name: "renamed 1" }, { transaction: point }),
      );
      await rejects(inner, "23505");
      assert.equal(await Boat.count({ transaction: outer }), 21);
    });
    const undone = await sequelize.transaction();
    await Sail.destroy({ where: {}, transaction: undone });
    await undone.rollback();
    assert.equal(await Sail.count(), 40);
    const isolated = { isolationLevel: Transaction.ISOLATION_LEVELS.REPEATABLE_READ, readOnly: true };
    await sequelize.transaction(isolated, async (reading) => {
      assert.equal(await Boat.count({ transaction: reading }), 21);
    });
    const [boat, isNew] = await Boat.findOrCreate({ where: { name: "found" } });
    assert.ok(isNew);
    assert.ok(!(await Boat.findOrCreate({ where: { name: "found" } }))[1]);
    await Boat.upsert({ id: boat.id, name: "found again" });
    await Boat.bulkCreate([{ name: "a" }, { name: "b" }], { ignoreDuplicates: true });
    assert.equal(await Boat.count(), 24);
  });
}

async function error() {
  await withTables(async (sequelize, Boat) => {
    await Boat.create({ name: "one" });
    for (let turn = 0; turn < 20; turn++) {
      await rejects(sequelize.query("SELECT 1 / 0"), "22012");
      await rejects(Boat.create({ name: "one" }), "23505");
      assert.equal(await Boat.count(), 1);
    }
  });
}

async function large() {
  await withTables(async (sequelize, Boat) => {
    const names = Array.from({ length: 3000 }, (_, n) => ({ name: `boat ${n} ${"x".repeat(100)}` }));
    assert.equal((await Boat.bulkCreate(names)).length, 3000);
    assert.equal((await Boat.findAll()).length, 3000);
    const blob = "lagoon".repeat(500000);
    const bound = { bind: [blob], type: QueryTypes.SELECT };
    assert.equal((await sequelize.query("SELECT $1::text AS t", bound))[0].t, blob);
  });
}

async function pool() {
  await withTables(async (sequelize, Boat) => {
    const jobs = Array.from({ length: 300 }, async (_, job) => {
      await sequelize.transaction(async (transaction) => {
        await Boat.create({ name: `job ${job}` }, { transaction });
        assert.equal((await Boat.findOne({ where: { name: `job ${job}` }, transaction })).name, `job ${job}`);
      });
      const bound = { bind: [job], type: QueryTypes.SELECT };
      assert.deepEqual(await sequelize.query("SELECT $1::int AS job", bound), [{ job }]);
    });
    await Promise.all(jobs);
    await sequelize.transaction(async (transaction) => assert.equal(await Boat.count({ transaction }), 300));
  }, { max: 30 });
}

async function schema() {
  await withTables(async (sequelize, Boat) => {
    const tables = sequelize.getQueryInterface();
    await tables.addColumn(Boat.getTableName(), "length", { type: DataTypes.INTEGER, defaultValue: 7 });
    await tables.addIndex(Boat.getTableName(), ["length"]);
    assert.ok((await tables.describeTable(Boat.getTableName())).length);
    assert.ok((await tables.showIndex(Boat.getTableName())).length >= 3);
    await sequelize.sync({ alter: true });
    await Boat.create({ name: "one" });
    await sequelize.sync({ force: true });
    assert.equal(await Boat.count(), 0);
    await sequelize.drop();
    await rejects(Boat.count(), "42P01");
  });
}

report("sequelize", require("sequelize/package.json").version, {
  connect, prepare, transaction, error, large, pool, schema,
});
