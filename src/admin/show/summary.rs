//! SHOW CONFIG, HELP, LISTS, STATE and VERSION.

use super::{Scene, Show};
use crate::admin::command::{Argument, COMMANDS, Role};
use crate::admin::table::{Cell, Row, int, text};
use crate::config::Changes;
use crate::telemetry::overview::{BackendOverview, Service};

/// Every key. `changeable` is "yes" where a reload applies a changed value.
pub(in crate::admin) const CONFIG: Show = Show {
    columns: &[text("key"), text("value"), text("default"), text("changeable")],
    rows: |scene| {
        let changeable = |changes| match changes {
            Changes::Reload => "yes",
            Changes::Restart => "no",
        };
        let rows = scene.config.rows().into_iter();
        rows.map(|row| {
            let changes = changeable(row.changes).into();
            vec![row.key.into(), row.value.into(), row.default.into(), changes]
        })
        .collect()
    },
};

/// How many there are of everything. What has no counterpart here is 0.
pub(in crate::admin) const LISTS: Show =
    Show { columns: &[text("list"), int("items")], rows: lists };

fn lists(scene: &Scene) -> Vec<Row> {
    let overview = &scene.overview;
    let backends = || overview.backends.iter();
    let pools = || backends().flat_map(|one| &one.pools);
    let clients: u64 = backends().map(BackendOverview::client_count).sum();
    let used = usize::try_from(clients).unwrap_or(usize::MAX);
    let lists = [
        ("databases", overview.databases.len()),
        ("users", overview.users.len()),
        ("peers", 0),
        ("pools", pools().count()),
        ("peer_pools", 0),
        ("free_clients", 0),
        ("used_clients", used),
        ("login_clients", overview.connected.saturating_sub(used)),
        ("free_servers", pools().map(|pool| pool.idle).sum()),
        ("used_servers", pools().map(|pool| pool.busy).sum()),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
        ("nodes", overview.databases.iter().map(|one| one.nodes.len()).sum()),
    ];
    lists.into_iter().map(|(list, items)| vec![list.into(), items.into()]).collect()
}

/// Whether anything is paused.
pub(in crate::admin) const STATE: Show = Show {
    columns: &[text("key"), text("value")],
    rows: |scene| {
        let paused = scene.overview.databases.iter().any(|one| one.service == Service::Paused);
        let yes = |is_so: bool| Cell::from(if is_so { "yes" } else { "no" });
        let rows = [("active", yes(!paused)), ("paused", yes(paused)), ("suspended", yes(false))];
        rows.into_iter().map(|(key, value)| vec![key.into(), value]).collect()
    },
};

/// The version that runs.
pub(in crate::admin) const VERSION: Show = Show {
    columns: &[text("version")],
    rows: |_| vec![vec![concat!("pgLagoon ", env!("CARGO_PKG_VERSION")).into()]],
};

/// All commands, and who may run them.
pub(in crate::admin) const HELP: Show = Show {
    columns: &[text("command"), text("needs"), text("description")],
    rows: |_| help().map(|one| one.into_iter().map(Cell::from).collect()).collect(),
};

/// The commands that people are told of: how it is written, the list of users, what it does.
pub(in crate::admin) fn help() -> impl Iterator<Item = [String; 3]> {
    let told = COMMANDS.iter().filter(|command| !command.about.is_empty());
    told.map(|command| {
        let written = match command.argument {
            Argument::Anything | Argument::Nothing => command.verb.to_owned(),
            Argument::Database => format!("{} [database]", command.verb),
            Argument::Statement(word) => {
                format!("{} {word} [FOR database [USER user]:] statement", command.verb)
            }
            Argument::Word(word) => format!("{} {word}", command.verb),
        };
        let needs = match command.needs {
            Role::Stats => "stats_users",
            Role::Admin => "admin_users",
        };
        [written, needs.to_owned(), command.about.to_owned()]
    })
}
