//! Which node a statement runs on.

use std::time::Duration;

use crate::config::codec::{Inherited, Keyword, Names, Percent, Switch, Text, Time, TimeAboveZero};
use crate::config::section::{keywords, section};

section! {
    /// `[routing]`: which node a statement runs on. `[databases.<name>.routing]` takes the same keys.
    Routing {
        /// Where statements go that may go to a replica: "auto" (as the rules say), "primary", or "replica" (to a replica
        /// also where the doubt is only about functions and tables that pgLagoon does not know).
        route: Way, Keyword, Way::Auto, Reload;
        /// Whether a BEGIN is held back, and the reads of its READ COMMITTED transaction run on replicas, until something
        /// else comes: that begins the transaction on the primary, where the rest of it runs. For applications whose
        /// default_transaction_isolation is "read committed".
        read_only_until_write: UntilWrite, Switch, UntilWrite::Off, Reload;
        /// Whether reads go to replicas. With false every statement runs on the primary.
        read_write_split: Split, Switch, Split::On, Reload;
        /// How far behind the primary a replica may be to answer reads.
        max_lag: Duration, TimeAboveZero, Duration::from_secs(1), Reload;
        /// What a read must see: "session" (all that its own connection wrote before), "group" (all that any
        /// connection of its `group` wrote before), "table" (all that anybody wrote by way of this pgLagoon to the tables
        /// that it reads), "strong" (all that anybody wrote anywhere before the read came) or
        /// "eventual" (any state no older than `max_lag`).
        consistency: Consistency, Keyword, Consistency::Session, Reload;
        /// Whether a read, besides, never sees less than the session's reads before.
        monotonic: Monotonic, Switch, Monotonic::Off, Reload;
        /// Which connections are a group where the session does not name one (SET pglagoon.group): those of one "user"
        /// or those with one "application_name".
        group: Grouping, Keyword, Grouping::User, Reload;
        /// How long a read waits for a replica to catch up with what it must see before it goes to the primary; 0 means
        /// not at all.
        read_wait: Duration, Time, Duration::from_millis(10), Reload;
        /// How one of several eligible replicas is chosen: `"least_loaded"` (of two picked at random the one with less to
        /// do: servers in use and the time that it has taken of late, by weight).
        balance: Balance, Keyword, Balance::LeastLoaded, Reload;
        /// The zone that this pgLagoon is in. Reads go to replicas of the same zone first, and to others when those are
        /// down, too far behind, or have all connections of their pool in use; "" means that zones do not matter.
        zone: String, Text, String::new(), Reload;
        /// How long a replica that returns gets a smaller share of the reads, which grows until then; 0 means not at all.
        slow_start: Duration, Time, Duration::from_secs(10), Reload;
        /// What happens to a read that no replica can answer: "primary" (it runs there) or "error".
        no_replica: NoReplica, Keyword, NoReplica::Primary, Reload;
        /// Percent of a pool's connections to the primary that reads may use at once which belong on replicas: while those
        /// fail or lag, and for reads that a replica has failed. What comes beyond that waits; 100 means no limit.
        primary_read_share: usize, Percent, 50, Reload;
        /// Whether a node that is promoted becomes the primary: of those that accept writes the one on the highest timeline.
        /// With false only the node that is configured as primary is ever written to.
        follow_promotion: Promotions, Switch, Promotions::Followed, Reload;
        /// Whether replicas that were within `max_lag` when the primary was lost go on answering reads.
        stale_reads_without_primary: StaleReads, Switch, StaleReads::On, Reload;
        /// How long a replica that failed or lagged must be well before it gets reads again.
        return_delay: Duration, Time, Duration::from_secs(1), Reload;
        /// How often each node's position is asked for while reads want replicas.
        poll_interval: Duration, TimeAboveZero, Duration::from_millis(5), Reload;
        /// How often it is asked for while nobody wants replicas.
        idle_poll_interval: Duration, TimeAboveZero, Duration::from_millis(250), Reload;
        /// How long a node may take to answer before it counts as down.
        poll_timeout: Duration, TimeAboveZero, Duration::from_secs(2), Reload;
        /// Functions that a replica may run although the catalog does not prove it: names, or names with a schema.
        safe_functions: Vec<String>, Names, Vec::new(), Reload;
        /// Functions that keep a statement on the primary, also through views: names, or names with a schema.
        unsafe_functions: Vec<String>, Names, Vec::new(), Reload;
        /// Tables and views that are read on the primary only: names, or names with a schema.
        primary_tables: Vec<String>, Names, Vec::new(), Reload;
        /// How often the primary is asked whether somebody has changed the catalog (functions, views, tables). What
        /// clients of pgLagoon change is seen at once.
        catalog_interval: Duration, TimeAboveZero, Duration::from_secs(5), Reload;
    }
}

keywords! {
    /// Whether reads go to replicas.
    Split {
        /// They do.
        On = "true",
        /// Every statement runs on the primary.
        Off = "false",
    }
}

keywords! {
    /// Whether a node that is promoted becomes the primary.
    Promotions {
        /// It does.
        Followed = "true",
        /// Only the configured one is.
        Ignored = "false",
    }
}

section! {
    /// Keys of `[routing]` for one user, which beat the database's; what is `None` is as there.
    UserRouting {
        /// As `routing.route`.
        route: Option<Way>, Inherited<Keyword>, None, Reload;
        /// As `routing.consistency`.
        consistency: Option<Consistency>, Inherited<Keyword>, None, Reload;
        /// As `routing.monotonic`.
        monotonic: Option<Monotonic>, Inherited<Switch>, None, Reload;
        /// As `routing.read_only_until_write`.
        read_only_until_write: Option<UntilWrite>, Inherited<Switch>, None, Reload;
    }
}

impl UserRouting {
    /// The routing of this user in a database.
    #[must_use]
    pub fn over(&self, database: &Routing) -> Routing {
        Routing {
            route: self.route.unwrap_or(database.route),
            consistency: self.consistency.unwrap_or(database.consistency),
            monotonic: self.monotonic.unwrap_or(database.monotonic),
            read_only_until_write: self
                .read_only_until_write
                .unwrap_or(database.read_only_until_write),
            ..database.clone()
        }
    }
}

keywords! {
    /// Whether a BEGIN is held back until its transaction writes.
    UntilWrite {
        /// It is.
        On = "true",
        /// It is not.
        Off = "false",
    }
}

keywords! {
    /// Where statements go that may go to a replica.
    Way {
        /// As the rules say.
        Auto = "auto",
        /// To the primary.
        Primary = "primary",
        /// To a replica, also where the doubt is only about names that pgLagoon does not know.
        Replica = "replica",
    }
}

keywords! {
    /// What a read must see.
    Consistency {
        /// Any state that is no older than `max_lag`.
        Eventual = "eventual",
        /// Everything that the session wrote before.
        Session = "session",
        /// Everything that any session of its group wrote before.
        Group = "group",
        /// Everything that anybody wrote by way of this process to the tables that it reads.
        Table = "table",
        /// Everything that was acknowledged to anybody before the read came.
        Strong = "strong",
    }
}

keywords! {
    /// Whether what a session reads never goes back in time.
    Monotonic {
        /// It does not.
        On = "true",
        /// Between two replicas it may.
        Off = "false",
    }
}

keywords! {
    /// Which sessions are a group.
    Grouping {
        /// Those that logged in as the same user.
        User = "user",
        /// Those with the same `application_name` in the startup packet.
        ApplicationName = "application_name",
    }
}

keywords! {
    /// How one of several eligible replicas is chosen.
    Balance {
        /// The one of two that has less to do in proportion to its weight.
        LeastLoaded = "least_loaded",
    }
}

keywords! {
    /// What happens to a read that no replica can answer.
    NoReplica {
        /// It runs on the primary.
        Primary = "primary",
        /// It fails.
        Error = "error",
    }
}

keywords! {
    /// Whether replicas answer reads while no primary is there.
    StaleReads {
        /// Those that were within `max_lag` at the last good poll do.
        On = "true",
        /// None does.
        Off = "false",
    }
}
