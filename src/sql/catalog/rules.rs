//! The rules of relations, of which every view is one: their trees are the bulk of a catalog, and hardly ever change.

use std::collections::HashMap;

use super::facts::plant;
use super::graph::{Graph, Ref, When};
use super::snapshot::Currval;
use super::tree::Tree;
use crate::sql::verdict::Why;

/// `currval(regclass)` and `lastval()`.
const CURRVAL: [Ref; 2] = [Ref::Function(1575), Ref::Function(2559)];

/// The trees of rules as they were when the catalog was last read. A row of PostgreSQL's catalog that has the same oid
/// and was made by the same transaction (`xmin`) is the same.
#[derive(Debug, Default)]
pub struct Trees(HashMap<u32, (u32, Tree), foldhash::fast::RandomState>);

/// The rules that there are.
#[derive(Debug)]
pub(super) struct Rules {
    listed: Vec<Listed>,
    trees: Trees,
}

#[derive(Debug)]
struct Listed {
    oid: u32,
    version: u32,
    /// Who runs its tree, and when.
    owner: Option<(Ref, When)>,
}

impl Rules {
    /// None yet, but the trees of those that there were.
    pub(super) const fn new(trees: Trees) -> Self {
        Self { listed: Vec::new(), trees }
    }

    /// There is a rule, in this version, whose tree its owner runs.
    pub(super) fn list(&mut self, (oid, version): (u32, u32), owner: Option<(Ref, When)>) {
        self.listed.push(Listed { oid, version, owner });
    }

    /// What a rule refers to, in this version.
    pub(super) fn learn(&mut self, (oid, version): (u32, u32), mut tree: Tree) {
        tree.refs.shrink_to_fit();
        self.trees.0.insert(oid, (version, tree));
    }

    /// The rules whose trees are not known in their present version.
    pub(super) fn unread(&self) -> Vec<u32> {
        let unread = self.listed.iter().filter(|rule| self.trees.of(rule).is_none());
        unread.map(|rule| rule.oid).collect()
    }

    /// Notes what follows from all rules, and whether one asks for `currval`. Keeps the trees of those that there are.
    pub(super) fn settle(self, graph: &mut Graph) -> (Currval, Trees) {
        let Self { listed, mut trees } = self;
        let mut kept = Trees::default();
        let mut currval = Currval::Unused;
        for rule in listed {
            match (trees.take(&rule), rule.owner) {
                (Some(tree), owner) => {
                    if tree.refs.iter().any(|to| CURRVAL.contains(to)) {
                        currval = Currval::Used;
                    }
                    if let Some((owner, when)) = owner {
                        plant(graph, &tree, owner, when);
                    }
                    kept.0.insert(rule.oid, (rule.version, tree));
                }
                (None, Some((owner, When::Used))) => graph.condemn(owner, Why::UnknownRelation),
                (None, _) => {}
            }
        }
        (currval, kept)
    }
}

impl Trees {
    fn of(&self, rule: &Listed) -> Option<&Tree> {
        let (version, tree) = self.0.get(&rule.oid)?;
        (*version == rule.version).then_some(tree)
    }

    fn take(&mut self, rule: &Listed) -> Option<Tree> {
        let (version, tree) = self.0.remove(&rule.oid)?;
        (version == rule.version).then_some(tree)
    }
}
