//! LISTEN in transaction mode: what a client listens on follows it, wherever its statements run.
//!
//! A LISTEN runs on the client's server like any statement, so that errors, answers and transactions are PostgreSQL's
//! own; but before it is sent the hub has been made to listen on the channel, and what the server itself then hears
//! is not shown: it will forget the channel as soon as the client lets go of it. So whatever is committed after the
//! client has seen its LISTEN succeed reaches it. Where the hub cannot listen, LISTEN pins instead.

use std::sync::Arc;
use std::task::Context;

use crate::protocol::error_response::Severity;
use crate::protocol::{TransactionStatus, backend};
use crate::server::settings::{Settings, Value};
use crate::session::acquire::Moved;
use crate::session::channels::{ChannelSet, Channels};
use crate::session::hub::{Gap, Home, Hub, Mailbox, News, Progress};
use crate::session::pins::Pins;
use crate::session::requests::Requests;
use crate::session::respond::Trouble;
use crate::session::{Ended, Hold, Pending, Phase, Session, Skip};
use crate::sql::Effects;
use crate::sql::channels::{Step, steps};

/// Effects of the statements that decide on which channels a session listens.
const DECISIVE: Effects = Effects::LISTENS.union(Effects::UNLISTENS).union(Effects::TRANSACTION);

/// What a client that listens has.
#[derive(Debug)]
pub(super) struct Listening {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    pub(super) channels: Channels,
    /// What the hub listens on for the client: its channels, and those that the transaction may add.
    subscribed: ChannelSet,
    /// What the hub has not confirmed yet.
    ticket: Option<u64>,
    voice: Voice,
}

/// Whether the client's transaction has notified anybody, perhaps itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Silent,
    Raised,
}

/// Whether a LISTEN may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It may.
    Ready,
    /// Not before the hub listens.
    Wait,
}

impl Listening {
    fn new(hub: &Arc<Hub>, limit: usize) -> Box<Self> {
        Box::new(Self {
            mailbox: hub.join(limit),
            hub: Arc::clone(hub),
            channels: Channels::default(),
            subscribed: ChannelSet::default(),
            ticket: None,
            voice: Voice::Silent,
        })
    }

    /// Whether the client hears of this channel by the hub.
    pub(super) fn hears(&self, channel: &str) -> bool {
        self.subscribed.contains(channel)
    }

    /// The client notifies.
    pub(super) fn speak(&mut self) {
        self.voice = Voice::Raised;
    }

    /// Has the hub listen on what `steps` may listen on, and hear all that was said before.
    fn subscribe(&mut self, steps: &[Step]) -> Progress {
        let unknown = steps.iter().filter_map(|step| match step {
            Step::Listen(name) if !self.subscribed.contains(name) => Some(name.clone()),
            _ => None,
        });
        let unknown: Vec<Box<str>> = unknown.collect();
        let ticket = match self.ticket {
            Some(ticket) if unknown.is_empty() => ticket,
            _ => self.hub.subscribe(&self.mailbox, &unknown),
        };
        self.subscribed.extend(unknown);
        let progress = self.hub.progress(ticket);
        self.ticket = (progress == Progress::Pending).then_some(ticket);
        progress
    }

    /// Takes back what has been subscribed for `steps`.
    fn unsubscribe(&mut self, steps: &[Step]) {
        for step in steps {
            if let Step::Listen(name) = step
                && !self.channels.contains(name)
                && self.subscribed.remove(name)
            {
                self.hub.unsubscribe(&self.mailbox, [name]);
            }
        }
    }

    /// Gives up what the client does not listen on.
    fn tidy(&mut self) {
        let unwanted = self.subscribed.extract_if(|name| !self.channels.contains(name));
        let unwanted: Vec<Box<str>> = unwanted.collect();
        self.hub.unsubscribe(&self.mailbox, &unwanted);
    }

    /// Goes over to another hub. What is said meanwhile is missed.
    fn move_to(&mut self, hub: &Arc<Hub>, limit: usize) {
        self.hub.leave(&self.mailbox, &self.subscribed);
        self.hub = Arc::clone(hub);
        self.mailbox = hub.join(limit);
        self.mailbox.open_gap();
        hub.subscribe(&self.mailbox, &self.subscribed);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.leave(&self.mailbox, &self.subscribed);
    }
}

/// What of an answer may be sent now. A client that has notified a channel on which it listens itself hears of that
/// just before ReadyForQuery, as PostgreSQL has it; so that is kept until the hub has caught up.
pub(super) fn withhold<'a>(
    listening: Option<&mut Listening>,
    answer: &'a [u8],
    hold: &mut Hold,
) -> &'a [u8] {
    let Some(listening) = listening.filter(|one| one.voice == Voice::Raised) else {
        return answer;
    };
    let mut ready = Vec::new();
    backend::ready_for_query(&mut ready, TransactionStatus::Idle);
    let Some(before) = answer.strip_suffix(&*ready) else { return answer };
    listening.voice = Voice::Silent;
    if listening.ticket.is_some() || *hold != Hold::Nothing {
        return answer;
    }
    listening.ticket = Some(listening.hub.subscribe(&listening.mailbox, []));
    *hold = Hold::Ready;
    before
}

impl Requests<'_> {
    /// Whether the session has to follow what statements with these effects do to its channels.
    #[inline]
    pub(super) fn decides_channels(&self, effects: Effects) -> bool {
        effects.intersects(DECISIVE)
            && (self.listening.is_some() || effects.contains(Effects::LISTENS))
            && !self.pins.contains(Pins::SESSION_MODE)
    }

    /// Sees to it that the hub hears what a text is about to listen on, or may, by committing; and that it has heard
    /// what was said before, which is not for it.
    pub(super) fn prepare_to_listen(&mut self, effects: Effects, text: &[u8]) -> Readiness {
        let is_undecided =
            self.listening.as_ref().is_some_and(|listening| listening.channels.is_undecided());
        if !(effects.contains(Effects::LISTENS) || is_undecided) || !self.decides_channels(effects)
        {
            return Readiness::Ready;
        }
        let Some(steps) = steps(text) else {
            *self.pins |= Pins::LISTEN;
            return Readiness::Ready;
        };
        let listening = self
            .listening
            .get_or_insert_with(|| Listening::new(self.hub, self.policy.limits.notification_bytes));
        match listening.subscribe(&steps) {
            Progress::Pending => return Readiness::Wait,
            Progress::Done if is_in(&listening.hub.encoding(), self.parameters.wanted()) => {}
            Progress::Done | Progress::Failed => {
                tracing::debug!("the hub cannot listen for a client: LISTEN pins it");
                listening.unsubscribe(&steps);
                *self.pins |= Pins::LISTEN;
            }
        }
        Readiness::Ready
    }

    /// A text that decides on channels is being sent as the next request.
    pub(super) fn note_channels(&mut self, text: &[u8]) {
        let number = self.link.machine.next();
        if let Some(listening) = self.listening
            && let Some(steps) = steps(text)
        {
            // What was said before a channel is listened on is not heard.
            let channels = &listening.channels;
            listening.mailbox.retain(|channel| channels.contains(channel));
            listening.channels.expect(number, steps);
        }
    }
}

/// Whether a client with these settings has the encoding of the hub, which is the server's default.
fn is_in(encoding: &str, settings: &Settings) -> bool {
    let plain = |name: &str| {
        let letters = name.bytes().filter(u8::is_ascii_alphanumeric);
        let name: Vec<u8> = letters.map(|byte| byte.to_ascii_lowercase()).collect();
        if name == b"unicode" { b"utf8".to_vec() } else { name }
    };
    match settings.get("client_encoding") {
        None => true,
        Some(Value::Config(name) | Value::Sql(name)) => plain(name) == plain(encoding),
    }
}

impl Session {
    /// What a client that listens has to do with the hub.
    pub(super) fn listen(&mut self, cx: &mut Context<'_>) -> Result<Moved, Ended> {
        let Some(listening) = &mut self.listening else { return Ok(Moved::No) };
        let has_news = listening.mailbox.has_news(cx.waker());
        if matches!(self.hold, Hold::Hub | Hold::Ready) {
            let is_pending = |ticket| listening.hub.progress(ticket) == Progress::Pending;
            if listening.ticket.is_some_and(is_pending) {
                return Ok(Moved::No);
            }
            let hold = std::mem::replace(&mut self.hold, Hold::Nothing);
            self.pending = Pending::Look;
            if hold == Hold::Ready {
                listening.ticket = None;
                self.hear(cx)?;
                self.say(|out| backend::ready_for_query(out, TransactionStatus::Idle));
                self.push_to_client(cx)?;
            }
            return Ok(Moved::Yes);
        }
        if listening.channels.take_changed() {
            listening.tidy();
            self.client.channels.set(listening.channels.len());
            if listening.channels.is_empty() {
                self.listening = None;
                return Ok(Moved::No);
            }
        }
        if has_news { self.hear(cx) } else { Ok(Moved::No) }
    }

    /// Delivers what the hub has heard, where PostgreSQL may: to a client that is idle and in no transaction.
    fn hear(&mut self, cx: &mut Context<'_>) -> Result<Moved, Ended> {
        let is_idle = match &self.phase {
            Phase::Detached => {
                !matches!(self.skip, Skip::Batch | Skip::BytesToSync(_) | Skip::ToSync)
            }
            Phase::Attached(attached) => attached.lease.is_settled(),
            Phase::Waiting(..)
            | Phase::WaitingPrimary
            | Phase::WaitingFresh(_)
            | Phase::WaitingShare(_) => false,
        };
        let Some(listening) = &mut self.listening else { return Ok(Moved::No) };
        if !is_idle || !(self.to_client.is_empty() || listening.mailbox.has_lost()) {
            return Ok(Moved::No);
        }
        let news = listening.mailbox.take();
        if news.lost > 0 {
            self.count_lost(news.lost);
            return Err(self.dismiss(&Trouble::NotificationsTooMany, cx));
        }
        let moved = self.deliver(&news);
        if news.home == Home::Gone && matches!(self.phase, Phase::Detached) {
            self.move_home(cx)?;
            return Ok(Moved::Yes);
        }
        self.push_to_client(cx)?;
        Ok(moved)
    }

    fn deliver(&mut self, news: &News) -> Moved {
        let Some(listening) = &self.listening else { return Moved::No };
        let recycler = &mut *self.worker.recycler.borrow_mut();
        let mut moved = Moved::No;
        if news.gap == Gap::Over && !listening.channels.is_empty() {
            let out = self.to_client.queue(recycler);
            Trouble::NotificationsMissed.encode(Severity::Warning, out);
            moved = Moved::Yes;
        }
        let mut count = 0;
        for heard in &news.heard {
            if listening.channels.contains(&heard.channel) {
                self.to_client.queue(recycler).extend_from_slice(&heard.frame);
                moved = Moved::Yes;
                count += 1;
            }
        }
        if let Some(traffic) = self.client.backend.traffic.get(self.worker.lane()) {
            traffic.notifications.add(count);
        }
        moved
    }

    fn count_lost(&self, lost: u64) {
        if let Some(traffic) = self.client.backend.traffic.get(self.worker.lane()) {
            traffic.lost_notifications.add(lost);
        }
    }

    /// A reload has put another hub in the place of the client's.
    fn move_home(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        if let Err(trouble) = self.follow() {
            return Err(self.dismiss(&trouble, cx));
        }
        let limit = self.policy.limits.notification_bytes;
        if let Some(listening) = &mut self.listening {
            listening.move_to(&self.client.backend.hub, limit);
        }
        Ok(())
    }
}
