// Tries the features of a driver one by one, and prints a line for each: driver, feature, ok or n/a or fails, note.
"use strict";

const FEATURES =
  "connect prepare pipeline transaction error large copy cancel notify pool schema".split(" ");

exports.url = process.argv[2];

exports.unique = (what) => `${what}_${process.hrtime.bigint()}`;

exports.sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// The codes that a driver gives its errors, which may stand inside another.
exports.code = (error) => error && (error.code ?? exports.code(error.cause ?? error.original));

exports.report = async (driver, version, features) => {
  console.log(driver, "version", version);
  for (const name of FEATURES) {
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
