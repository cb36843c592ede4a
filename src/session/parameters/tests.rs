mod model;

use super::*;
use crate::sql::settings::Action;

fn set(name: &str, value: &str) -> Vec<Change> {
    vec![Change {
        scope: Scope::Session,
        action: Action::Set { name: name.into(), value: value.into() },
    }]
}

fn run(parameters: &mut Parameters, changes: Vec<Change>, status: TransactionStatus) {
    parameters.expect(Step::Changes(changes));
    parameters.commit();
    assert_eq!(parameters.on_ready(status), Outcome::Known);
}

fn value(parameters: &Parameters, name: &str) -> Option<String> {
    match parameters.wanted().get(name)? {
        Value::Sql(text) | Value::Config(text) => Some(text.to_string()),
    }
}

#[test]
fn a_set_outside_a_transaction_stays() {
    let mut parameters = Parameters::new(Arc::default());
    run(&mut parameters, set("a", "1"), TransactionStatus::Idle);
    parameters.on_error();
    let _ = parameters.on_ready(TransactionStatus::Idle);
    assert_eq!(value(&parameters, "a").as_deref(), Some("1"));
}

#[test]
fn a_set_is_undone_with_its_transaction() {
    let mut parameters = Parameters::new(Arc::default());
    run(&mut parameters, set("a", "1"), TransactionStatus::InTransaction);
    assert_eq!(value(&parameters, "a").as_deref(), Some("1"));
    parameters.on_command(b"ROLLBACK");
    assert_eq!(parameters.on_ready(TransactionStatus::Idle), Outcome::Known);
    assert_eq!(value(&parameters, "a"), None);
}

#[test]
fn a_committed_set_survives_a_later_rollback() {
    let mut parameters = Parameters::new(Arc::default());
    run(&mut parameters, set("a", "1"), TransactionStatus::InTransaction);
    parameters.on_command(b"COMMIT");
    let _ = parameters.on_ready(TransactionStatus::Idle);
    run(&mut parameters, set("a", "2"), TransactionStatus::InTransaction);
    parameters.on_command(b"ROLLBACK");
    let _ = parameters.on_ready(TransactionStatus::Idle);
    assert_eq!(value(&parameters, "a").as_deref(), Some("1"));
}

#[test]
fn an_error_in_the_batch_undoes_its_set() {
    let mut parameters = Parameters::new(Arc::default());
    parameters.expect(Step::Changes(set("a", "1")));
    parameters.commit();
    parameters.on_error();
    assert_eq!(parameters.on_ready(TransactionStatus::Idle), Outcome::Known);
    assert_eq!(value(&parameters, "a"), None);
}

/// Runs a statement about a savepoint in a transaction.
fn savepoint(parameters: &mut Parameters, savepoint: Savepoint) -> Outcome {
    parameters.expect(Step::Savepoint(savepoint));
    parameters.commit();
    parameters.on_ready(TransactionStatus::InTransaction)
}

#[test]
fn a_rollback_to_a_savepoint_undoes_what_came_after_it() {
    let mut parameters = Parameters::new(Arc::default());
    run(&mut parameters, set("a", "1"), TransactionStatus::InTransaction);
    let _ = savepoint(&mut parameters, Savepoint::Set("s".into()));
    run(&mut parameters, set("a", "2"), TransactionStatus::InTransaction);
    let outcome = savepoint(&mut parameters, Savepoint::RollBackTo("s".into()));
    assert_eq!(outcome, Outcome::Known);
    assert_eq!(value(&parameters, "a").as_deref(), Some("1"));
    parameters.on_command(b"COMMIT");
    assert_eq!(parameters.on_ready(TransactionStatus::Idle), Outcome::Known);
    assert_eq!(value(&parameters, "a").as_deref(), Some("1"));
}

#[test]
fn a_set_local_is_in_force_until_the_transaction_ends() {
    let mut parameters = Parameters::new(Arc::default());
    run(&mut parameters, set("a", "1"), TransactionStatus::InTransaction);
    let mut local = set("a", "2");
    local[0].scope = Scope::Local;
    run(&mut parameters, local, TransactionStatus::InTransaction);
    assert_eq!(value(&parameters, "a").as_deref(), Some("2"));
    parameters.on_command(b"COMMIT");
    assert_eq!(value(&parameters, "a").as_deref(), Some("1"));
}

#[test]
fn what_several_statements_do_to_savepoints_is_not_known() {
    let mut parameters = Parameters::new(Arc::default());
    run(&mut parameters, set("a", "1"), TransactionStatus::InTransaction);
    parameters.expect(Step::Several);
    parameters.on_command(b"ROLLBACK");
    parameters.commit();
    assert_eq!(parameters.on_ready(TransactionStatus::InTransaction), Outcome::Unknown);
}

#[test]
fn reset_goes_back_to_the_startup_value() {
    let mut defaults = Settings::default();
    defaults.set("a", Some(Value::Config("0".into())));
    let mut parameters = Parameters::new(Arc::new(defaults));
    run(&mut parameters, set("a", "1"), TransactionStatus::Idle);
    let reset = Change { scope: Scope::Session, action: Action::Reset { name: "a".into() } };
    run(&mut parameters, vec![reset], TransactionStatus::Idle);
    assert_eq!(value(&parameters, "a").as_deref(), Some("0"));
    assert_eq!(parameters.take_revoked(), ["a".into()]);
    assert!(Arc::ptr_eq(&parameters.defaults, &parameters.current));
}

#[test]
fn reset_all_keeps_the_role() {
    let mut parameters = Parameters::new(Arc::default());
    run(&mut parameters, set("role", "r"), TransactionStatus::Idle);
    run(&mut parameters, set("a", "1"), TransactionStatus::Idle);
    let all = Change { scope: Scope::Session, action: Action::ResetAll };
    run(&mut parameters, vec![all], TransactionStatus::Idle);
    assert_eq!(value(&parameters, "a"), None);
    assert_eq!(value(&parameters, "role").as_deref(), Some("r"));
}
