//! What must hold between keys that are each fine alone.

use crate::config::keys::join;
use crate::config::model::{
    ADMIN_DATABASES, AuthMethod, ClientTlsMode, Config, Overrides, Pool, Routing, Split, Trust,
    User, UserSecret,
};
use crate::config::problem::Problems;
use crate::config::value::Origin;

/// Notes every pair of keys that contradict each other.
///
/// `names` are of every user that is configured, be it well or not.
pub(super) fn check(config: &Config, names: &[&str], problems: &mut Problems) {
    databases(config, problems);
    users(config, problems);
    admin(config, names, problems);
    tls(config, problems);
    listen(config, problems);
    pool_sizes("pool", &config.pool, &Overrides::default(), problems);
    routing("routing", &config.routing, problems);
}

fn databases(config: &Config, problems: &mut Problems) {
    for (name, database) in &config.databases {
        let path = join("databases", name);
        if ADMIN_DATABASES.contains(&name.as_str()) {
            add(problems, &path, "the name is taken by the admin database; choose another");
        }
        if name == "*" {
            add(problems, &path, "there is no wildcard; each database needs a table of its own");
        }
        pool_sizes(&path, &config.pool, &database.overrides, problems);
        if database.routing != config.routing {
            routing(&join(&path, "routing"), &database.routing, problems);
        }
        let has_forced_user = database.nodes().any(|node| node.user.is_some());
        let unlike =
            database.nodes().find(|node| node.user.is_some() != database.primary.user.is_some());
        if let Some(node) = unlike.filter(|_| has_forced_user) {
            let fault = format!(
                "the primary's URL and that of {} must both name a user, or neither (then clients are themselves)",
                node.name
            );
            add(problems, &path, fault);
        }
    }
}

fn users(config: &Config, problems: &mut Problems) {
    for (name, user) in &config.users {
        let path = join("users", name);
        pool_sizes(&path, &config.pool, &user.overrides, problems);
        if is_md5(user) && config.listen.auth_method == AuthMethod::ScramSha256 {
            add(
                problems,
                &join(&path, "password"),
                "an md5 hash cannot serve listen.auth_method = \"scram-sha-256\"; store a SCRAM verifier or a \
                 password, or set the method to \"md5\"",
            );
        }
    }
}

fn admin(config: &Config, users: &[&str], problems: &mut Problems) {
    for (key, names) in
        [("admin_users", &config.admin.admin_users), ("stats_users", &config.admin.stats_users)]
    {
        for name in names.iter().filter(|name| !users.contains(&name.as_str())) {
            add(problems, &join("admin", key), format!("{name:?} is not one of the users"));
        }
    }
}

fn tls(config: &Config, problems: &mut Problems) {
    let client = &config.tls_client;
    for (key, file) in [("cert_file", &client.cert_file), ("key_file", &client.key_file)] {
        if file.is_none() && client.mode != ClientTlsMode::Disable {
            let fault = format!("missing; tls.client.mode = {:?} needs it", client.mode.as_str());
            add(problems, &join("tls.client", key), fault);
        }
    }
}

fn listen(config: &Config, problems: &mut Problems) {
    let Some(open) = config.listen.address.iter().find(|address| !address.is_local()) else {
        return;
    };
    if config.listen.trust == Trust::Loopback {
        for (name, _) in config.users.iter().filter(|(_, user)| user.secret == UserSecret::Trust) {
            let fault = format!(
                "has no password, and {open} is reachable from other machines; give a password, listen on a loopback \
                 address, or allow it with listen.trust = \"anywhere\" (--insecure)"
            );
            add(problems, &join("users", name), fault);
        }
    }
    if config.listen.auth_method == AuthMethod::Password
        && config.tls_client.mode != ClientTlsMode::Require
    {
        let fault = format!(
            "\"password\" sends clear text, and {open} is reachable from other machines; set tls.client.mode = \
             \"require\" or another method"
        );
        add(problems, "listen.auth_method", fault);
    }
}

fn pool_sizes(path: &str, pool: &Pool, own: &Overrides, problems: &mut Problems) {
    let is_global = path == "pool";
    let size = own.pool_size.unwrap_or(pool.default_pool_size);
    let min = own.min_pool_size.unwrap_or(pool.min_pool_size);
    if min > size && (is_global || *own != Overrides::default()) {
        let key = if is_global { "default_pool_size" } else { "pool_size" };
        let fault = format!("{min} is more than {key}, {size}");
        add(problems, &join(path, "min_pool_size"), fault);
    }
}

fn routing(path: &str, routing: &Routing, problems: &mut Problems) {
    if routing.read_write_split == Split::On && routing.poll_interval >= routing.max_lag {
        let fault = "must be shorter than max_lag, or no replica is ever known to be fresh enough";
        add(problems, &join(path, "poll_interval"), fault);
    }
}

fn is_md5(user: &User) -> bool {
    matches!(&user.secret, UserSecret::Verifier(verifier) if verifier.expose().starts_with("md5"))
}

fn add(problems: &mut Problems, key: &str, fault: impl Into<String>) {
    problems.add(key, fault, Origin::Default);
}
