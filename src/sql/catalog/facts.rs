//! From the rows of PostgreSQL's catalogs to a [`Snapshot`].

use std::collections::HashMap;

use thiserror::Error;

use super::body::{Body, Language};
use super::graph::{Graph, Kind, Node, Ref, Settled, When, is_built_in};
use super::labels::compiled;
use super::names::{Key, Known, Names, Traces};
use super::overrides::Overrides;
use super::rules::{Rules, Trees};
use super::snapshot::{Census, Currval, Snapshot};
use super::tree::{self, Tree};
use crate::sql::functions;
use crate::sql::scan::{self, Leaves};
use crate::sql::settings::Parameter;
use crate::sql::tables::Tables;
use crate::sql::verdict::Why;

/// A row that is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("PostgreSQL's answer about its catalog has an unexpected form")]
pub struct BadRow;

/// What the catalogs say, collected row by row. The queries that the rows come from stand in `cluster::catalog`.
#[derive(Debug)]
pub struct Facts {
    graph: Graph,
    overrides: Overrides,
    /// PostgreSQL's own functions that a standby must not run.
    built_in: HashMap<u32, Known>,
    everywhere: Node,
    functions: Vec<(Named, Node)>,
    relations: Vec<(Named, Node)>,
    operators: Vec<(Key, Node)>,
    words: Vec<(Key, Node)>,
    rules: Rules,
    currval: Currval,
    parameters: Vec<(Key, Parameter)>,
}

/// An object's name, alone and with its schema.
#[derive(Clone, Copy, Debug)]
struct Named {
    alone: Key,
    full: Key,
}

impl Named {
    fn new(schema: &str, name: &str) -> Self {
        Self { alone: Key::of(name), full: Key::within(Some(schema), name) }
    }
}

/// The columns of a row, one after the other.
struct Columns<'a>(std::slice::Iter<'a, Option<&'a str>>);

impl<'a> Columns<'a> {
    fn maybe(&mut self) -> Result<Option<&'a str>, BadRow> {
        self.0.next().copied().ok_or(BadRow)
    }

    fn text(&mut self) -> Result<&'a str, BadRow> {
        self.maybe()?.ok_or(BadRow)
    }

    fn oid(&mut self) -> Result<u32, BadRow> {
        self.text()?.parse().map_err(|_| BadRow)
    }

    fn oids(&mut self) -> Result<Vec<u32>, BadRow> {
        let list = self.maybe()?.unwrap_or_default().split_whitespace();
        list.map(|oid| oid.parse().map_err(|_| BadRow)).collect()
    }
}

impl Facts {
    /// Nothing yet. `overrides` beat what will be found; `trees` need not be read again.
    pub fn new(overrides: Overrides, trees: Trees) -> Self {
        let mut graph = Graph::default();
        let everywhere = graph.add(Kind::Relation, Known::HARMLESS);
        Self {
            graph,
            overrides,
            built_in: HashMap::new(),
            everywhere,
            functions: Vec::new(),
            relations: Vec::new(),
            operators: Vec::new(),
            words: Vec::new(),
            rules: Rules::new(trees),
            currval: Currval::Void,
            parameters: Vec::new(),
        }
    }

    /// Takes note of one row, whose first column says what it is about.
    ///
    /// # Errors
    ///
    /// [`BadRow`].
    pub fn add(&mut self, row: &[Option<&str>]) -> Result<(), BadRow> {
        let mut columns = Columns(row.iter());
        match columns.text()? {
            "built_in" => self.built_in(&mut columns),
            "function" => self.function(&mut columns),
            "aggregate" => self.aggregate(&mut columns),
            "operator" => self.operator(&mut columns),
            "type" => self.data_type(&mut columns),
            "cast" => self.cast(&mut columns),
            "support" => self.support(&mut columns),
            "relation" => self.relation(&mut columns),
            "link" => self.link(&mut columns),
            "tree" => self.tree(&mut columns),
            "parameter" => self.parameter(&mut columns),
            "rule" => self.rule(&mut columns),
            "text" => self.text(&mut columns),
            "currval" => {
                self.currval = Currval::Used;
                Ok(())
            }
            _ => Err(BadRow),
        }
    }

    /// oid, name.
    fn built_in(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (oid, name) = (columns.oid()?, columns.text()?);
        if let Some(why) = functions::reason(name) {
            let traces = Traces::of(scan::leaves(name));
            self.built_in.insert(oid, Known { why: Some(why), traces, ..Known::HARMLESS });
        }
        Ok(())
    }

    /// oid, schema, name, volatility, language, extension, whether it may be called like a column, the oids of its
    /// types, whether the body is a tree, body.
    fn function(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (oid, schema, name) = (columns.oid()?, columns.text()?, columns.text()?);
        let (volatility, language) = (columns.text()?, columns.text()?);
        let (extension, is_column) = (columns.maybe()?.unwrap_or_default(), columns.text()? == "t");
        let (types, is_tree, text) = (columns.oids()?, columns.text()? == "t", columns.maybe()?);
        let body = if self.overrides.is_unsafe(Some(schema), name) {
            Body { why: Some(Why::Configured), ..Body::opaque() }
        } else if self.overrides.is_safe(Some(schema), name) {
            Body { why: None, leaves: Leaves::Nothing, ..Body::opaque() }
        } else {
            match (language, text) {
                (_, Some(text)) if is_tree => body_of_tree(text),
                ("sql", Some(text)) => Body::read(text, Language::Sql),
                ("plpgsql", Some(text)) => Body::read(text, Language::Plpgsql),
                ("c" | "internal", _) => compiled(volatility, (extension, name)),
                // What no server may look up the database for.
                (_, _) if volatility == "i" => compiled(volatility, (extension, name)),
                (_, _) => Body::opaque(),
            }
        };
        let traces = Traces::of(body.leaves);
        let known = Known { why: body.why, traces, reads: body.tables, writes: body.tables };
        let node = self.graph.add(Kind::Function, known);
        let types = types.into_iter().filter(|oid| !is_built_in(*oid)).map(Ref::Type);
        for to in body.refs.into_iter().chain(types) {
            self.graph.refer(node, to, When::Used);
        }
        let named = Named::new(schema, name);
        self.graph.name(Ref::Function(oid), node);
        self.graph.name(Ref::Call(named.alone), node);
        self.functions.push((named, node));
        if is_column {
            self.graph.name(Ref::Word(named.alone), node);
            self.words.push((named.alone, node));
        }
        Ok(())
    }

    /// name, type, unit, context.
    fn parameter(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (name, vartype) = (columns.text()?, columns.text()?);
        let values = (vartype, columns.maybe()?.unwrap_or_default());
        let parameter = Parameter::of(name, values, columns.text()?);
        self.parameters.push((Key::of(&name.to_ascii_lowercase()), parameter));
        Ok(())
    }

    /// The aggregate's oid, the oids of the functions that it consists of.
    fn aggregate(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let whole = columns.oid()?;
        let parts = columns.oids()?;
        self.link_all(Ref::Function(whole), parts.into_iter().map(Ref::Function), When::Used);
        Ok(())
    }

    /// oid, symbol, the function's oid.
    fn operator(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (oid, symbol, function) = (columns.oid()?, columns.text()?, columns.oid()?);
        let node = self.graph.add(Kind::Function, Known::HARMLESS);
        let key = Key::of(symbol);
        self.graph.name(Ref::Operator(oid), node);
        self.graph.name(Ref::Symbol(key), node);
        self.graph.refer(node, Ref::Function(function), When::Used);
        self.operators.push((key, node));
        Ok(())
    }

    /// oid, schema, name, the oid of the type that it is a domain over or 0, the oids of its functions.
    fn data_type(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (oid, schema, name) = (columns.oid()?, columns.text()?, columns.text()?);
        let (base, functions) = (columns.oid()?, columns.oids()?);
        let node = self.graph.add(Kind::Function, Known::HARMLESS);
        let named = Named::new(schema, name);
        for place in [Ref::Type(oid), Ref::Call(named.alone), Ref::Word(named.alone)] {
            self.graph.name(place, node);
        }
        if base != 0 {
            self.graph.refer(node, Ref::Type(base), When::Used);
        }
        for function in functions.into_iter().filter(|oid| !is_built_in(*oid)) {
            self.graph.refer(node, Ref::Function(function), When::Used);
        }
        self.functions.push((named, node));
        self.words.push((named.alone, node));
        Ok(())
    }

    /// The target type's name, the function's oid, the context.
    fn cast(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (target, function, context) = (columns.text()?, columns.oid()?, columns.text()?);
        let node = self.graph.add(Kind::Function, Known::HARMLESS);
        let key = Key::of(target);
        for place in [Ref::Call(key), Ref::Word(key)] {
            self.graph.name(place, node);
        }
        self.graph.refer(node, Ref::Function(function), When::Used);
        self.words.push((key, node));
        if context == "i" {
            self.graph.refer(self.everywhere, Ref::Function(function), When::Used);
        }
        Ok(())
    }

    /// The oid of a function that sorts, compares or indexes values.
    fn support(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let function = columns.oid()?;
        self.graph.refer(self.everywhere, Ref::Function(function), When::Used);
        Ok(())
    }

    /// oid, schema, name, kind, persistence.
    fn relation(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (oid, schema, name) = (columns.oid()?, columns.text()?, columns.text()?);
        let (kind, persistence) = (columns.text()?, columns.text()?);
        if kind == "S" && self.currval == Currval::Void {
            self.currval = Currval::Unused;
        }
        let named = Named::new(schema, name);
        let why = if self.overrides.is_primary(Some(schema), name) {
            Some(Why::Configured)
        } else {
            match (kind, persistence) {
                ("S", _) => Some(Why::Sequence),
                ("f", _) => Some(Why::ForeignTable),
                (_, "u") => Some(Why::UnloggedTable),
                _ => None,
            }
        };
        // What a view shows is written elsewhere.
        let own = if kind == "v" { Tables::NONE } else { named.alone.table() };
        let known = Known { why, traces: Traces::empty(), reads: own, writes: own };
        let node = self.graph.add(Kind::Relation, known);
        self.graph.name(Ref::Relation(oid), node);
        self.graph.name(Ref::Word(named.alone), node);
        self.relations.push((named, node));
        Ok(())
    }

    /// What the link is, two oids. What is written in the first reaches the second.
    fn link(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (what, from, to) = (columns.text()?, columns.oid()?, columns.oid()?);
        let (to, when) = match what {
            "inherits" => (Ref::Relation(to), When::Used),
            "cascade" => (Ref::Relation(to), When::Written),
            "trigger" => (Ref::Function(to), When::Written),
            _ => return Err(BadRow),
        };
        self.link_all(Ref::Relation(from), std::iter::once(to), when);
        Ok(())
    }

    /// What the tree is, the oid of the relation, type or function that it belongs to, the tree.
    fn tree(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (owner, when) = owner(columns)?.ok_or(BadRow)?;
        if let Some(text) = columns.maybe()? {
            plant(&mut self.graph, &tree::read(text), owner, when);
        }
        Ok(())
    }

    /// oid, version, what its tree is, the oid of the relation that it belongs to.
    fn rule(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (oid, version) = (columns.oid()?, columns.oid()?);
        self.rules.list((oid, version), owner(columns)?);
        Ok(())
    }

    /// A rule's oid, its version, its tree.
    fn text(&mut self, columns: &mut Columns<'_>) -> Result<(), BadRow> {
        let (oid, version) = (columns.oid()?, columns.oid()?);
        self.rules.learn((oid, version), tree::read(columns.text()?));
        Ok(())
    }

    /// The rules whose texts are yet to come.
    pub fn unread(&self) -> Vec<u32> {
        self.rules.unread()
    }

    fn link_all(&mut self, from: Ref, to: impl Iterator<Item = Ref>, when: When) {
        for to in to {
            self.graph.refer_by_name(from, to, when);
        }
    }

    /// What follows from all rows; and the trees of rules, which may be used when the catalog is read again.
    pub fn settle(mut self) -> (Snapshot, Trees) {
        let (currval, trees) = self.rules.settle(&mut self.graph);
        if currval == Currval::Used {
            self.currval = Currval::Used;
        }
        let settled = self.graph.settle(&self.built_in);
        self.parameters.sort_unstable_by_key(|(key, _)| *key);
        let snapshot = Snapshot {
            census: Census {
                relations: self.relations.len(),
                primary_relations: kept(&self.relations, &settled),
                functions: self.functions.len(),
                primary_functions: kept(&self.functions, &settled),
            },
            functions: both(&self.functions, &settled),
            relations: both(&self.relations, &settled),
            operators: alone(&self.operators, &settled, |_| true),
            words: alone(&self.words, &settled, |known| *known != Known::HARMLESS),
            everywhere: settled.known(self.everywhere),
            currval: self.currval,
            parameters: self.parameters,
        };
        (snapshot, trees)
    }
}

/// What a tree is, the oid of what it belongs to. `None` if using that does not run it.
fn owner(columns: &mut Columns<'_>) -> Result<Option<(Ref, When)>, BadRow> {
    let (what, owner) = (columns.text()?, columns.oid()?);
    Ok(Some(match what {
        "read" => (Ref::Relation(owner), When::Used),
        "write" => (Ref::Relation(owner), When::Written),
        "domain" => (Ref::Type(owner), When::Used),
        "default" => (Ref::Function(owner), When::Used),
        "refresh" => return Ok(None),
        _ => return Err(BadRow),
    }))
}

/// Notes what follows from a tree for those that use what it belongs to.
pub(super) fn plant(graph: &mut Graph, tree: &Tree, owner: Ref, when: When) {
    if let (Some(why), When::Used) = (tree.why, when) {
        graph.condemn(owner, why);
    }
    for to in &tree.refs {
        graph.refer_by_name(owner, *to, when);
    }
}

fn kept(all: &[(Named, Node)], settled: &Settled) -> usize {
    all.iter().filter(|(_, node)| settled.known(*node).why.is_some()).count()
}

fn both(all: &[(Named, Node)], settled: &Settled) -> Names {
    let entries = all.iter().flat_map(|(named, node)| {
        let known = settled.known(*node);
        [(named.alone, known), (named.full, known)]
    });
    Names::new(entries.collect())
}

fn alone(all: &[(Key, Node)], settled: &Settled, wanted: impl Fn(&Known) -> bool) -> Names {
    let entries = all.iter().map(|(key, node)| (*key, settled.known(*node)));
    Names::new(entries.filter(|(_, known)| wanted(known)).collect())
}

fn body_of_tree(text: &str) -> Body {
    let tree = tree::read(text);
    Body { refs: tree.refs, why: tree.why, tables: Tables::NONE, leaves: Leaves::Nothing }
}

#[cfg(test)]
mod tests;
