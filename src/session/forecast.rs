//! What would become of a statement that came now: SHOW ROUTE. It is decided by what decides for sessions, for a session
//! that has just logged in and has written nothing.

use std::sync::Arc;

use crate::clock::Mono;
use crate::cluster::Reach;
use crate::config::{Config, Consistency, PoolMode, Routing, UntilWrite};
use crate::route::{self, Dice, Facts, Patience, Reason, Standing, Target};
use crate::session::backend::Backend;
use crate::session::directory::{Directory, Prepared};
use crate::session::survey::Batch;
use crate::session::terms::{Requirement, class_by};
use crate::sql::{Access, Begin, Class, Classifier, Effects, Isolation, Verdict};
use crate::telemetry::overview::{Finding, Unforeseeable};

/// Whose statement it would be.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The database; the only one if it is not named.
    pub database: Option<&'a str>,
    /// The user; one of whom nothing particular is configured if it is not named.
    pub user: Option<&'a str>,
}

/// Everything that decides.
struct Scene {
    prepared: Arc<Prepared>,
    /// What has been opened for the database, for the user if one is named.
    backends: Vec<Arc<Backend>>,
    routing: Routing,
    mode: PoolMode,
    pool_size: usize,
    now: Mono,
}

/// What would become of `sql` if it came at `now`.
///
/// # Errors
///
/// See [`Unforeseeable`].
pub fn forecast(
    directory: &Directory,
    asker: Asker<'_>,
    (sql, now): (&str, Mono),
) -> Result<Vec<Finding>, Unforeseeable> {
    let scene = Scene::new(directory, asker, now)?;
    let catalog = scene.prepared.cluster.catalog();
    let mut classifier = Classifier::new(1);
    let verdict = classifier.classify(sql.as_bytes(), catalog);
    let mut findings = scene.decision(verdict, sql.as_bytes());
    for part in classifier.parts(sql.as_bytes(), catalog) {
        let place = if part.why.is_some() { "primary" } else { "any node" };
        let item = format!("{} {}", part.kind.as_str(), part.name);
        findings.push(finding(item, place, part.why.map_or("", |why| why.as_str())));
    }
    findings.extend(scene.nodes(verdict, sql.as_bytes()));
    Ok(findings)
}

impl Scene {
    fn new(directory: &Directory, asker: Asker<'_>, now: Mono) -> Result<Self, Unforeseeable> {
        let config = directory.config();
        let mut databases = directory.databases();
        let (name, prepared) = match asker.database {
            Some(wanted) => databases.into_iter().find(|(name, _)| name == wanted),
            None if databases.len() > 1 => return Err(Unforeseeable::Ambiguous),
            None => databases.pop(),
        }
        .ok_or(Unforeseeable::Database)?;
        let mut backends = directory.backends();
        backends.retain(|one| {
            *one.database == *name && asker.user.is_none_or(|user| *one.user == *user)
        });
        let database = &prepared.database;
        let (routing, mode, pool_size) = match asker.user {
            None => settings(&config, database),
            Some(user) => {
                let user = config.users.get(user).ok_or(Unforeseeable::User)?;
                let size = config.pool_size(database, user);
                (user.routing.over(&database.routing), size.mode, size.size)
            }
        };
        Ok(Self { prepared, backends, routing, mode, pool_size, now })
    }

    /// Where it would run, and what that follows from.
    fn decision(&self, verdict: Verdict, sql: &[u8]) -> Vec<Finding> {
        let batch = Batch::of(verdict, sql);
        let (place, reason) = self.place(&batch);
        let (class, why) = match batch.class {
            Class::Begin(_) => ("begin", ""),
            Class::Empty => ("empty", ""),
            Class::End => ("end", ""),
            Class::Primary(why) => ("primary", why.as_str()),
            Class::Read => ("read", ""),
            Class::Savepoint => ("savepoint", ""),
        };
        let effects: Vec<String> =
            verdict.effects.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        let level = batch.asks.as_deref().and_then(|asks| asks.consistency);
        let level = level.unwrap_or(self.routing.consistency);
        let lag = batch.asks.as_deref().and_then(|asks| asks.max_lag);
        vec![
            finding("route", &place, reason),
            finding("class", class, why),
            finding("fingerprint", &format!("{:016x}", verdict.fingerprint), ""),
            finding("effects", &effects.join(", "), ""),
            finding("consistency", level.as_str(), self.meaning(level)),
            finding("max_lag", &format!("{:?}", lag.unwrap_or(self.routing.max_lag)), ""),
        ]
    }

    fn place(&self, batch: &Batch) -> (String, &'static str) {
        if batch.effects.contains(Effects::OURS) || batch.class == Class::Empty {
            return ("pgLagoon itself".to_owned(), Reason::Trivial.as_str());
        }
        if let Class::Begin(Begin { access: Access::Unspecified | Access::ReadWrite, .. }) =
            batch.class
            && self.routing.read_only_until_write == UntilWrite::On
        {
            return ("pgLagoon itself".to_owned(), Reason::HeldBack.as_str());
        }
        if self.mode == PoolMode::Session {
            return ("primary".to_owned(), Reason::PinnedSessionMode.as_str());
        }
        let facts = self.facts(batch);
        let edition = self.prepared.cluster.catalog().edition();
        let is_denied =
            |one: &Arc<Backend>| one.learned.knows(batch.fingerprint, edition, self.now);
        if facts.class == Class::Read && self.backends.iter().any(is_denied) {
            return ("primary".to_owned(), Reason::Learned.as_str());
        }
        let view = self.prepared.cluster.view();
        let route = route::decide(&facts, view, &mut Dice::new(self.now.0));
        let place = match route.target {
            Target::Primary => "primary".to_owned(),
            Target::Node(_) => "an eligible replica".to_owned(),
            Target::WaitFresh { .. } => {
                let wait = self.routing.read_wait;
                format!("a replica if one catches up within {wait:?}, else the primary")
            }
            Target::Refuse => "nowhere: it fails".to_owned(),
        };
        (place, route.reason.as_str())
    }

    fn facts(&self, batch: &Batch) -> Facts {
        let required = self.requirement(batch);
        let routing = &self.routing;
        Facts {
            class: class_by(routing.route, batch.class),
            isolation: Isolation::Default,
            access: Access::Unspecified,
            split: routing.read_write_split,
            required: required.instant,
            because: required.because,
            seen: None,
            now: self.now,
            max_lag: routing.max_lag,
            no_replica: routing.no_replica,
            patience: Patience::Left,
            full_at: u32::try_from(self.pool_size).unwrap_or(u32::MAX),
            slow_start: routing.slow_start,
            avoid: None,
        }
    }

    /// What a read must see of what others have written.
    fn requirement(&self, batch: &Batch) -> Requirement {
        let asks = batch.asks.as_deref().copied().unwrap_or_default();
        let cluster = &self.prepared.cluster;
        let required = match asks.consistency.unwrap_or(self.routing.consistency) {
            Consistency::Eventual | Consistency::Session | Consistency::Group => {
                Requirement::NOTHING
            }
            Consistency::Table => {
                let last = self.backends.first().map(|one| one.writes.last_to(batch.tables));
                Requirement::NOTHING.and(last.unwrap_or(Mono::ZERO), Reason::ReadAfterTableWrite)
            }
            Consistency::Strong => Requirement::NOTHING.and(self.now, Reason::StrongRead),
        };
        let oldest = asks.max_lag.map_or(Mono::ZERO, |lag| {
            let lag = u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX);
            Mono(self.now.min(cluster.view().held_at()).0.saturating_sub(lag))
        });
        let token = asks.after.map_or(Mono::ZERO, |token| match cluster.reach(token, self.now) {
            Reach::After(instant) => instant,
            Reach::Unknown | Reach::Foreign => Mono::MAX,
        });
        required.and(oldest, Reason::ReadTooFresh).and(token, Reason::ReadAfterToken)
    }

    fn meaning(&self, level: Consistency) -> &'static str {
        match level {
            Consistency::Eventual => "any state within max_lag",
            Consistency::Session => "for a session that has written nothing",
            Consistency::Group => "for a group that has written nothing",
            Consistency::Table if self.backends.is_empty() => "nobody has written",
            Consistency::Table => "what has been written to the relations counts",
            Consistency::Strong => "everything acknowledged before it comes",
        }
    }

    /// Each node, and why it would not do.
    fn nodes(&self, verdict: Verdict, sql: &[u8]) -> Vec<Finding> {
        let facts = self.facts(&Batch::of(verdict, sql));
        let cluster = &self.prepared.cluster;
        let standings: Vec<_> = route::standings(&facts, cluster.view()).collect();
        let mut findings = Vec::new();
        for report in cluster.report() {
            let item = format!("{} {}", report.role.as_str(), report.name);
            let standing = standings.iter().find(|(id, _)| *id == report.id);
            let behind = report.age.map_or_else(String::new, |age| format!("{age:?} behind"));
            findings.push(match standing {
                None => finding(item, report.state.as_str(), &report.reason),
                Some((_, standing @ Standing::Eligible)) => {
                    finding(item, standing.as_str(), &behind)
                }
                Some((_, standing)) if report.weight == 0 => {
                    finding(item, standing.as_str(), "its weight is 0")
                }
                Some((_, standing @ Standing::Catching)) => {
                    finding(item, standing.as_str(), facts.because.as_str())
                }
                Some((_, standing)) if report.reason.is_empty() => {
                    finding(item, standing.as_str(), &behind)
                }
                Some((_, standing)) => finding(item, standing.as_str(), &report.reason),
            });
        }
        findings
    }
}

/// What a user of whom nothing particular is configured goes by.
fn settings(config: &Config, database: &crate::config::Database) -> (Routing, PoolMode, usize) {
    let own = &database.overrides;
    let mode = own.pool_mode.unwrap_or(config.pool.mode);
    let size = own.pool_size.unwrap_or(config.pool.default_pool_size);
    (database.routing.clone(), mode, size)
}

fn finding(item: impl Into<String>, value: &str, reason: &str) -> Finding {
    Finding { item: item.into(), value: value.to_owned(), reason: reason.to_owned() }
}
