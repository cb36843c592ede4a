//! The names of prepared statements that texts can use on one server: those that clients have chosen.
//!
//! PostgreSQL knows one set of names per session, for SQL and for the protocol. What clients prepare by the protocol
//! has names of ours, which no text mentions; a text that does mention a name finds what its client calls so only if
//! that has been put there under just that name.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::server::census::Census;
use crate::server::statements::StatementId;

/// What is known of a name on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It is free.
    Nothing,
    /// It is this statement's.
    Statement(StatementId),
    /// It is taken, by nothing that anybody wants to run.
    Something,
    /// It may be free or taken.
    Unsure,
}

/// The names on one server, with what they will stand for when all that is on its way has succeeded.
#[derive(Debug, Default)]
pub struct Given {
    names: HashMap<Box<[u8]>, Holds, FixedState>,
    /// The names that are being changed, in the order of the changes.
    coming: VecDeque<Box<[u8]>>,
    census: Arc<Census>,
}

impl Given {
    /// None yet; how many there are is told to `census`.
    pub fn counted(census: Arc<Census>) -> Self {
        Self { census, ..Self::default() }
    }

    /// What the server has under this name.
    pub fn get(&self, name: &[u8]) -> Holds {
        self.names.get(name).copied().unwrap_or(Holds::Nothing)
    }

    /// The server has this under `name` from now on.
    pub fn set(&mut self, name: &[u8], holds: Holds) {
        if holds == Holds::Nothing {
            self.names.remove(name);
        } else {
            self.names.insert(name.into(), holds);
        }
        self.census.set_names(self.names.len());
    }

    /// What is on its way makes it so.
    pub fn expect(&mut self, name: &[u8], holds: Holds) {
        self.set(name, holds);
        self.coming.push_back(name.into());
    }

    /// The oldest change has been made.
    pub fn confirm(&mut self) {
        self.coming.pop_front();
    }

    /// The oldest change has not been made, or nobody knows.
    pub fn doubt(&mut self) {
        if let Some(name) = self.coming.pop_front() {
            self.names.insert(name, Holds::Unsure);
            self.census.set_names(self.names.len());
        }
    }

    /// The names that may be taken.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.keys().map(|name| &**name)
    }

    /// How many names may be taken.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether all names are free.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All that is there is about to go.
    pub(super) fn doubt_all(&mut self) {
        self.names.values_mut().for_each(|holds| *holds = Holds::Unsure);
    }

    /// It has gone.
    pub(super) fn lose_doubtful(&mut self) {
        self.names.retain(|_, holds| *holds != Holds::Unsure);
        self.census.set_names(self.names.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_leaves_a_doubt_and_what_comes_later_ends_it() {
        let (mut given, one) = (Given::default(), Holds::Statement(StatementId(1)));
        given.expect(b"a", one);
        assert_eq!(given.get(b"a"), one);
        given.expect(b"a", Holds::Nothing);
        given.expect(b"b", one);
        assert_eq!(given.get(b"a"), Holds::Nothing);
        given.confirm();
        given.doubt();
        assert_eq!((given.get(b"a"), given.get(b"b")), (Holds::Unsure, one));
        given.doubt();
        given.set(b"a", Holds::Something);
        assert_eq!((given.get(b"a"), given.get(b"b")), (Holds::Something, Holds::Unsure));
        assert_eq!(given.len(), 2);
        given.doubt_all();
        given.set(b"c", one);
        given.lose_doubtful();
        assert_eq!(given.names().collect::<Vec<_>>(), [b"c"]);
    }
}
