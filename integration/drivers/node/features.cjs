// Tries the features of a driver one by one, and prints a line for each: driver, feature, ok or n/a or fails, note.
"use strict";

exports.url = process.argv[2];

exports.unique = (what) => `${what}_${process.hrtime.bigint()}`;

// A statement that sleeps, on the primary, and one that asks there whether it does: `asleep` is true or false.
exports.sleeping = () => {
  const mark = exports.unique("asleep");
  return [
    `/* pglagoon: primary */ SELECT pg_sleep(60) AS ${mark}`,
    `/* pglagoon: primary */ SELECT count(*) = 1 AS asleep FROM pg_stat_activity
     WHERE wait_event = 'PgSleep' AND strpos(query, '${mark}') > 0`,
  ];
};

// The codes that a driver gives its errors, which may stand inside another.
exports.code = (error) => error && (error.code ?? exports.code(error.cause ?? error.original));

exports.report = async (driver, version, features) => {
  console.log(driver, "version", version);
  for (const name of process.env.FEATURES.split(" ")) {
    if (!features[name]) {
      console.log(driver, name, "n/a");
      continue;
    }
    try {
      await features[name]();
      console.log(driver, name, "ok");
    } catch (error) {
      console.error(error);
      console.log(driver, name, "fails", String(error).slice(0, 300).replaceAll("\n", " "));
    }
  }
  process.exit(0);
};
