//! A small PostgreSQL: the message loop of `PostgresMain` with its rules for errors and COPY, and no SQL.
//!
//! Written from `src/backend/tcop/postgres.c` and `src/backend/commands/copyfromparse.c`, not from the machine.

use std::collections::VecDeque;

use crate::protocol::BackendTag;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Begin,
    CopyIn(Load),
    CopyOut,
    /// COMMIT or ROLLBACK.
    End,
    Empty,
    Fails,
    Rows(u8),
    /// Not to the end: the portal is suspended.
    Some(u8),
}

/// How a COPY FROM STDIN goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// It fails before it reads anything, as by a statement trigger.
    FailsAtOnce,
    FailsAtData,
    FailsAtEnd,
    Works,
}

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fortune {
    Fails,
    Works,
}

/// A frontend message, with what it will come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Bind(Fortune),
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    DescribePortal(Fortune),
    DescribeStatement(Fortune),
    Execute(Statement),
    Flush,
    FunctionCall(Fortune),
    Parse(Fortune),
    Query(Vec<Statement>),
    /// It fails if there is something to commit and that fails, as by a deferred constraint.
    Sync(Fortune),
}

/// Who has sent a message, and as which of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Client(usize),
    Ours(usize),
    /// Nobody: it is asynchronous.
    Server,
}

/// A backend message, and whose request it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) tag: BackendTag,
    pub(super) body: &'static [u8],
    pub(super) origin: Origin,
}

#[derive(Debug)]
struct CopyIn {
    load: Load,
    origin: Origin,
    /// What of a Query is still to run; `None` if it was an Execute.
    rest: Option<Vec<Statement>>,
}

/// One backend.
#[expect(clippy::struct_excessive_bools, reason = "PostgresMain keeps them so")]
#[derive(Debug, Default)]
pub(super) struct Postgres {
    pub(super) inbox: VecDeque<(Origin, Message)>,
    pub(super) outbox: VecDeque<Answer>,
    /// What became of each request that was not a Sync or about COPY data.
    pub(super) fates: Vec<(Origin, Fortune)>,
    status: Status,
    skips: bool,
    /// Whether an extended-protocol message has come since the last Sync or Query.
    is_in_batch: bool,
    /// Whether an Execute has left something to commit.
    has_work: bool,
    copy: Option<CopyIn>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    #[default]
    Idle,
    Block,
    Failed,
}

impl Postgres {
    /// Whether any client could take it over. What it has still to read it will ignore: it is in no COPY.
    pub(super) fn is_pristine(&self) -> bool {
        let is_ignored = |message: &Message| {
            matches!(
                message,
                Message::CopyData | Message::CopyDone | Message::CopyFail | Message::Flush
            )
        };
        self.inbox.iter().all(|(_, message)| is_ignored(message))
            && self.outbox.iter().all(|answer| answer.origin == Origin::Server)
            && self.status == Status::Idle
            && !self.skips
            && !self.is_in_batch
            && self.copy.is_none()
    }

    /// Says something asynchronous.
    pub(super) fn remark(&mut self, tag: BackendTag) {
        self.say(tag, Origin::Server);
    }

    /// Reads one message and does what it asks for. Returns whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let Some((origin, message)) = self.inbox.pop_front() else { return false };
        if let Some(copy) = self.copy.take() {
            self.feed(copy, &message);
            return true;
        }
        if let Message::Sync(fortune) = message {
            let commits = self.has_work && !self.skips && self.status == Status::Idle;
            self.skips = false;
            self.is_in_batch = false;
            self.has_work = false;
            if commits && fortune == Fortune::Fails {
                self.fail(origin);
            }
            self.ready(origin);
            return true;
        }
        if self.skips {
            self.fates.push((origin, Fortune::Fails));
            return true;
        }
        match message {
            Message::Bind(fortune) => {
                self.extended(origin, fortune, &[BackendTag::BIND_COMPLETE]);
            }
            Message::Close => {
                self.extended(origin, Fortune::Works, &[BackendTag::CLOSE_COMPLETE]);
            }
            Message::Parse(fortune) => {
                self.extended(origin, fortune, &[BackendTag::PARSE_COMPLETE]);
            }
            Message::DescribePortal(fortune) => {
                self.extended(origin, fortune, &[BackendTag::NO_DATA]);
            }
            Message::DescribeStatement(fortune) => {
                let tags = [BackendTag::PARAMETER_DESCRIPTION, BackendTag::ROW_DESCRIPTION];
                self.extended(origin, fortune, &tags);
            }
            Message::Execute(statement) => self.execute(origin, statement),
            Message::FunctionCall(fortune) => {
                self.is_in_batch = false;
                self.has_work = false;
                match fortune {
                    Fortune::Works => self.say(BackendTag::FUNCTION_CALL_RESPONSE, origin),
                    Fortune::Fails => self.fail(origin),
                }
                self.fates.push((origin, fortune));
                self.ready(origin);
            }
            Message::Query(statements) => {
                self.is_in_batch = false;
                self.has_work = false;
                self.query(origin, statements);
            }
            // Accepted but ignored outside COPY.
            Message::CopyData | Message::CopyDone | Message::CopyFail | Message::Flush => {}
            Message::Sync(_) => unreachable!(),
        }
        true
    }

    fn say(&mut self, tag: BackendTag, origin: Origin) {
        self.outbox.push_back(Answer { tag, body: b"", origin });
    }

    fn ready(&mut self, origin: Origin) {
        let body: &[u8] = match self.status {
            Status::Idle => b"I",
            Status::Block => b"T",
            Status::Failed => b"E",
        };
        self.outbox.push_back(Answer { tag: BackendTag::READY_FOR_QUERY, body, origin });
    }

    fn fail(&mut self, origin: Origin) {
        self.say(BackendTag::ERROR_RESPONSE, origin);
        if self.status == Status::Block {
            self.status = Status::Failed;
        }
    }

    fn extended(&mut self, origin: Origin, fortune: Fortune, tags: &[BackendTag]) {
        self.is_in_batch |= matches!(origin, Origin::Client(_));
        match fortune {
            Fortune::Works => tags.iter().for_each(|tag| self.say(*tag, origin)),
            Fortune::Fails => {
                self.fail(origin);
                self.skips = true;
            }
        }
        self.fates.push((origin, fortune));
    }

    fn execute(&mut self, origin: Origin, statement: Statement) {
        self.has_work = true;
        match self.run(origin, statement) {
            Ran::Copies(load) => {
                self.is_in_batch = true;
                self.open(CopyIn { load, origin, rest: None });
            }
            Ran::Done => self.extended(origin, Fortune::Works, &[]),
            Ran::Failed => self.extended(origin, Fortune::Fails, &[]),
        }
    }

    fn query(&mut self, origin: Origin, statements: Vec<Statement>) {
        let mut rest = statements.into_iter();
        while let Some(statement) = rest.next() {
            match self.run(origin, statement) {
                Ran::Done => {}
                Ran::Copies(load) => {
                    let rest = Some(rest.collect());
                    return self.open(CopyIn { load, origin, rest });
                }
                Ran::Failed => {
                    self.fail(origin);
                    self.fates.push((origin, Fortune::Fails));
                    return self.ready(origin);
                }
            }
        }
        self.fates.push((origin, Fortune::Works));
        self.ready(origin);
    }

    fn run(&mut self, origin: Origin, statement: Statement) -> Ran {
        if self.status == Status::Failed && !matches!(statement, Statement::End | Statement::Empty)
        {
            return Ran::Failed;
        }
        match statement {
            Statement::CopyIn(load) => {
                self.say(BackendTag::COPY_IN_RESPONSE, origin);
                return Ran::Copies(load);
            }
            Statement::Fails => return Ran::Failed,
            Statement::Empty => {
                self.say(BackendTag::EMPTY_QUERY_RESPONSE, origin);
                return Ran::Done;
            }
            Statement::Begin => self.status = Status::Block,
            Statement::End => self.status = Status::Idle,
            Statement::CopyOut => {
                self.say(BackendTag::COPY_OUT_RESPONSE, origin);
                self.say(BackendTag::COPY_DATA, origin);
                self.say(BackendTag::COPY_DONE, origin);
            }
            Statement::Rows(count) | Statement::Some(count) => {
                (0..count).for_each(|_| self.say(BackendTag::DATA_ROW, origin));
            }
        }
        let is_suspended = matches!(statement, Statement::Some(_));
        self.say(
            if is_suspended { BackendTag::PORTAL_SUSPENDED } else { BackendTag::COMMAND_COMPLETE },
            origin,
        );
        Ran::Done
    }

    fn open(&mut self, copy: CopyIn) {
        if copy.load == Load::FailsAtOnce { self.copy_fails(&copy) } else { self.copy = Some(copy) }
    }

    fn feed(&mut self, copy: CopyIn, message: &Message) {
        let fails = match message {
            Message::CopyData => copy.load == Load::FailsAtData,
            Message::CopyDone => copy.load != Load::Works,
            Message::CopyFail => true,
            Message::Flush | Message::Sync(_) => false,
            other => panic!("a legal client does not send {other:?} within COPY"),
        };
        if fails {
            self.copy_fails(&copy);
        } else if *message == Message::CopyDone {
            self.say(BackendTag::COMMAND_COMPLETE, copy.origin);
            match copy.rest {
                None => self.fates.push((copy.origin, Fortune::Works)),
                Some(rest) => self.query(copy.origin, rest),
            }
        } else {
            self.copy = Some(copy);
        }
    }

    fn copy_fails(&mut self, copy: &CopyIn) {
        self.fail(copy.origin);
        self.fates.push((copy.origin, Fortune::Fails));
        if copy.rest.is_some() {
            self.ready(copy.origin);
        } else {
            self.skips = true;
        }
    }
}

enum Ran {
    Copies(Load),
    Done,
    Failed,
}
