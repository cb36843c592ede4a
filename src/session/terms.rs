//! On what terms the reads of a session are routed: the configuration's, unless the session (`SET pglagoon.*`) or the
//! statement (a comment) asks for others.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::cluster::{Reach, Token};
use crate::config::{Consistency, Grouping, Monotonic, Way};
use crate::route::{Reason, Seen};
use crate::server::settings::{Settings, Value};
use crate::session::Session;
use crate::session::backend::Policy;
use crate::session::clients::Client;
use crate::session::ours::{Parameter, value};
use crate::session::survey::Batch;
use crate::session::writes::{Group, Key, Writes};
use crate::sql::{Class, Tables, Why};

/// What the reads of a session must see, and how old that may be.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    consistency: Consistency,
    pub(super) monotonic: Monotonic,
    /// How old what reads see may be, if less than the configuration says.
    max_lag: Option<Duration>,
    way: Way,
    /// Whether the client is told where its statements run.
    pub(super) explain: Explain,
    after: After,
    /// The session's group, if its reads or those of others depend on it.
    group: Option<Arc<Group>>,
    /// The parameters that this was made from.
    pub(super) of: Arc<Settings>,
}

/// Whether a client is told where its statements run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Explain {
    On,
    Off,
}

/// What a client has brought along from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Nothing,
    Token(Token),
    /// The instant that its token turned out to stand for.
    Instant(Mono),
}

/// What a read must see, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    /// Everything that was acknowledged before this instant.
    pub(super) instant: Mono,
    /// The reason to show if no replica does.
    pub(super) because: Reason,
}

impl Requirement {
    /// Nothing in particular.
    pub(super) const NOTHING: Self =
        Self { instant: Mono::ZERO, because: Reason::ReadAfterOwnWrite };

    /// Both.
    pub(super) fn and(self, instant: Mono, because: Reason) -> Self {
        if instant > self.instant { Self { instant, because } } else { self }
    }
}

impl Terms {
    /// The terms of a client whose configuration is `policy`, and which has set `own`.
    pub(super) fn new(policy: &Policy, client: &Client, own: &Arc<Settings>) -> Self {
        let routing = &policy.routing;
        let of = |parameter: Parameter| match own.get(parameter.name())? {
            Value::Config(text) | Value::Sql(text) => Some(&**text),
        };
        let consistency = of(Parameter::Consistency).and_then(value::consistency);
        let consistency = consistency.unwrap_or(routing.consistency);
        let named = of(Parameter::Group).filter(|name| !name.is_empty());
        let key = match (named, consistency, routing.group) {
            (Some(name), _, _) => Some(Key::Named(name.into())),
            (None, Consistency::Group, Grouping::User) => {
                Some(Key::User(client.backend.user.clone()))
            }
            (None, Consistency::Group, Grouping::ApplicationName) => {
                Some(Key::Application(client.application_name.borrow().clone()))
            }
            _ => None,
        };
        let token = of(Parameter::After).and_then(|token| token.parse().ok());
        let monotonic = match of(Parameter::Monotonic) {
            Some("on") => Monotonic::On,
            Some(_) => Monotonic::Off,
            None => routing.monotonic,
        };
        Self {
            consistency,
            monotonic,
            max_lag: of(Parameter::MaxLag).and_then(value::parse_time),
            way: of(Parameter::Route).and_then(value::way).unwrap_or(routing.route),
            explain: if of(Parameter::Explain) == Some("on") { Explain::On } else { Explain::Off },
            after: token.map_or(After::Nothing, After::Token),
            group: key.map(|key| client.backend.writes.join(key)),
            of: Arc::clone(own),
        }
    }

    /// A write of the session was acknowledged before `at`. To be called before the client hears of it: it may tell
    /// another, which reads at once.
    #[inline]
    pub(super) fn stamp(&self, writes: &Writes, tables: Tables, at: Mono) {
        writes.stamp(tables, at);
        if let Some(group) = &self.group {
            group.stamp(at);
        }
    }

    /// What a batch of this class is to the session.
    #[inline]
    pub(super) fn class_of(&self, class: Class) -> Class {
        class_by(self.way, class)
    }
}

/// What a batch of this class is to a session that has said where its statements are to go.
#[inline]
pub(super) fn class_by(way: Way, class: Class) -> Class {
    match (way, class) {
        (Way::Primary, Class::Read | Class::Begin(_)) => Class::Primary(Why::Hint),
        (Way::Replica, Class::Primary(why)) if why.yields_to_hint() => Class::Read,
        _ => class,
    }
}

impl Session {
    /// What a read that is routed now must see.
    pub(super) fn requirement(&mut self, batch: &Batch) -> Requirement {
        let asks = batch.asks.as_deref();
        let asked = asks.and_then(|asks| asks.consistency);
        let own = Requirement::NOTHING.and(self.last_write, Reason::ReadAfterOwnWrite);
        let required = match asked.unwrap_or(self.terms.consistency) {
            Consistency::Eventual => Requirement::NOTHING,
            Consistency::Session => own,
            Consistency::Group => {
                let group = self.terms.group.as_ref();
                let group = group.map_or(Mono::ZERO, |group| group.last_write());
                own.and(group, Reason::ReadAfterGroupWrite)
            }
            Consistency::Table => {
                let writes = &self.client.backend.writes;
                writes.watch_tables(self.worker.now());
                let last = writes.last_to(batch.tables);
                Requirement::NOTHING.and(last, Reason::ReadAfterTableWrite)
            }
            Consistency::Strong => own.and(self.arrival(), Reason::StrongRead),
        };
        let lag = asks.and_then(|asks| asks.max_lag).or(self.terms.max_lag);
        let required = match lag {
            Some(lag) => required.and(self.oldest(lag), Reason::ReadTooFresh),
            None => required,
        };
        match asks.and_then(|asks| asks.after) {
            Some(token) => {
                let instant = self.reach(token).unwrap_or(Mono::MAX);
                self.and_after(required).and(instant, Reason::ReadAfterToken)
            }
            None => self.and_after(required),
        }
    }

    /// The token that the session has set counts for all its reads.
    #[inline]
    fn and_after(&mut self, required: Requirement) -> Requirement {
        let instant = match self.terms.after {
            After::Nothing => return required,
            After::Instant(instant) => instant,
            After::Token(token) => match self.reach(token) {
                Some(instant) => {
                    self.terms.after = After::Instant(instant);
                    instant
                }
                None => Mono::MAX,
            },
        };
        required.and(instant, Reason::ReadAfterToken)
    }

    /// The instant that a token stands for, if it is known.
    fn reach(&mut self, token: Token) -> Option<Mono> {
        let now = self.arrival();
        match self.client.backend.cluster.reach(token, now) {
            Reach::After(instant) => Some(instant),
            Reach::Unknown | Reach::Foreign => None,
        }
    }

    /// The oldest state that is not older than `lag`. While the primary is down nothing new is written.
    fn oldest(&mut self, lag: Duration) -> Mono {
        let held = self.client.backend.cluster.view().held_at();
        let lag = u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX);
        Mono(self.arrival().min(held).0.saturating_sub(lag))
    }

    /// When the batch that is looked at came. Not the time of this wake-up, which may be before that.
    fn arrival(&mut self) -> Mono {
        if self.arrived == Mono::ZERO {
            self.arrived = self.worker.now();
        }
        self.arrived
    }

    /// What the session has read last, if it must not see less.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.seen.filter(|_| self.terms.monotonic == Monotonic::On || self.held.is_open())
    }
}
