mod model;
mod postgres;

use super::*;
use crate::server::statements::StatementId;

/// Writes down what the machine says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Log {
    completed: Vec<Request>,
    failed: Vec<Request>,
    synthesized: Vec<Synthetic>,
}

impl Ledger for Log {
    fn completed(&mut self, owed: Owed) {
        self.completed.push(owed.request);
    }
    fn failed(&mut self, owed: Owed) {
        self.failed.push(owed.request);
    }
    fn skipped(&mut self, owed: Owed) {
        self.failed.push(owed.request);
    }
    fn synthesize(&mut self, answer: Synthetic) {
        self.synthesized.push(answer);
    }
}

fn send(machine: &mut Machine, requests: &[Request]) {
    for request in requests {
        machine.sent(Owed::forward(*request));
    }
}

/// Shows the machine a message and expects that the client sees it.
fn forward(machine: &mut Machine, log: &mut Log, messages: &[(BackendTag, &[u8])]) {
    for (tag, body) in messages {
        assert_eq!(machine.on_backend(*tag, body, log), Ok(OnBackend::Forward), "{tag:?}");
        machine.drain(log);
    }
}

const READY: (BackendTag, &[u8]) = (BackendTag::READY_FOR_QUERY, b"I");
const ERROR: (BackendTag, &[u8]) = (BackendTag::ERROR_RESPONSE, b"");
const COMPLETE: (BackendTag, &[u8]) = (BackendTag::COMMAND_COMPLETE, b"SELECT 1\0");

#[test]
fn a_simple_query_settles_with_ready_for_query() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Query]);
    assert!(!machine.is_settled());
    forward(
        &mut machine,
        &mut log,
        &[(BackendTag::ROW_DESCRIPTION, b""), (BackendTag::DATA_ROW, b""), COMPLETE],
    );
    assert!(!machine.is_settled());
    forward(&mut machine, &mut log, &[READY]);
    assert!(machine.is_settled());
}

#[test]
fn a_transaction_is_not_settled() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Query]);
    forward(&mut machine, &mut log, &[COMPLETE, (BackendTag::READY_FOR_QUERY, b"T")]);
    assert!(machine.owes_nothing() && !machine.is_settled());
    assert_eq!(machine.status(), TransactionStatus::InTransaction);
}

#[test]
fn two_syncs_in_flight_need_two_ready_for_query() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    let batch = [Request::Parse, Request::Bind, Request::Execute, Request::Sync];
    send(&mut machine, &batch);
    send(&mut machine, &batch);
    let answer =
        [(BackendTag::PARSE_COMPLETE, &b""[..]), (BackendTag::BIND_COMPLETE, b""), COMPLETE, READY];
    forward(&mut machine, &mut log, &answer);
    assert!(!machine.is_settled());
    forward(&mut machine, &mut log, &answer);
    assert!(machine.is_settled());
}

#[test]
fn an_error_voids_everything_up_to_its_sync_and_nothing_beyond() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Parse, Request::Bind, Request::Execute, Request::Sync]);
    send(&mut machine, &[Request::Bind, Request::Sync]);
    forward(&mut machine, &mut log, &[(BackendTag::PARSE_COMPLETE, b""), ERROR]);
    assert_eq!(log.failed, [Request::Bind, Request::Execute]);
    forward(&mut machine, &mut log, &[READY, (BackendTag::BIND_COMPLETE, b""), READY]);
    assert!(machine.is_settled());
}

#[test]
fn after_an_error_a_query_without_a_sync_before_it_is_skipped_too() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Parse, Request::Query, Request::Sync]);
    forward(&mut machine, &mut log, &[ERROR, READY]);
    assert_eq!(log.failed, [Request::Parse, Request::Query]);
    assert!(machine.is_settled());
}

#[test]
fn an_error_in_a_simple_query_still_owes_ready_for_query() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Query]);
    forward(&mut machine, &mut log, &[ERROR]);
    assert!(!machine.owes_nothing());
    forward(&mut machine, &mut log, &[READY]);
    assert_eq!(log.failed, [Request::Query]);
}

#[test]
fn a_flushed_batch_keeps_the_server() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Parse, Request::DescribeStatement]);
    forward(
        &mut machine,
        &mut log,
        &[
            (BackendTag::PARSE_COMPLETE, b""),
            (BackendTag::PARAMETER_DESCRIPTION, b""),
            (BackendTag::NO_DATA, b""),
        ],
    );
    assert!(machine.owes_nothing() && !machine.is_settled());
    send(&mut machine, &[Request::Sync]);
    forward(&mut machine, &mut log, &[READY]);
    assert!(machine.is_settled());
}

#[test]
fn our_answers_keep_their_place() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    machine.sent(Owed::synthesize(Request::Parse));
    machine.drain(&mut log);
    assert_eq!(log.synthesized, [Synthetic::ParseComplete]);
    send(&mut machine, &[Request::Bind]);
    machine.sent(Owed::synthesize(Request::Close));
    machine.drain(&mut log);
    assert_eq!(log.synthesized.len(), 1, "CloseComplete must wait for BindComplete");
    forward(&mut machine, &mut log, &[(BackendTag::BIND_COMPLETE, b"")]);
    assert_eq!(log.synthesized, [Synthetic::ParseComplete, Synthetic::CloseComplete]);
}

#[test]
fn our_answers_are_voided_by_an_earlier_error() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Bind]);
    machine.sent(Owed::synthesize(Request::Close));
    send(&mut machine, &[Request::Sync]);
    forward(&mut machine, &mut log, &[ERROR, READY]);
    assert!(log.synthesized.is_empty());
    assert_eq!(log.failed, [Request::Bind, Request::Close]);
}

#[test]
fn injected_requests_are_invisible() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    let change = Change::Prepares(StatementId(1));
    machine.sent(Owed::swallow(Request::Parse).with(change));
    send(&mut machine, &[Request::Bind]);
    assert_eq!(
        machine.on_backend(BackendTag::PARSE_COMPLETE, b"", &mut log),
        Ok(OnBackend::Swallow)
    );
    forward(&mut machine, &mut log, &[(BackendTag::BIND_COMPLETE, b"")]);
}

#[test]
fn copy_in_by_query() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Query]);
    forward(&mut machine, &mut log, &[(BackendTag::COPY_IN_RESPONSE, b"")]);
    assert!(machine.takes_copy_data());
    send(&mut machine, &[Request::CopyEnd]);
    forward(&mut machine, &mut log, &[COMPLETE, READY]);
    assert!(machine.is_settled());
}

#[test]
fn copy_in_that_fails_midway_settles_and_late_data_is_void() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Query]);
    forward(&mut machine, &mut log, &[(BackendTag::COPY_IN_RESPONSE, b""), ERROR, READY]);
    assert!(machine.is_settled() && !machine.takes_copy_data());
    send(&mut machine, &[Request::CopyEnd]);
    assert!(machine.is_settled(), "a late CopyDone owes nothing");
}

#[test]
fn a_sync_within_copy_in_is_ignored_by_the_server() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    // libpq sends Sync with Execute, not knowing that it is a COPY.
    send(&mut machine, &[Request::Parse, Request::Bind, Request::Execute, Request::Sync]);
    forward(
        &mut machine,
        &mut log,
        &[
            (BackendTag::PARSE_COMPLETE, b""),
            (BackendTag::BIND_COMPLETE, b""),
            (BackendTag::COPY_IN_RESPONSE, b""),
        ],
    );
    send(&mut machine, &[Request::Sync, Request::CopyEnd, Request::Sync]);
    forward(&mut machine, &mut log, &[COMPLETE, READY]);
    assert!(machine.is_settled());
}

#[test]
fn data_sent_before_the_server_asks_ends_the_copy() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(
        &mut machine,
        &[Request::Bind, Request::Execute, Request::Sync, Request::CopyEnd, Request::Sync],
    );
    forward(
        &mut machine,
        &mut log,
        &[(BackendTag::BIND_COMPLETE, b""), (BackendTag::COPY_IN_RESPONSE, b""), COMPLETE, READY],
    );
    assert!(machine.is_settled());
}

#[test]
fn an_extended_copy_in_that_fails_owes_one_ready_for_query() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Bind, Request::Execute]);
    forward(
        &mut machine,
        &mut log,
        &[(BackendTag::BIND_COMPLETE, b""), (BackendTag::COPY_IN_RESPONSE, b""), ERROR],
    );
    assert!(!machine.is_settled());
    send(&mut machine, &[Request::CopyEnd, Request::Sync]);
    forward(&mut machine, &mut log, &[READY]);
    assert!(machine.is_settled());
}

#[test]
fn messages_that_nothing_asked_for_are_violations() {
    let mut log = Log::default();
    let mut machine = Machine::default();
    assert!(machine.on_backend(BackendTag::DATA_ROW, b"", &mut log).is_err());
    assert!(machine.on_backend(BackendTag::READY_FOR_QUERY, b"I", &mut log).is_err());
    send(&mut machine, &[Request::Bind]);
    assert!(machine.on_backend(BackendTag::PARSE_COMPLETE, b"", &mut log).is_err());
    let mut machine = Machine::default();
    send(&mut machine, &[Request::Query]);
    assert_eq!(
        machine.on_backend(BackendTag::READY_FOR_QUERY, b"X", &mut log),
        Err(Violation::Malformed(BackendTag::READY_FOR_QUERY))
    );
}

#[test]
fn asynchronous_messages_pass_at_any_moment() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    let all = [
        (BackendTag::NOTICE_RESPONSE, &b""[..]),
        (BackendTag::PARAMETER_STATUS, b""),
        (BackendTag::NOTIFICATION_RESPONSE, b""),
    ];
    forward(&mut machine, &mut log, &all);
    send(&mut machine, &[Request::Query]);
    forward(&mut machine, &mut log, &all);
    assert!(log.completed.is_empty());
}

#[test]
fn a_function_call_ends_with_ready_for_query() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::FunctionCall]);
    forward(&mut machine, &mut log, &[(BackendTag::FUNCTION_CALL_RESPONSE, b""), READY]);
    assert!(machine.is_settled());
}

#[test]
fn a_copy_that_fails_before_it_reads_the_sync_is_ended_by_it() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Bind, Request::Execute, Request::Sync]);
    forward(
        &mut machine,
        &mut log,
        &[(BackendTag::BIND_COMPLETE, b""), (BackendTag::COPY_IN_RESPONSE, b""), ERROR, READY],
    );
    assert!(machine.is_settled());
}

#[test]
fn after_an_error_that_no_sync_follows_the_server_skips() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Parse]);
    forward(&mut machine, &mut log, &[ERROR]);
    assert!(machine.is_skipping() && !machine.is_settled());
    send(&mut machine, &[Request::Sync]);
    assert!(!machine.is_skipping());
    forward(&mut machine, &mut log, &[READY]);
    assert!(machine.is_settled());
}

#[test]
fn a_query_ends_a_batch_that_has_no_sync() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Parse, Request::Query]);
    forward(&mut machine, &mut log, &[(BackendTag::PARSE_COMPLETE, b""), COMPLETE, READY]);
    assert!(machine.is_settled());
}

#[test]
fn the_error_of_an_injected_parse_is_shown() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    machine.sent(Owed::swallow(Request::Parse));
    send(&mut machine, &[Request::Bind, Request::Sync]);
    forward(&mut machine, &mut log, &[ERROR, READY]);
    assert_eq!(log.failed, [Request::Parse, Request::Bind]);
    assert!(machine.is_settled());
}

#[test]
fn a_sync_within_a_copy_that_fails_leaves_a_doubt() {
    let (mut machine, mut log) = (Machine::default(), Log::default());
    send(&mut machine, &[Request::Execute, Request::Sync]);
    forward(&mut machine, &mut log, &[(BackendTag::COPY_IN_RESPONSE, b"")]);
    send(&mut machine, &[Request::CopyEnd, Request::Sync]);
    forward(&mut machine, &mut log, &[ERROR, READY]);
    assert!(machine.is_settled() && machine.is_in_doubt(), "one more may come, or not");
    forward(&mut machine, &mut log, &[READY]);
    assert!(machine.is_settled() && !machine.is_in_doubt());
}
