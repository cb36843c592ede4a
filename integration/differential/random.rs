//! Cases made up by chance: what a client may do with the names of prepared statements, in any order.
//!
//! PostgreSQL itself is the model. Each case leaves its names on the servers, where the next one finds them. In what
//! place of its source PostgreSQL finds an error is not compared: a failed transaction is met by the first of several
//! messages.

use rand::{SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};

use super::{
    client::Answer,
    script::{self, Case},
};

/// What their titles begin with.
pub(super) const TITLE: &str = "names by chance";

/// How many steps a case has.
const STEPS: usize = 30;

/// What is done with a name (`@`) and another one (`%`).
const WORDS: [&str; 33] = [
    "PREPARE @ AS SELECT 1 AS one",
    "PREPARE @ (int) AS SELECT $1 + 1",
    "PREPARE @ AS SELECT count(*) FROM fix.items",
    "PREPARE @ AS SELECT nothing",
    "PREPARE @ AS SELECT 'now'::text",
    "EXECUTE @",
    "EXECUTE @",
    "EXECUTE @ (2)",
    "EXPLAIN (COSTS OFF) EXECUTE @",
    "DEALLOCATE @",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "\\run DEALLOCATE ALL",
    "\\run DISCARD ALL",
    "ROLLBACK\n\\{\n\\parse @ SELECT 12\n\\sync\nDISCARD ALL\n\\bind - @\n\\sync\n\\parse @ SELECT 13\n\\bind - @\n\\execute -\n\\sync\nEXECUTE @\n\\}",
    "PREPARE @ AS SELECT 5; EXECUTE @; DEALLOCATE %; EXECUTE %",
    "EXECUTE %; PREPARE % AS SELECT 6; SELECT 1 / 0; DEALLOCATE @",
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SELECT 1",
    "SELECT nothing",
    "\\parse @ SELECT 2 AS two\n\\sync",
    "\\parse @ SELECT 3\n\\describe s @\n\\sync",
    "\\bind - @\n\\describe p -\n\\execute -\n\\sync",
    "\\describe s @\n\\sync",
    "\\close s @\n\\sync",
    "\\run EXECUTE @",
    "\\run PREPARE @ AS SELECT 8",
    "\\run DEALLOCATE @",
    "\\{\n\\close s @\n\\parse @ SELECT 9\n\\bind - %\n\\execute -\nEXECUTE @\n\\bind - @\n\\execute -\n\\sync\n\\}",
    "\\{\nDEALLOCATE ALL\n\\parse @ SELECT 10\n\\bind - @\n\\execute -\n\\sync\nEXECUTE @\nPREPARE % AS SELECT 11\nEXECUTE %\n\\}",
];

const NAMES: [&str; 3] = ["a", "b", "value"];

/// That many cases, the same every time.
pub(super) fn cases(count: u64) -> Vec<Case> {
    chances(count, TITLE, "", |_, dice| {
        let word = pick(dice, &WORDS);
        word.replace('@', pick(dice, &NAMES)).replace('%', pick(dice, &NAMES))
    })
}

/// That many cases of steps that `step` makes up from the number of the case and its dice, the same every time.
pub(super) fn chances(
    count: u64,
    title: &str,
    start: &str,
    mut step: impl FnMut(u64, &mut SmallRng) -> String,
) -> Vec<Case> {
    let texts = (0..count).map(|seed| {
        let mut dice = SmallRng::seed_from_u64(seed);
        let steps: Vec<_> = (0..STEPS).map(|_| step(seed, &mut dice)).collect();
        format!("== {title}, {seed}\n@as-written\n{start}{}\n", steps.join("\n"))
    });
    script::read(&texts.collect::<String>())
}

/// One of these.
pub(super) fn pick<'a>(dice: &mut SmallRng, from: &[&'a str]) -> &'a str {
    from.choose(dice).copied().unwrap_or_default()
}

/// Leaves out of errors where in PostgreSQL's source they were found.
pub(super) fn forget_places(answers: &mut [Answer]) {
    for frame in answers.iter_mut().flat_map(|answer| &mut answer.frames) {
        if frame.tag == b'E' {
            let fields = frame.body.split(|byte| *byte == 0);
            let told = fields.filter(|field| !matches!(field.first(), Some(b'F' | b'L' | b'R')));
            frame.body = told.collect::<Vec<_>>().join(&0);
        }
    }
}
