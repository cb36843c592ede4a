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
    Release(&'static str),
    RollbackTo(&'static str),
    Savepoint(&'static str),
    Set(&'static str, &'static str),
    SetLocal(&'static str, &'static str),
}

type Values = BTreeMap<&'static str, &'static str>;

/// A value as `guc.c` keeps it: what is in force, and what is left when the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    value: Option<&'static str>,
    lasting: Option<&'static str>,
}

type Entries = BTreeMap<&'static str, Entry>;

/// What PostgreSQL has: the values in force, and for each savepoint those that a rollback to it restores.
#[derive(Debug)]
struct Reference {
    defaults: Values,
    committed: Entries,
    current: Entries,
    savepoints: Vec<(&'static str, Entries)>,
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
            Statement::RollbackTo(name) if self.find(name).is_some() => {
                let index = self.find(name).unwrap();
                self.savepoints.truncate(index + 1);
                self.current = self.savepoints[index].1.clone();
                self.status = TransactionStatus::InTransaction;
                return Ok("ROLLBACK");
            }
            _ if is_failed => return Err(()),
            Statement::Begin => self.status = TransactionStatus::InTransaction,
            Statement::Commit => return Ok(self.end("COMMIT", None)),
            Statement::CommitAndChain if is_block => {
                return Ok(self.end("COMMIT", Some(TransactionStatus::InTransaction)));
            }
            Statement::Savepoint(name) if is_block => {
                self.savepoints.push((name, self.current.clone()));
            }
            Statement::Release(name) if self.find(name).is_some() => {
                self.savepoints.truncate(self.find(name).unwrap());
            }
            Statement::CommitAndChain
            | Statement::Fails
            | Statement::RollbackAndChain
            | Statement::Release(_)
            | Statement::RollbackTo(_)
            | Statement::Savepoint(_) => return Err(()),
            Statement::Set(name, value) => self.set(name, Some(value)),
            Statement::SetLocal(name, value) => {
                self.current.get_mut(name).unwrap().value = Some(value);
            }
            Statement::Reset(name) => self.set(name, self.defaults.get(name).copied()),
            Statement::ResetAll => {
                for name in ["a", "b"] {
                    self.set(name, self.defaults.get(name).copied());
                }
            }
        }
        Ok("SET")
    }

    fn set(&mut self, name: &'static str, value: Option<&'static str>) {
        self.current.insert(name, Entry { value, lasting: value });
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|(known, _)| *known == name)
    }

    /// A commit.
    fn keep(&mut self) {
        for entry in self.current.values_mut() {
            entry.value = entry.lasting;
        }
        self.committed = self.current.clone();
    }

    fn end(&mut self, tag: &'static str, status: Option<TransactionStatus>) -> &'static str {
        if tag == "COMMIT" {
            self.keep();
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
            self.keep();
        }
    }
}

/// What the session notes of a statement when it passes.
fn step(statement: Statement) -> Option<Step> {
    let (scope, action) = match statement {
        Statement::Savepoint(name) => return Some(Step::Savepoint(Savepoint::Set(name.into()))),
        Statement::Release(name) => return Some(Step::Savepoint(Savepoint::Release(name.into()))),
        Statement::RollbackTo(name) => {
            return Some(Step::Savepoint(Savepoint::RollBackTo(name.into())));
        }
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
    Some(Step::Changes(vec![Change { scope, action }]))
}

fn believed(parameters: &Parameters) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::Sql(text) | Value::Config(text) => text.to_string(),
    };
    parameters.wanted().iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
}

/// The same as SQL.
fn sql(statement: Statement) -> String {
    match statement {
        Statement::Begin => "BEGIN".into(),
        Statement::Commit => "END".into(),
        Statement::CommitAndChain => "COMMIT AND CHAIN".into(),
        Statement::Fails => "SELECT 1/0".into(),
        Statement::Reset(name) => format!("RESET {name}"),
        Statement::ResetAll => "RESET ALL".into(),
        Statement::Rollback => "ABORT".into(),
        Statement::RollbackAndChain => "ROLLBACK AND CHAIN".into(),
        Statement::Release(name) => format!("RELEASE {name}"),
        Statement::RollbackTo(name) => format!("ROLLBACK TO {name}"),
        Statement::Savepoint(name) => format!("SAVEPOINT {name}"),
        Statement::Set(name, value) => format!("SET {name} TO {value}"),
        Statement::SetLocal(name, value) => format!("SET LOCAL {name} = {value}"),
    }
}

/// Runs one batch as one text; what follows a failure is skipped. Returns whether the parameters are known afterwards.
fn text(reference: &mut Reference, parameters: &mut Parameters, batch: &[Statement]) -> Outcome {
    let text: Vec<String> = batch.iter().map(|one| sql(*one)).collect();
    let script = Script::read(text.join(";").as_bytes(), |change| change).unwrap();
    parameters.expect(Step::Script(script));
    let failed = batch.iter().find(|one| match reference.run(**one) {
        Ok(tag) => {
            parameters.on_statement(tag.as_bytes());
            false
        }
        Err(()) => true,
    });
    if failed.is_some() {
        parameters.on_error();
        parameters.roll_back();
    } else {
        parameters.commit();
    }
    reference.sync();
    parameters.on_ready(reference.status)
}

/// Runs one batch; what follows a failure is skipped. Returns whether the parameters are known afterwards.
fn batch(reference: &mut Reference, parameters: &mut Parameters, batch: &[Statement]) -> Outcome {
    // All of it is sent before the first answer comes.
    batch.iter().filter_map(|one| step(*one)).for_each(|step| parameters.expect(step));
    let mut statements = batch.iter();
    for statement in statements.by_ref() {
        let noted = step(*statement);
        let Ok(tag) = reference.run(*statement) else {
            parameters.on_error();
            if noted.is_some() {
                parameters.roll_back();
            }
            break;
        };
        if noted.is_some() {
            parameters.commit();
        }
        if !matches!(noted, Some(Step::Savepoint(_))) {
            parameters.on_command(tag.as_bytes());
        }
    }
    statements.filter(|one| step(**one).is_some()).for_each(|_| parameters.roll_back());
    reference.sync();
    parameters.on_ready(reference.status)
}

fn statement() -> impl Strategy<Value = Statement> {
    let name = prop_oneof![Just("a"), Just("b")];
    let point = prop_oneof![Just("s"), Just("t")];
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
        1 => point.clone().prop_map(Statement::Release),
        2 => point.clone().prop_map(Statement::RollbackTo),
        3 => point.prop_map(Statement::Savepoint),
        6 => (name.clone(), value.clone()).prop_map(|(name, value)| Statement::Set(name, value)),
        3 => (name, value).prop_map(|(name, value)| Statement::SetLocal(name, value)),
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
        batches in prop::collection::vec(
            (prop::collection::vec(statement(), 0..5), prop::bool::ANY),
            1..12,
        ),
    ) {
        let defaults = Values::from([("a", "0")]);
        let fresh = |value| Entry { value, lasting: value };
        let entries = Entries::from([("a", fresh(Some("0"))), ("b", fresh(None))]);
        let mut reference = Reference {
            defaults,
            committed: entries.clone(),
            current: entries,
            savepoints: Vec::new(),
            status: TransactionStatus::Idle,
        };
        let mut settings = Settings::default();
        settings.set("a", Some(Value::Config("0".into())));
        let mut parameters = Parameters::new(Arc::new(settings));
        for (one, is_text) in &batches {
            let run = if *is_text { text } else { batch };
            prop_assert_eq!(run(&mut reference, &mut parameters, one), Outcome::Known);
            if reference.status != TransactionStatus::Failed {
                let truth: BTreeMap<String, String> = reference
                    .current
                    .iter()
                    .filter_map(|(name, entry)| Some(((*name).into(), entry.value?.into())))
                    .collect();
                prop_assert_eq!(believed(&parameters), truth);
            }
        }
    }
}
