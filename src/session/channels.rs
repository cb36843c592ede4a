//! The channels that one client listens on, as PostgreSQL would have it.
//!
//! LISTEN and UNLISTEN take effect when their transaction commits, and are undone with it or with a savepoint
//! (`src/backend/commands/async.c`). What a text does is entered when it is sent, and carried out step by step as the
//! server completes its statements.

use std::collections::{HashSet, VecDeque};

use foldhash::fast::RandomState;

use crate::protocol::TransactionStatus;
use crate::sql::channels::Step;

/// Names of channels.
pub(super) type ChannelSet = HashSet<Box<str>, RandomState>;

/// One client's channels.
#[derive(Debug, Default)]
pub(super) struct Channels {
    committed: ChannelSet,
    /// What the transaction has done so far.
    actions: Vec<Action>,
    /// The savepoints that were set after the first action, each with the number of actions before it.
    savepoints: Vec<(Box<str>, usize)>,
    /// Texts on their way, each with the number of its request.
    scripts: VecDeque<(u64, VecDeque<Step>)>,
    trouble: Trouble,
    settled: Settled,
}

#[derive(Debug)]
enum Action {
    Listen(Box<str>),
    Unlisten(Box<str>),
    UnlistenAll,
}

/// Whether the present request group has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    Error,
}

/// Whether what is listened on is what was last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Settled {
    #[default]
    Yes,
    No,
}

impl Channels {
    /// Whether notifications on this channel are the client's.
    pub(super) fn contains(&self, channel: &str) -> bool {
        self.committed.contains(channel)
    }

    /// How many the client listens on.
    pub(super) fn len(&self) -> usize {
        self.committed.len()
    }

    /// Whether there is nothing: neither a channel nor anything on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.actions.is_empty() && self.scripts.is_empty()
    }

    /// Whether a transaction has done what its end may undo.
    pub(super) fn is_undecided(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Whether a transaction has ended that may have changed them, and nothing is on its way. Tells it once.
    pub(super) fn take_changed(&mut self) -> bool {
        let is_changed =
            self.settled == Settled::No && self.actions.is_empty() && self.scripts.is_empty();
        if is_changed {
            self.settled = Settled::Yes;
        }
        is_changed
    }

    /// A text that does this is on its way as the request of this number.
    pub(super) fn expect(&mut self, number: u64, steps: Vec<Step>) {
        self.settled = Settled::No;
        self.scripts.push_back((number, steps.into()));
    }

    /// The server has completed a statement of the request of this number.
    pub(super) fn on_command(&mut self, number: u64, tag: &[u8]) {
        while self.scripts.front().is_some_and(|(script, _)| *script < number) {
            self.scripts.pop_front();
        }
        let step = match self.scripts.front_mut() {
            Some((script, steps)) if *script == number => steps.pop_front(),
            _ => None,
        };
        match step.unwrap_or(Step::Other) {
            Step::Listen(name) => self.actions.push(Action::Listen(name)),
            Step::Unlisten(name) => self.actions.push(Action::Unlisten(name)),
            Step::UnlistenAll => self.actions.push(Action::UnlistenAll),
            Step::Savepoint(name) if !self.actions.is_empty() => {
                self.savepoints.push((name, self.actions.len()));
            }
            Step::Savepoint(_) => {}
            Step::Release(name) => {
                let known = self.position(&name).unwrap_or(0);
                self.savepoints.truncate(known);
            }
            Step::RollbackTo(name) => self.roll_back_to(&name),
            Step::Other => match tag {
                b"COMMIT" => self.commit(),
                b"ROLLBACK" => self.roll_back(),
                b"DISCARD ALL" => self.clear(),
                _ => {}
            },
        }
    }

    /// The server has reported an error.
    pub(super) fn on_error(&mut self) {
        self.trouble = Trouble::Error;
    }

    /// The server is ready.
    pub(super) fn on_ready(&mut self, status: TransactionStatus) {
        let trouble = std::mem::take(&mut self.trouble);
        if status == TransactionStatus::Idle {
            match trouble {
                Trouble::None => self.commit(),
                Trouble::Error => self.roll_back(),
            }
        }
    }

    /// The server owes nothing: what is left belongs to requests that were skipped.
    pub(super) fn forget_skipped(&mut self) {
        self.scripts.clear();
    }

    /// DISCARD ALL.
    pub(super) fn clear(&mut self) {
        self.committed.clear();
        self.roll_back();
        self.settled = Settled::No;
    }

    fn commit(&mut self) {
        for action in self.actions.drain(..) {
            match action {
                Action::Listen(name) => {
                    self.committed.insert(name);
                }
                Action::Unlisten(name) => {
                    self.committed.remove(&name);
                }
                Action::UnlistenAll => self.committed.clear(),
            }
        }
        self.savepoints.clear();
    }

    fn roll_back(&mut self) {
        self.actions.clear();
        self.savepoints.clear();
    }

    /// The savepoint stays. One that is not known was set before the first action.
    fn roll_back_to(&mut self, name: &str) {
        match self.position(name).and_then(|at| Some((at, self.savepoints.get(at)?.1))) {
            Some((at, actions)) => {
                self.savepoints.truncate(at + 1);
                self.actions.truncate(actions);
            }
            None => self.roll_back(),
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|(known, _)| **known == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::channels::steps;

    /// Runs texts, each with the tags of its statements and the status after it.
    fn run(channels: &mut Channels, texts: &[(&str, &[&str], TransactionStatus)]) {
        for (number, (text, tags, status)) in (0..).zip(texts) {
            let steps = steps(text.as_bytes()).unwrap();
            if steps.len() > tags.len() {
                channels.on_error();
            }
            channels.expect(number, steps);
            for tag in *tags {
                channels.on_command(number, tag.as_bytes());
            }
            channels.on_ready(*status);
            channels.forget_skipped();
        }
    }

    use TransactionStatus::{Failed, Idle, InTransaction};

    #[test]
    fn a_transaction_decides() {
        let mut channels = Channels::default();
        run(&mut channels, &[("listen a", &["LISTEN"], Idle)]);
        assert!(channels.contains("a") && channels.take_changed() && !channels.take_changed());
        run(&mut channels, &[("begin; listen b", &["BEGIN", "LISTEN"], InTransaction)]);
        assert!(!channels.contains("b") && channels.is_undecided());
        run(&mut channels, &[("rollback", &["ROLLBACK"], Idle)]);
        assert!(!channels.contains("b") && channels.contains("a"));
        run(
            &mut channels,
            &[
                ("begin; listen b; unlisten a", &["BEGIN", "LISTEN", "UNLISTEN"], InTransaction),
                ("commit", &["COMMIT"], Idle),
            ],
        );
        assert!(channels.contains("b") && !channels.contains("a"));
        // A COMMIT that is a rollback.
        run(
            &mut channels,
            &[
                ("begin; unlisten *; oops", &["BEGIN", "UNLISTEN"], Failed),
                ("commit", &["ROLLBACK"], Idle),
            ],
        );
        assert!(channels.contains("b"));
        // What was committed before the error in the same text stays.
        run(
            &mut channels,
            &[("begin; unlisten *; commit; oops", &["BEGIN", "UNLISTEN", "COMMIT"], Idle)],
        );
        assert!(channels.is_empty());
    }

    #[test]
    fn an_error_undoes_the_implicit_transaction() {
        let mut channels = Channels::default();
        run(&mut channels, &[("listen a; oops", &["LISTEN"], Idle)]);
        assert!(channels.is_empty());
    }

    #[test]
    fn savepoints_undo_what_came_after_them() {
        let mut channels = Channels::default();
        run(
            &mut channels,
            &[
                (
                    "begin; savepoint early; listen a",
                    &["BEGIN", "SAVEPOINT", "LISTEN"],
                    InTransaction,
                ),
                ("savepoint s; listen b", &["SAVEPOINT", "LISTEN"], InTransaction),
                ("savepoint s; listen c", &["SAVEPOINT", "LISTEN"], InTransaction),
                ("rollback to s; listen d", &["ROLLBACK", "LISTEN"], InTransaction),
                ("release s; rollback to s", &["RELEASE", "ROLLBACK"], InTransaction),
                ("listen e; commit", &["LISTEN", "COMMIT"], Idle),
            ],
        );
        let has = |name| channels.contains(name);
        assert_eq!(["a", "b", "c", "d", "e"].map(has), [true, false, false, false, true]);
        run(
            &mut channels,
            &[
                (
                    "begin; savepoint early; unlisten *",
                    &["BEGIN", "SAVEPOINT", "UNLISTEN"],
                    InTransaction,
                ),
                ("rollback to early; commit", &["ROLLBACK", "COMMIT"], Idle),
            ],
        );
        assert!(channels.contains("a") && channels.contains("e"));
    }

    #[test]
    fn a_script_that_was_skipped_is_nobodys() {
        let mut channels = Channels::default();
        channels.expect(3, steps(b"listen a").unwrap());
        channels.expect(5, steps(b"listen b").unwrap());
        channels.on_command(5, b"LISTEN");
        channels.on_ready(Idle);
        assert!(channels.contains("b") && !channels.contains("a"));
    }
}
