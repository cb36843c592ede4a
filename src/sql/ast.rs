//! The walk over the tree of one query: which forms and names it uses.
//!
//! sqlparser accepts the grammar of many servers. Whatever PostgreSQL does not have, or this walk
//! does not know, makes the query unparsed; nothing is a read by default.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlparser::ast::{
    Expr, Function, FunctionArguments, Ident, LimitClause, ObjectName, Query, Select, Statement,
    TableAlias, TableFactor, Visit, Visitor, With,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::catalog::Catalog;
use super::forms::{froms, is_grammar, is_plain, is_postgres, is_reserved, named_by_grammar};
use super::lexer::{self, Kind, Lexer};
use super::translate::translate;
use super::verdict::{Reasons, Why};

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// What speaks against a standby.
    pub(super) reasons: Reasons,
    /// Table aliases and names of common table expressions: they may stand before a parenthesis.
    pub(super) aliases: BTreeSet<String>,
}

/// Parses one query in canonical form and walks over it.
pub(super) fn walk(text: &str, catalog: &Catalog) -> Tree {
    // sqlparser is not expected to panic; if it does, one text is unparsed and nothing else.
    catch_unwind(AssertUnwindSafe(|| parse_and_walk(text, catalog)))
        .unwrap_or_else(|_| Tree { reasons: Reasons::of(Why::Unparsed), ..Tree::default() })
}

fn parse_and_walk(text: &str, catalog: &Catalog) -> Tree {
    let translation = translate(text);
    let text = translation.as_deref().unwrap_or(text);
    let mut walk = Walk { catalog, tree: Tree::default(), scopes: Vec::new(), clauses: 0 };
    match parse(text) {
        Some(query) => {
            let _: ControlFlow<()> = query.visit(&mut walk);
            walk.require(walk.clauses == clauses(text));
        }
        None => walk.condemn(Why::Unparsed),
    }
    walk.tree
}

/// The tree of a text that is one query to its very end.
fn parse(text: &str) -> Option<Box<Query>> {
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?;
    let query = parser.parse_query().ok()?;
    // `parse_sql` would be content with a text that goes on behind the word END, which may be a label.
    (parser.peek_token_ref().token == Token::EOF).then_some(query)
}

/// How many words of a text name relations, or stand in expressions that [`froms`] knows. If the tree
/// has fewer, the parser took one for a name, and with it hid the relations behind it.
fn clauses(text: &str) -> usize {
    let tokens = Lexer::new(text.as_bytes()).map_while(Result::ok);
    let is_clause = |token: &lexer::Token<'_>| {
        token.kind == Kind::Word && matches!(token.text, b"from" | b"join")
    };
    tokens.filter(is_clause).count()
}

struct Walk<'c> {
    catalog: &'c Catalog,
    tree: Tree,
    scopes: Vec<Scope>,
    /// The FROMs and JOINs seen.
    clauses: usize,
}

/// The common table expressions of one WITH.
struct Scope {
    /// Where the body of each lies in memory, which tells when it is being walked.
    bodies: Vec<*const Query>,
    /// The place of each name among them.
    names: BTreeMap<String, usize>,
    /// How many of them the current place may refer to: all if recursive, else those whose bodies
    /// have been walked.
    visible: usize,
}

impl Walk<'_> {
    fn condemn(&mut self, why: Why) {
        self.tree.reasons.add(why);
    }

    /// Condemns a form that is not known to be PostgreSQL's.
    #[expect(clippy::fn_params_excessive_bools, reason = "an assertion, read as one")]
    fn require(&mut self, is_known: bool) {
        if !is_known {
            self.condemn(Why::Unparsed);
        }
    }

    fn alias(&mut self, alias: Option<&TableAlias>) {
        if let Some(alias) = alias {
            self.require(alias.at.is_none());
            self.tree.aliases.insert(fold(&alias.name));
        }
    }

    fn function(&mut self, name: &ObjectName) {
        match split(name) {
            Some((schema, name)) => self.named_function(schema.as_deref(), &name),
            None => self.condemn(Why::Unparsed),
        }
    }

    fn named_function(&mut self, schema: Option<&str>, name: &str) {
        if let Some(why) = self.catalog.function(schema, name) {
            self.condemn(why);
        }
    }

    fn relation(&mut self, name: &ObjectName) {
        let Some((schema, name)) = split(name) else {
            self.condemn(Why::Unparsed);
            return;
        };
        if schema.is_none() && self.scopes.iter().any(|scope| scope.has(&name)) {
            return;
        }
        if let Some(why) = self.catalog.relation(schema.as_deref(), &name) {
            self.condemn(why);
        }
    }

    fn call(&mut self, function: &Function) {
        let Function { name, uses_odbc_syntax, parameters, .. } = function;
        self.require(!uses_odbc_syntax && matches!(parameters, FunctionArguments::None));
        if !is_grammar(name) {
            self.function(name);
        }
    }

    /// Makes the name of a common table expression visible once its body has been walked.
    fn leave_body(&mut self, query: &Query) {
        if let Some(scope) = self.scopes.last_mut()
            && scope.bodies.get(scope.visible).is_some_and(|body| std::ptr::eq(*body, query))
        {
            scope.visible += 1;
        }
    }
}

impl Scope {
    fn new(with: Option<&With>) -> Self {
        let ctes = with.map_or(&[][..], |with| &with.cte_tables);
        let names = ctes.iter().enumerate().map(|(place, cte)| (fold(&cte.alias.name), place));
        Self {
            bodies: ctes.iter().map(|cte| &raw const *cte.query).collect(),
            names: names.collect(),
            visible: if with.is_some_and(|with| with.recursive) { ctes.len() } else { 0 },
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|place| *place < self.visible)
    }
}

impl Visitor for Walk<'_> {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        if !matches!(statement, Statement::Query(_)) {
            self.condemn(Why::Write);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Query { with, body: _, order_by: _, limit_clause, fetch: _, locks, .. } = query;
        if !locks.is_empty() {
            self.condemn(Why::Locking);
        }
        self.require(
            query.for_clause.is_none()
                && query.settings.is_none()
                && query.format_clause.is_none()
                && query.pipe_operators.is_empty(),
        );
        if let Some(limit) = limit_clause {
            let is_plain =
                matches!(limit, LimitClause::LimitOffset { limit_by, .. } if limit_by.is_empty());
            self.require(is_plain);
        }
        for cte in with.iter().flat_map(|with| &with.cte_tables) {
            self.require(cte.from.is_none());
            self.alias(Some(&cte.alias));
        }
        self.scopes.push(Scope::new(with.as_ref()));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        self.leave_body(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.into.is_some() {
            self.condemn(Why::Ddl);
        }
        self.require(is_postgres(select));
        self.clauses += usize::from(!select.from.is_empty());
        self.clauses += select.from.iter().map(|from| from.joins.len()).sum::<usize>();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            self.clauses += table_with_joins.joins.len();
        }
        match factor {
            TableFactor::Table { name, alias, args, with_hints, version, partitions, .. } => {
                self.require(with_hints.is_empty() && version.is_none() && partitions.is_empty());
                self.alias(alias.as_ref());
                match args {
                    Some(args) => {
                        self.require(args.settings.is_none());
                        self.function(name);
                    }
                    None => self.relation(name),
                }
            }
            TableFactor::Function { name, alias, .. } => {
                self.alias(alias.as_ref());
                self.function(name);
            }
            TableFactor::UNNEST { alias, with_offset, .. } => {
                self.require(!with_offset);
                self.alias(alias.as_ref());
                self.named_function(None, "unnest");
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::JsonTable { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::XmlTable { alias, .. } => self.alias(alias.as_ref()),
            _ => self.condemn(Why::Unparsed),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.clauses += froms(expr);
        match expr {
            Expr::Function(function) => self.call(function),
            Expr::Identifier(name) => self.require(!is_reserved(name)),
            Expr::CompoundIdentifier(names) => {
                self.require(!names.first().is_some_and(is_reserved));
            }
            _ => match named_by_grammar(expr) {
                Some(name) => self.named_function(None, name),
                None => self.require(is_plain(expr)),
            },
        }
        ControlFlow::Continue(())
    }
}

/// A name of one or two plain parts: schema and name.
fn split(name: &ObjectName) -> Option<(Option<String>, String)> {
    if name.0.first().and_then(|part| part.as_ident()).is_some_and(is_reserved) {
        return None;
    }
    match name.0.as_slice() {
        [name] => Some((None, fold(name.as_ident()?))),
        [schema, name] => Some((Some(fold(schema.as_ident()?)), fold(name.as_ident()?))),
        _ => None,
    }
}

/// An identifier as PostgreSQL stores it; the canonical form has folded it already.
fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.replace("\"\"", "\"")
    } else {
        ident.value.to_ascii_lowercase()
    }
}
