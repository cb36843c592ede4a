//! What reaches what: functions, relations, operators and types, and what holds for each because of the others.

use std::collections::HashMap;

use super::names::{Key, Known, Traces, strongest};
use crate::sql::scan::Leaves;
use crate::sql::verdict::Why;

/// How one object names another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ref {
    /// A function's oid.
    Function(u32),
    /// A relation's oid.
    Relation(u32),
    /// An operator's oid.
    Operator(u32),
    /// A type's oid.
    Type(u32),
    /// A name before a parenthesis.
    Call(Key),
    /// Any name in a text.
    Word(Key),
    /// An operator in a text.
    Symbol(Key),
}

/// A place in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node(u32);

/// When what holds for one object holds for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Whenever it is used.
    Used,
    /// When it is written.
    Written,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What is called: reading, writing and calling it are one.
    Function,
    /// What is read and written.
    Relation,
}

/// Objects, and how they name each other.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<(Kind, Known)>,
    edges: Vec<(Node, Ref, When)>,
    /// References from objects that may not have been added yet.
    early: Vec<(Ref, Ref, When)>,
    /// Reasons against objects that may not have been added yet.
    verdicts: Vec<(Ref, Why)>,
    places: HashMap<Ref, Vec<Node>, foldhash::fast::RandomState>,
}

impl Graph {
    /// Adds an object of which so much is known without the others.
    pub(super) fn add(&mut self, kind: Kind, known: Known) -> Node {
        let node = Node(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push((kind, known));
        node
    }

    /// Has `name` stand for `node` too.
    pub(super) fn name(&mut self, name: Ref, node: Node) {
        self.places.entry(name).or_default().push(node);
    }

    /// Notes that `from` refers to `to`.
    pub(super) fn refer(&mut self, from: Node, to: Ref, when: When) {
        self.edges.push((from, to, when));
    }

    /// Notes that what is called `from`, if there is such a thing, refers to `to`.
    pub(super) fn refer_by_name(&mut self, from: Ref, to: Ref, when: When) {
        self.early.push((from, to, when));
    }

    /// Keeps what is called `name` on the primary.
    pub(super) fn condemn(&mut self, name: Ref, why: Why) {
        self.verdicts.push((name, why));
    }

    /// What an object of PostgreSQL itself, or one that is not there, means for those that refer to it.
    fn outside(to: Ref, built_in: &HashMap<u32, Known>) -> Known {
        let (why, leaves) = match to {
            Ref::Function(oid) if is_built_in(oid) => {
                return built_in.get(&oid).copied().unwrap_or(Known::HARMLESS);
            }
            Ref::Function(_) => (Some(Why::UnknownFunction), Leaves::Traces),
            Ref::Relation(oid) if is_built_in(oid) => (Some(Why::SystemCatalog), Leaves::Nothing),
            Ref::Relation(_) => (Some(Why::UnknownRelation), Leaves::Nothing),
            Ref::Operator(_) | Ref::Type(_) | Ref::Call(_) | Ref::Word(_) | Ref::Symbol(_) => {
                (None, Leaves::Nothing)
            }
        };
        Known { why, traces: Traces::of(leaves), ..Known::HARMLESS }
    }

    /// Follows all references; afterwards every node knows what holds for it because of others. `built_in` are
    /// PostgreSQL's own functions that a standby must not run.
    pub(super) fn settle(mut self, built_in: &HashMap<u32, Known>) -> Settled {
        let users = self.users(built_in);
        let mut settled = Settled(self.nodes);
        let count = u32::try_from(settled.0.len()).unwrap_or(0);
        let mut queue: Vec<Node> = (0..count).map(Node).collect();
        while let Some(node) = queue.pop() {
            let used = settled.known(node);
            for (user, when) in users.get(index(node)).into_iter().flatten() {
                if settled.learn(*user, used, *when) {
                    queue.push(*user);
                }
            }
        }
        settled
    }

    /// Who refers to each node. What lies outside of the graph is judged at once.
    fn users(&mut self, built_in: &HashMap<u32, Known>) -> Vec<Vec<(Node, When)>> {
        for (name, why) in std::mem::take(&mut self.verdicts) {
            for node in self.places.get(&name).into_iter().flatten() {
                if let Some((_, known)) = self.nodes.get_mut(index(*node)) {
                    known.why = strongest(known.why, Some(why));
                }
            }
        }
        for (from, to, when) in std::mem::take(&mut self.early) {
            for node in self.places.get(&from).into_iter().flatten() {
                self.edges.push((*node, to, when));
            }
        }
        let mut users: Vec<Vec<(Node, When)>> = vec![Vec::new(); self.nodes.len()];
        for (from, to, when) in std::mem::take(&mut self.edges) {
            match self.places.get(&to) {
                Some(nodes) => {
                    for node in nodes.iter().filter(|node| **node != from) {
                        if let Some(users) = users.get_mut(index(*node)) {
                            users.push((from, when));
                        }
                    }
                }
                None => {
                    if let Some((kind, known)) = self.nodes.get_mut(index(from)) {
                        known.learn(*kind, Self::outside(to, built_in), when);
                    }
                }
            }
        }
        users
    }
}

/// The nodes of a graph whose references have all been followed.
#[derive(Debug)]
pub(super) struct Settled(Vec<(Kind, Known)>);

impl Settled {
    /// What holds for this object.
    pub(super) fn known(&self, node: Node) -> Known {
        self.0.get(index(node)).map_or(Known::HARMLESS, |(_, known)| *known)
    }

    /// Adds to a node what holds for one that it refers to. Returns whether that was news.
    fn learn(&mut self, node: Node, used: Known, when: When) -> bool {
        let Some((kind, known)) = self.0.get_mut(index(node)) else { return false };
        let before = *known;
        known.learn(*kind, used, when);
        *known != before
    }
}

impl Known {
    /// Adds what holds for something that an object of this kind refers to.
    fn learn(&mut self, kind: Kind, used: Self, when: When) {
        self.writes = self.writes.union(used.writes);
        let occasions = match (kind, when) {
            (Kind::Function, _) => Traces::READ | Traces::WRITTEN,
            (Kind::Relation, When::Used) => used.traces,
            (Kind::Relation, When::Written) => Traces::WRITTEN,
        };
        if !used.traces.is_empty() {
            self.traces |= occasions | (used.traces & Traces::FOR_GOOD);
        }
        if kind == Kind::Function || when == When::Used {
            self.why = strongest(self.why, used.why);
            self.reads = self.reads.union(used.reads);
        }
    }
}

fn index(node: Node) -> usize {
    usize::try_from(node.0).unwrap_or(usize::MAX)
}

/// Whether an object of this oid came with PostgreSQL (`FirstNormalObjectId`, in `src/include/access/transam.h`).
pub(super) const fn is_built_in(oid: u32) -> bool {
    oid < 16384
}
