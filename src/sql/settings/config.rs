//! `set_config('name', 'value', is_local)`: the query that is a setting statement, and the call within another query.

use super::super::cursor::{Cursor, is_keyword, string_of};
use super::super::lexer::{Kind, Token};
use super::{Action, Change, Operand, Scope};

/// The changes of a query whose target list holds nothing but `set_config` calls, or of any statement in which each call
/// either sets what ends with the transaction or names its parameter.
pub(super) fn changes(text: &[u8]) -> Option<Vec<Change>> {
    alone(text).or_else(|| anywhere(text))
}

fn alone(text: &[u8]) -> Option<Vec<Change>> {
    let mut cursor = Cursor::new(text);
    cursor.keyword("select").then_some(())?;
    let mut changes = vec![call(&mut cursor)?];
    while cursor.symbol(",") {
        changes.push(call(&mut cursor)?);
    }
    cursor.at_end().then_some(changes)
}

/// One call with an optional alias.
fn call(cursor: &mut Cursor<'_>) -> Option<Change> {
    if cursor.keyword("pg_catalog") {
        cursor.symbol(".").then_some(())?;
    }
    (cursor.keyword("set_config") && cursor.symbol("(")).then_some(())?;
    let name = operand(cursor)?;
    cursor.symbol(",").then_some(())?;
    let value = operand(cursor)?;
    cursor.symbol(",").then_some(())?;
    let scope = scope(cursor)?;
    cursor.symbol(")").then_some(())?;
    if cursor.keyword("as") {
        cursor.name()?;
    }
    let change = Change { scope, action: Action::of_operands(name, value) };
    match &change.action {
        Action::Config { name, .. } if name == SEED => None,
        Action::Config { name, .. } if of_transaction(name) => {
            Some(Change { scope: Scope::Local, action: Action::Transaction })
        }
        _ => Some(change),
    }
}

/// Seeding again is not the same as having seeded.
pub(super) const SEED: &str = "seed";

/// Whether a parameter is gone when the transaction ends, however it is set.
pub(super) fn of_transaction(name: &str) -> bool {
    matches!(name, "transaction_deferrable" | "transaction_isolation" | "transaction_read_only")
}

impl Action {
    /// What a call with these operands does.
    fn of_operands(name: Operand, value: Operand) -> Self {
        match (name, value) {
            (Operand::Text(name), Operand::Text(value)) => {
                Self::Config { name: name.to_ascii_lowercase(), value }
            }
            (Operand::Text(name), Operand::Null) => Self::Reset { name: name.to_ascii_lowercase() },
            (Operand::Text(name), value) => {
                let name = Operand::Text(name.to_ascii_lowercase());
                Self::Bound { name, value }
            }
            (name, value) => Self::Bound { name, value },
        }
    }
}

impl Change {
    /// The same change when the parameters of its statement have these values. What is not known of a change that ends
    /// with its transaction need not be known; of another one it must.
    pub fn bind(self, values: impl Fn(u16) -> Option<Operand>) -> Option<Self> {
        let Action::Bound { name, value } = self.action else { return Some(self) };
        let bound = |operand| match operand {
            Operand::Parameter(number) => values(number),
            known => Some(known),
        };
        let action = match (bound(name), bound(value)) {
            (Some(name), Some(value)) => Action::of_operands(name, value),
            _ if self.scope == Scope::Local => Action::Hidden,
            (Some(Operand::Text(name)), None) => return Self::unseen(&name),
            _ => return None,
        };
        Some(Self { scope: self.scope, action })
    }

    /// The change of a call that names `parameter`; `None` if `current_setting` would not tell all that has come of it.
    fn unseen(parameter: &str) -> Option<Self> {
        let name = parameter.to_ascii_lowercase();
        if of_transaction(&name) {
            return Some(Self { scope: Scope::Local, action: Action::Transaction });
        }
        let is_told =
            name != SEED && name != "session_authorization" && !name.starts_with("pglagoon.");
        is_told.then_some(Self { scope: Scope::Session, action: Action::Unseen { name } })
    }
}

impl Change {
    /// Whether its text tells what it changes, if the values that come by Bind are known.
    pub fn is_seen(&self) -> bool {
        !matches!(self.action, Action::Hidden | Action::Unseen { .. })
    }

    /// Whether this parameter is reset by the change, and not set; nothing if it is not concerned.
    pub fn resets(&self, parameter: &str) -> Option<bool> {
        match &self.action {
            Action::ResetAll => {
                let stays = matches!(parameter, "role" | "session_authorization");
                (!stays).then_some(true)
            }
            Action::Reset { name } => (name == parameter).then_some(true),
            Action::Set { name, .. } | Action::Config { name, .. } | Action::Unseen { name } => {
                (name == parameter).then_some(false)
            }
            // It may be.
            Action::Bound { .. } | Action::Hidden => Some(false),
            Action::Transaction => None,
        }
    }
}

/// How many parameters a text with these changes has.
pub fn parameters(changes: &[Change]) -> u16 {
    let numbers = changes.iter().flat_map(|change| match &change.action {
        Action::Bound { name, value } => [name.number(), value.number()],
        _ => [0, 0],
    });
    numbers.max().unwrap_or(0)
}

impl Operand {
    const fn number(&self) -> u16 {
        match self {
            Self::Parameter(number) => *number,
            Self::Null | Self::Text(_) => 0,
        }
    }
}

/// A string, NULL or a parameter, perhaps with a cast to what it is.
fn operand(cursor: &mut Cursor<'_>) -> Option<Operand> {
    let token = cursor.take()?;
    let operand = match token.kind {
        Kind::Parameter => {
            let number = std::str::from_utf8(token.text.get(1..)?).ok()?;
            Operand::Parameter(number.parse().ok()?)
        }
        _ if is_keyword(&token, "null") => Operand::Null,
        _ => Operand::Text(string_of(&token)?),
    };
    if cursor.symbol("::") {
        cursor.keyword("text").then_some(())?;
    }
    Some(operand)
}

fn scope(cursor: &mut Cursor<'_>) -> Option<Scope> {
    if cursor.keyword("true") {
        Some(Scope::Local)
    } else if cursor.keyword("false") {
        Some(Scope::Session)
    } else {
        None
    }
}

/// What the calls in a statement change, if that is known of each, as far as it is known.
fn anywhere(text: &[u8]) -> Option<Vec<Change>> {
    let mut cursor = Cursor::new(text);
    let mut previous: Option<Token<'_>> = None;
    let mut changes = Vec::new();
    while let Some(token) = cursor.take() {
        if token.is(b"(") && previous.is_some_and(|name| is_set_config(&name)) {
            let change = call_of_anything(cursor.clone())?;
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        previous = Some(token);
    }
    (!changes.is_empty()).then_some(changes)
}

fn is_set_config(token: &Token<'_>) -> bool {
    is_keyword(token, "set_config")
        || token.kind == Kind::QuotedWord && token.text.eq_ignore_ascii_case(b"\"set_config\"")
}

/// What a call with these arguments changes, if its last one is TRUE or its first one a string.
fn call_of_anything(arguments: Cursor<'_>) -> Option<Change> {
    let mut first = arguments.clone();
    let name = operand(&mut first);
    if ends_with_true(arguments).is_some() {
        return Some(Change { scope: Scope::Local, action: Action::Hidden });
    }
    match name {
        Some(Operand::Text(name)) if first.symbol(",") => Change::unseen(&name),
        _ => None,
    }
}

/// Whether the last of the arguments that follow is TRUE.
fn ends_with_true(mut cursor: Cursor<'_>) -> Option<()> {
    let mut depth = 0_usize;
    // The last argument, if it is one token so far.
    let mut last = None;
    loop {
        let token = cursor.take()?;
        if depth == 0 && token.is(b")") {
            return last.flatten().filter(|token| is_keyword(token, "true")).map(drop);
        }
        last =
            if depth == 0 && token.is(b",") { None } else { Some(last.is_none().then_some(token)) };
        if token.is(b"(") || token.is(b"[") {
            depth += 1;
        } else if token.is(b")") || token.is(b"]") {
            depth = depth.checked_sub(1)?;
        }
    }
}
