//! What a server says that its statements look like.

use std::sync::Arc;

use super::{ServerName, Statement, StatementId, Statements};
use crate::protocol::frontend::Object;
use crate::server::shape::{Fit, Shape, Told};

/// Whether a server's copy of a statement looks as clients rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// The server has said so.
    Checked,
    /// It has, of its columns.
    Columns,
    /// It has not been asked.
    Unchecked,
}

impl Looks {
    /// Whether nothing more is relied on than has been seen.
    #[inline]
    pub fn suffice(self, shape: &Shape) -> bool {
        match self {
            Self::Checked => true,
            Self::Columns => !shape.tells_parameters(),
            Self::Unchecked => !shape.is_known(),
        }
    }
}

/// What a Describe is about.
#[derive(Debug)]
pub(super) struct Described {
    /// What is asked for: who asks about a portal is told of columns alone.
    object: Object,
    /// What the client calls the statement.
    name: Box<[u8]>,
    /// What it is to the server.
    statement: Arc<Statement>,
    /// The server's copy; `None` if that is the unnamed statement.
    copy: Option<ServerName>,
}

/// The statement of the unnamed portal, if nobody has seen yet what the server's copy of it looks like.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    /// What the client calls it.
    name: Vec<u8>,
    statement: Option<Arc<Statement>>,
}

impl Statements {
    /// A Describe of what the client calls `name`, for the sake of the statement or of a portal, is on its way.
    pub fn expect_description(&mut self, object: Object, name: &[u8], statement: Arc<Statement>) {
        let copy = self.named.get(statement.id).map(|prepared| prepared.name);
        self.described.push_back(Described { object, name: name.into(), statement, copy });
    }

    /// The unnamed portal is being bound to a copy that has been looked at, or to nothing that anybody describes.
    #[inline]
    pub fn bind_seen(&mut self) {
        if self.unseen.statement.is_some() {
            self.unseen.statement = None;
        }
    }

    /// It is being bound to one that has not been looked at, of what the client calls `name`.
    pub fn bind_unseen(&mut self, name: &[u8], statement: Arc<Statement>) {
        self.unseen.name.clear();
        self.unseen.name.extend_from_slice(name);
        self.unseen.statement = Some(statement);
    }

    /// A Describe of the unnamed portal is on its way. Returns the statement whose columns it tells, if that is news.
    pub fn describe_unseen(&mut self) -> Option<StatementId> {
        let statement = Arc::clone(self.unseen.statement.as_ref()?);
        let id = statement.id;
        let name = std::mem::take(&mut self.unseen.name);
        self.expect_description(Object::Portal, &name, statement);
        self.unseen.name = name;
        Some(id)
    }

    /// The oldest Describe, of this statement, is answered by this. A copy that does not fit is given up.
    pub fn told(&mut self, id: StatementId, told: Told) -> Fit {
        let Some(described) = self.described.front() else { return Fit::Unknown };
        if matches!((described.object, told), (Object::Portal, Told::Parameters(_))) {
            return Fit::Fits;
        }
        let fit = described.statement.shape.tell(told);
        if fit == Fit::Misfits {
            self.give_up(id);
            if self.unnamed == Some(id) {
                self.lose_unnamed();
            }
        } else if let (Told::Columns(_), Some(prepared)) = (told, self.named.get_mut(id))
            && described.copy == Some(prepared.name)
        {
            prepared.looks = match (described.object, prepared.looks) {
                (Object::Portal, Looks::Unchecked) => Looks::Columns,
                (Object::Portal, looks) => looks,
                (Object::Statement, _) => Looks::Checked,
            };
        }
        fit
    }

    /// What the oldest Describe is about, and what its client calls that.
    pub fn described(&self) -> Option<(&[u8], &Arc<Statement>)> {
        self.described.front().map(|described| (&*described.name, &described.statement))
    }

    /// Servers tell different things of what the oldest Describe is about.
    pub fn retire_described(&self) {
        if let Some(described) = self.described.front() {
            described.statement.shape.retire();
        }
    }

    /// The same, and here it is this instead.
    pub fn reshape_described(&mut self, told: Told) {
        if let Some(described) = self.described.front_mut() {
            let before = &described.statement;
            let reshaped = before.reshaped(Arc::new(before.shape.with(told)));
            before.shape.retire();
            described.statement = Arc::new(reshaped);
        }
    }

    /// The oldest Describe has been answered, or never will be.
    pub fn end_description(&mut self) {
        self.described.pop_front();
    }

    /// Who waits to use this statement must not.
    pub fn set_misfit(&mut self, id: StatementId) {
        self.misfit = Some(id);
    }

    /// Whether that is so; he is told once.
    pub fn take_misfit(&mut self, id: StatementId) -> bool {
        self.misfit.take() == Some(id)
    }
}

impl Statement {
    /// The same text, of which its client was told something else: no server has just that.
    fn reshaped(&self, shape: Arc<Shape>) -> Self {
        let same = self.renewed(self.edition, self.verdict);
        Self { id: StatementId(u64::MAX), background: None, shape, ..same }
    }
}
