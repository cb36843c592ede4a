//! The session's belief against a reference of what PostgreSQL does to GUCs (`AtEOXact_GUC` and the transaction
//! states of `xact.c`), with pipelines of any statements.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Statement {
    Begin,
    Commit,
    CommitAndChain,
    Fails,
    Reset(&'static str),
    ResetAll,
    Rollback,
    RollbackAndChain,
    RollbackTo,
    Savepoint,
    Set(&'static str, &'static str),
    SetLocal(&'static str, &'static str),
}

type Values = BTreeMap<&'static str, &'static str>;

/// What PostgreSQL has. What SET LOCAL sets shows nowhere once the transaction has ended.
#[derive(Debug)]
struct Reference {
    defaults: Values,
    committed: Values,
    current: Values,
    savepoints: Vec<Values>,
    status: TransactionStatus,
}

/// What a statement answers: its CommandComplete, or an error.
type Answer = Result<&'static str, ()>;

impl Reference {
    fn run(&mut self, statement: Statement) -> Answer {
        let answer = self.attempt(statement);
        if answer.is_err() {
            match self.status {
                TransactionStatus::Idle => self.undo(),
                TransactionStatus::InTransaction | TransactionStatus::Failed => {
                    self.status = TransactionStatus::Failed;
                }
            }
        }
        answer
    }

    fn attempt(&mut self, statement: Statement) -> Answer {
        let is_failed = self.status == TransactionStatus::Failed;
        let is_block = self.status != TransactionStatus::Idle;
        match statement {
            Statement::Commit if is_failed => return Ok(self.end("ROLLBACK", None)),
            Statement::CommitAndChain if is_failed => {
                return Ok(self.end("ROLLBACK", Some(TransactionStatus::InTransaction)));
            }
            Statement::Rollback => return Ok(self.end("ROLLBACK", None)),
            Statement::RollbackAndChain if is_block => {
                return Ok(self.end("ROLLBACK", Some(TransactionStatus::InTransaction)));
            }
            Statement::RollbackTo if !self.savepoints.is_empty() => {
                self.current = self.savepoints.last().cloned().unwrap();
                self.status = TransactionStatus::InTransaction;
                return Ok("ROLLBACK");
            }
            _ if is_failed => return Err(()),
            Statement::Begin => self.status = TransactionStatus::InTransaction,
            Statement::Commit => return Ok(self.end("COMMIT", None)),
            Statement::CommitAndChain if is_block => {
                return Ok(self.end("COMMIT", Some(TransactionStatus::InTransaction)));
            }
            Statement::Savepoint if is_block => self.savepoints.push(self.current.clone()),
            Statement::CommitAndChain
            | Statement::Fails
            | Statement::RollbackAndChain
            | Statement::RollbackTo
            | Statement::Savepoint => return Err(()),
            Statement::Set(name, value) => {
                self.current.insert(name, value);
            }
            Statement::SetLocal(..) => {}
            Statement::Reset(name) => match self.defaults.get(name) {
                Some(value) => {
                    self.current.insert(name, value);
                }
                None => {
                    self.current.remove(name);
                }
            },
            Statement::ResetAll => self.current = self.defaults.clone(),
        }
        Ok("SET")
    }

    fn end(&mut self, tag: &'static str, status: Option<TransactionStatus>) -> &'static str {
        if tag == "COMMIT" {
            self.committed = self.current.clone();
        } else {
            self.undo();
        }
        self.savepoints.clear();
        self.status = status.unwrap_or(TransactionStatus::Idle);
        tag
    }

    fn undo(&mut self) {
        self.current = self.committed.clone();
    }

    /// Sync ends the implicit transaction.
    fn sync(&mut self) {
        if self.status == TransactionStatus::Idle {
            self.committed = self.current.clone();
        }
    }
}

/// What the session notes of a statement when it passes.
fn changes(statement: Statement) -> Option<Vec<Change>> {
    let (scope, action) = match statement {
        Statement::Set(name, value) => {
            (Scope::Session, Action::Set { name: name.into(), value: value.into() })
        }
        Statement::SetLocal(name, value) => {
            (Scope::Local, Action::Set { name: name.into(), value: value.into() })
        }
        Statement::Reset(name) => (Scope::Session, Action::Reset { name: name.into() }),
        Statement::ResetAll => (Scope::Session, Action::ResetAll),
        _ => return None,
    };
    Some(vec![Change { scope, action }])
}

fn believed(parameters: &Parameters) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::Sql(text) | Value::Config(text) => text.to_string(),
    };
    parameters.wanted().iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
}

/// Runs one batch; what follows a failure is skipped. Returns whether the parameters are known afterwards.
fn batch(reference: &mut Reference, parameters: &mut Parameters, batch: &[Statement]) -> Outcome {
    // All of it is sent before the first answer comes.
    batch.iter().filter_map(|one| changes(*one)).for_each(|changes| parameters.expect(changes));
    let mut statements = batch.iter();
    for statement in statements.by_ref() {
        let is_change = changes(*statement).is_some();
        let Ok(tag) = reference.run(*statement) else {
            parameters.on_error();
            if is_change {
                parameters.roll_back();
            }
            break;
        };
        if is_change {
            parameters.commit();
        }
        parameters.on_command(tag.as_bytes());
    }
    statements.filter(|one| changes(**one).is_some()).for_each(|_| parameters.roll_back());
    reference.sync();
    parameters.on_ready(reference.status)
}

fn statement() -> impl Strategy<Value = Statement> {
    let name = prop_oneof![Just("a"), Just("b")];
    let value = prop_oneof![Just("0"), Just("1"), Just("2")];
    prop_oneof![
        3 => Just(Statement::Begin),
        2 => Just(Statement::Commit),
        1 => Just(Statement::CommitAndChain),
        1 => Just(Statement::Fails),
        1 => name.clone().prop_map(Statement::Reset),
        1 => Just(Statement::ResetAll),
        2 => Just(Statement::Rollback),
        1 => Just(Statement::RollbackAndChain),
        1 => Just(Statement::RollbackTo),
        1 => Just(Statement::Savepoint),
        6 => (name.clone(), value.clone()).prop_map(|(name, value)| Statement::Set(name, value)),
        1 => (name, value).prop_map(|(name, value)| Statement::SetLocal(name, value)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PGLAGOON_MODEL_CASES").map_or(2000, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_believed_of_the_parameters_is_what_the_server_has(
        batches in prop::collection::vec(prop::collection::vec(statement(), 0..5), 1..12),
    ) {
        let defaults = Values::from([("a", "0")]);
        let mut reference = Reference {
            defaults: defaults.clone(),
            committed: defaults.clone(),
            current: defaults,
            savepoints: Vec::new(),
            status: TransactionStatus::Idle,
        };
        let mut settings = Settings::default();
        settings.set("a", Some(Value::Config("0".into())));
        let mut parameters = Parameters::new(Arc::new(settings));
        for one in &batches {
            if batch(&mut reference, &mut parameters, one) == Outcome::Unknown {
                // The client keeps its server from here on.
                break;
            }
            if reference.status != TransactionStatus::Failed {
                let truth: BTreeMap<String, String> =
                    reference.current.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
                prop_assert_eq!(believed(&parameters), truth);
            }
        }
    }
}
