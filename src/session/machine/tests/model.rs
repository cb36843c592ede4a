//! The machine against a model of PostgreSQL, with random legal clients and any interleaving.

use proptest::prelude::*;

use super::postgres::{Answer, Fortune, Load, Message, Origin, Postgres, Statement};
use super::*;
use crate::server::statements::StatementId;

/// One thing that a client does.
#[derive(Clone, Debug)]
enum Deed {
    /// It sends this, and the pooler deals with it so.
    Send(Message, Dealing),
    /// It waits until everything has been answered.
    Wait,
    /// It ends a COPY if it has been told that there is one.
    EndCopy(Message),
    /// The server says something that nobody asked for.
    Remark(BackendTag),
}

/// What the pooler makes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dealing {
    PassOn,
    /// It sends a Parse of its own first.
    ParseFirst(Fortune),
    /// It knows the answer.
    Answer,
}

fn pass(message: Message) -> Deed {
    Deed::Send(message, Dealing::PassOn)
}

fn fortune() -> impl Strategy<Value = Fortune> {
    prop_oneof![8 => Just(Fortune::Works), 1 => Just(Fortune::Fails)]
}

fn load() -> impl Strategy<Value = Load> {
    prop_oneof![
        3 => Just(Load::Works),
        1 => Just(Load::FailsAtOnce),
        1 => Just(Load::FailsAtData),
        1 => Just(Load::FailsAtEnd),
    ]
}

/// A statement that takes no data from the client.
fn statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        6 => (0..3_u8).prop_map(Statement::Rows),
        1 => Just(Statement::Begin),
        1 => Just(Statement::CopyOut),
        1 => Just(Statement::Empty),
        2 => Just(Statement::End),
        1 => Just(Statement::Fails),
    ]
}

fn remark() -> impl Strategy<Value = Deed> {
    prop_oneof![
        Just(Deed::Remark(BackendTag::NOTICE_RESPONSE)),
        Just(Deed::Remark(BackendTag::NOTIFICATION_RESPONSE)),
        Just(Deed::Remark(BackendTag::PARAMETER_STATUS)),
    ]
}

/// Whatever a client may send at any time outside COPY without owing anything afterwards but a Sync.
fn extended() -> impl Strategy<Value = Deed> {
    let dealing = prop_oneof![
        3 => Just(Dealing::PassOn),
        1 => fortune().prop_map(Dealing::ParseFirst),
    ];
    prop_oneof![
        3 => fortune().prop_map(|fortune| pass(Message::Parse(fortune))),
        2 => Just(Deed::Send(Message::Parse(Fortune::Works), Dealing::Answer)),
        4 => (fortune(), dealing.clone()).prop_map(|(f, d)| Deed::Send(Message::Bind(f), d)),
        2 => (fortune(), dealing)
            .prop_map(|(f, d)| Deed::Send(Message::DescribeStatement(f), d)),
        1 => fortune().prop_map(|fortune| pass(Message::DescribePortal(fortune))),
        4 => statement().prop_map(|statement| pass(Message::Execute(statement))),
        1 => (0..3_u8).prop_map(|count| pass(Message::Execute(Statement::Some(count)))),
        1 => Just(pass(Message::Close)),
        1 => Just(Deed::Send(Message::Close, Dealing::Answer)),
        1 => Just(pass(Message::Flush)),
        1 => Just(Deed::Wait),
        1 => remark(),
        // Too late, or just useless: PostgreSQL ignores it.
        1 => prop_oneof![Just(Message::CopyData), Just(Message::CopyDone), Just(Message::CopyFail)]
            .prop_map(pass),
    ]
}

fn sync() -> impl Strategy<Value = Deed> {
    fortune().prop_map(|fortune| pass(Message::Sync(fortune)))
}

/// The data of one COPY, blindly or after a look at the answers.
fn data() -> impl Strategy<Value = Vec<Deed>> {
    let end = prop_oneof![3 => Just(Message::CopyDone), 1 => Just(Message::CopyFail)];
    let filler = prop_oneof![
        4 => Just(pass(Message::CopyData)),
        1 => Just(pass(Message::Flush)),
        1 => remark(),
    ];
    (prop::collection::vec(filler, 0..4), end, any::<bool>()).prop_map(|(filler, end, looks)| {
        let mut deeds = Vec::new();
        if looks {
            deeds.push(Deed::Wait);
        }
        deeds.extend(filler);
        deeds.push(if looks { Deed::EndCopy(end) } else { pass(end) });
        deeds
    })
}

/// A Query whose statements may include COPY FROM STDIN, and the data for those.
fn query() -> impl Strategy<Value = Vec<Deed>> {
    let part = prop_oneof![
        4 => statement().prop_map(|statement| (statement, Vec::new())),
        1 => (load(), data()).prop_map(|(load, data)| (Statement::CopyIn(load), data)),
    ];
    prop::collection::vec(part, 1..4).prop_map(|parts| {
        let statements = parts.iter().map(|(statement, _)| *statement).collect();
        let mut deeds = vec![pass(Message::Query(statements))];
        deeds.extend(parts.into_iter().flat_map(|(_, data)| data));
        deeds
    })
}

/// COPY FROM STDIN in the extended protocol. Clients send Sync or Flush with Execute not knowing that it is a
/// COPY; such a client ends it with a Sync of its own and then waits, because it cannot know what that one did.
fn extended_copy() -> impl Strategy<Value = Vec<Deed>> {
    let strays = prop::collection::vec(sync(), 0..3);
    (fortune(), load(), strays, data()).prop_map(|(bind, load, strays, data)| {
        let mut deeds = vec![
            pass(Message::Bind(bind)),
            pass(Message::Execute(Statement::CopyIn(load))),
            pass(Message::Flush),
        ];
        let strayed = !strays.is_empty();
        deeds.extend(strays);
        deeds.extend(data);
        if strayed {
            deeds.extend([pass(Message::Sync(Fortune::Works)), Deed::Wait]);
        }
        deeds
    })
}

fn part() -> impl Strategy<Value = Vec<Deed>> {
    prop_oneof![
        6 => prop::collection::vec(extended(), 0..5),
        5 => sync().prop_map(|deed| vec![deed]),
        3 => query(),
        2 => extended_copy(),
        1 => fortune().prop_map(|fortune| vec![pass(Message::FunctionCall(fortune))]),
        1 => Just(vec![Deed::Wait]),
        1 => remark().prop_map(|deed| vec![deed]),
    ]
}

/// Everything that one client does, to a good end.
fn life() -> impl Strategy<Value = Vec<Deed>> {
    prop::collection::vec(part(), 1..8).prop_map(|parts| {
        let mut deeds: Vec<Deed> = parts.into_iter().flatten().collect();
        deeds.push(pass(Message::Sync(Fortune::Works)));
        deeds.push(pass(Message::Query(vec![Statement::End])));
        deeds
    })
}

/// Writes down what the machine says, by the number that each request carries.
#[derive(Debug, Default)]
struct Notes {
    fates: Vec<(u64, Fortune)>,
    due: Vec<BackendTag>,
}

impl Notes {
    fn note(&mut self, owed: Owed, fortune: Fortune) {
        if let Change::Prepares(StatementId(number)) = owed.change {
            self.fates.push((number, fortune));
        }
    }
}

impl Ledger for Notes {
    fn completed(&mut self, owed: Owed) {
        self.note(owed, Fortune::Works);
    }
    fn failed(&mut self, owed: Owed) {
        self.note(owed, Fortune::Fails);
    }
    fn skipped(&mut self, owed: Owed) {
        self.note(owed, Fortune::Fails);
    }
    fn synthesize(&mut self, answer: Synthetic) {
        self.due.push(match answer {
            Synthetic::CloseComplete => BackendTag::CLOSE_COMPLETE,
            Synthetic::ParseComplete => BackendTag::PARSE_COMPLETE,
            Synthetic::BindComplete => BackendTag::BIND_COMPLETE,
            Synthetic::Ours | Synthetic::OursToQuery(_) => {
                unreachable!()
            }
        });
    }
}

type Shown = (BackendTag, &'static [u8]);

/// A session with its one server, as `requests`, `replies` and `intake` drive the machine.
#[derive(Debug, Default)]
struct Pooled {
    machine: Machine,
    server: Postgres,
    notes: Notes,
    /// What the client has been shown.
    shown: Vec<Shown>,
    /// What the client has sent, with what it would come to on a connection of its own.
    direct: Postgres,
    sent: usize,
    /// Whose request each number stands for.
    numbers: Vec<Origin>,
    /// Whether the server has been given up, because nobody can tell what it still owes.
    given_up: bool,
}

impl Pooled {
    fn enter(&mut self, owed: Owed, origin: Origin) {
        let number = u64::try_from(self.numbers.len()).unwrap();
        self.numbers.push(origin);
        self.machine.sent(owed.with(Change::Prepares(StatementId(number))));
    }

    fn ours(&mut self, request: Request, message: Message) {
        let origin = Origin::Ours(self.numbers.len());
        self.enter(Owed::swallow(request), origin);
        self.server.inbox.push_back((origin, message));
    }

    /// As `attach` does when the settings differ and there are too many statements.
    fn attach(&mut self) {
        if self.sent.is_multiple_of(3) {
            self.ours(Request::Query, Message::Query(vec![Statement::Rows(1), Statement::Rows(0)]));
        }
        if self.sent.is_multiple_of(2) {
            self.ours(Request::Close, Message::Close);
        }
    }

    fn send(&mut self, message: Message, dealing: Dealing) {
        self.sent += 1;
        let origin = Origin::Client(self.sent);
        let on_its_own = match (&message, dealing) {
            (Message::Bind(_), Dealing::ParseFirst(Fortune::Fails)) => {
                Message::Bind(Fortune::Fails)
            }
            (Message::DescribeStatement(_), Dealing::ParseFirst(Fortune::Fails)) => {
                Message::DescribeStatement(Fortune::Fails)
            }
            _ => message.clone(),
        };
        self.direct.inbox.push_back((origin, on_its_own));
        if self.machine.is_settled() {
            match message {
                Message::CopyData | Message::CopyDone | Message::CopyFail | Message::Flush => {
                    return;
                }
                Message::Sync(_) => {
                    self.shown.push((BackendTag::READY_FOR_QUERY, b"I"));
                    return;
                }
                _ => self.attach(),
            }
        }
        self.pass(message, dealing, origin);
        if self.machine.is_answer_due() {
            self.drain();
        }
        self.check();
    }

    fn pass(&mut self, message: Message, dealing: Dealing, origin: Origin) {
        if self.machine.is_skipping() && !matches!(message, Message::Sync(_)) {
            return;
        }
        if let Dealing::ParseFirst(fortune) = dealing {
            self.ours(Request::Parse, Message::Parse(fortune));
        }
        let request = match message {
            Message::Bind(_) => Request::Bind,
            Message::Close => Request::Close,
            Message::CopyData | Message::CopyDone | Message::CopyFail => {
                if !self.machine.takes_copy_data() {
                    return;
                }
                if message != Message::CopyData {
                    self.machine.sent(Owed::forward(Request::CopyEnd));
                }
                return self.server.inbox.push_back((origin, message));
            }
            Message::DescribePortal(_) => Request::DescribePortal,
            Message::DescribeStatement(_) => Request::DescribeStatement,
            Message::Execute(_) => Request::Execute,
            Message::Flush => return self.server.inbox.push_back((origin, message)),
            Message::FunctionCall(_) => Request::FunctionCall,
            Message::Parse(_) => Request::Parse,
            Message::Query(_) => Request::Query,
            Message::Sync(_) => {
                self.machine.sent(Owed::forward(Request::Sync));
                return self.server.inbox.push_back((origin, message));
            }
        };
        if dealing == Dealing::Answer {
            return self.enter(Owed::synthesize(request), origin);
        }
        self.enter(Owed::forward(request), origin);
        self.server.inbox.push_back((origin, message));
    }

    fn drain(&mut self) {
        self.machine.drain(&mut self.notes);
        self.shown.extend(self.notes.due.drain(..).map(|tag| (tag, &b""[..])));
    }

    /// Passes on one message from the server. Returns whether there was one.
    fn deliver(&mut self) -> bool {
        let Some(Answer { tag, body, origin }) = self.server.outbox.pop_front() else {
            return false;
        };
        let shown = self.machine.on_backend(tag, body, &mut self.notes).expect("legal traffic");
        let is_client_s = match origin {
            Origin::Client(_) => true,
            // It stands for the error that the client's own message would have met.
            Origin::Ours(_) => tag == BackendTag::ERROR_RESPONSE,
            Origin::Server => {
                if tag == BackendTag::NOTIFICATION_RESPONSE {
                    assert_eq!(shown, OnBackend::Forward);
                }
                self.drain();
                self.check();
                return true;
            }
        };
        let expected = if is_client_s { OnBackend::Forward } else { OnBackend::Swallow };
        assert_eq!(shown, expected, "{tag:?} of {origin:?}");
        if shown == OnBackend::Forward {
            self.shown.push((tag, body));
        }
        self.drain();
        self.check();
        true
    }

    fn check(&mut self) {
        if !self.machine.is_settled() {
            return;
        }
        if self.machine.is_in_doubt() {
            self.given_up = true;
        } else {
            assert!(self.server.is_pristine(), "given back in the midst of something");
            // But numbers go on.
            let pristine = Machine { sent: self.machine.sent, ..Machine::default() };
            assert_eq!(format!("{:?}", self.machine), format!("{pristine:?}"));
        }
    }

    fn quiesce(&mut self) {
        while !self.given_up && (self.deliver() || self.server.step()) {}
    }

    /// Whether the client knows of a COPY that waits for its data.
    fn copy_is_open(&self) -> bool {
        self.shown.iter().rev().find_map(|(tag, _)| match *tag {
            BackendTag::COPY_IN_RESPONSE => Some(true),
            BackendTag::COMMAND_COMPLETE
            | BackendTag::ERROR_RESPONSE
            | BackendTag::READY_FOR_QUERY => Some(false),
            _ => None,
        }) == Some(true)
    }

    fn carry_out(&mut self, deed: Deed) {
        match deed {
            Deed::Send(message, dealing) => self.send(message, dealing),
            Deed::Wait => self.quiesce(),
            Deed::EndCopy(end) => {
                self.quiesce();
                if !self.given_up && self.copy_is_open() {
                    self.send(end, Dealing::PassOn);
                }
            }
            Deed::Remark(tag) => self.server.remark(tag),
        }
    }
}

/// Lets a client live, with `schedule` deciding who moves next.
fn live(life: Vec<Deed>, schedule: &[u8]) {
    let mut pooled = Pooled::default();
    let mut deeds = life.into_iter();
    let mut turns = schedule.iter().cycle();
    while !pooled.given_up {
        match turns.next().unwrap() {
            0..=9 => match deeds.next() {
                Some(deed) => pooled.carry_out(deed),
                None => break,
            },
            10..=17 => {
                pooled.server.step();
            }
            _ => {
                pooled.deliver();
            }
        }
    }
    pooled.quiesce();
    judge(&mut pooled);
}

/// Compares what the client has seen with what it would have seen on a connection of its own.
fn judge(pooled: &mut Pooled) {
    while pooled.direct.step() {}
    let direct: Vec<Shown> =
        pooled.direct.outbox.iter().map(|answer| (answer.tag, answer.body)).collect();
    if pooled.given_up {
        let (same, rest) = direct.split_at(pooled.shown.len());
        assert_eq!(pooled.shown, same);
        assert!(rest.iter().all(|(tag, _)| *tag == BackendTag::READY_FOR_QUERY), "{rest:?}");
        return;
    }
    assert_eq!(pooled.shown, direct);
    assert!(pooled.machine.is_settled(), "never given back: {:?}", pooled.machine);
    let fates = &pooled.notes.fates;
    assert!(fates.is_sorted_by_key(|(number, _)| *number), "told out of order: {fates:?}");
    assert_eq!(fates.len(), pooled.numbers.len(), "each request is told of once");
    for (number, fortune) in fates {
        let origin = pooled.numbers[usize::try_from(*number).unwrap()];
        let truth = match origin {
            Origin::Client(_) => &pooled.direct.fates,
            Origin::Ours(_) | Origin::Server => &pooled.server.fates,
        };
        let known = truth.iter().find(|(one, _)| *one == origin).map(|(_, fortune)| fortune);
        assert_eq!(known, Some(fortune), "{origin:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PGLAGOON_MODEL_CASES").map_or(2000, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_client_cannot_tell_the_machine_from_a_connection_of_its_own(
        life in life(),
        schedule in prop::collection::vec(0..25_u8, 1..60).prop_filter(
            "somebody must act",
            |schedule| schedule.iter().any(|turn| *turn < 10),
        ),
    ) {
        live(life, &schedule);
    }
}
