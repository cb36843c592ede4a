//! `[users.<name>]`, and the users that the primaries' URLs stand for when there is none.

use std::collections::BTreeMap;

use crate::config::codec::Switch;
use crate::config::keys::{Keys, join};
use crate::config::model::{Database, Overrides, User, UserRouting, UserSecret};
use crate::config::problem::Problems;
use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::config::value::Origin;

/// Reads one user; `None` if it has no usable secret, which is noted.
pub(super) fn read(keys: &mut Keys<'_>, routing: UserRouting) -> Option<User> {
    let overrides = Overrides::read(keys, &Overrides::default());
    let server_password = keys.text("server_password").map(Secret::new);
    Some(User { secret: secret(keys)?, server_password, overrides, routing })
}

fn secret(keys: &mut Keys<'_>) -> Option<UserSecret> {
    let is_trusted = keys.read::<bool, Switch>("trust", &false);
    match (keys.text("password"), is_trusted) {
        (None, true) => Some(UserSecret::Trust),
        (Some(_), true) => {
            let fault = "a user has either a password or trust = true, not both";
            keys.fault("trust", fault, keys.origin("trust"));
            None
        }
        (Some(""), false) => {
            let fault = "is empty; for a user without a password write trust = true";
            keys.fault("password", fault, keys.origin("password"));
            None
        }
        (Some(password), false) => password_or_verifier(keys, password),
        (None, false) => {
            let fault = "missing; give a password, a verifier (SCRAM-SHA-256$... or md5...) or trust = true";
            keys.fault("password", fault, Origin::Default);
            None
        }
    }
}

/// A password, unless it looks like what `pg_authid.rolpassword` holds.
fn password_or_verifier(keys: &mut Keys<'_>, text: &str) -> Option<UserSecret> {
    let is_md5 = text.strip_prefix("md5").is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    });
    if text.starts_with(SCRAM) && !is_scram_verifier(text) {
        let fault =
            "is no valid SCRAM verifier: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>";
        keys.fault("password", fault, keys.origin("password"));
        return None;
    }
    if is_md5 || text.starts_with(SCRAM) {
        return Some(UserSecret::Verifier(Secret::new(text)));
    }
    Some(UserSecret::Password(Secret::new(text)))
}

/// Whether the parts of a verifier are there; what they say is for the exchange to use.
fn is_scram_verifier(text: &str) -> bool {
    let parts = text.strip_prefix(SCRAM).and_then(|rest| rest.split_once('$'));
    let Some((head, keys)) = parts else { return false };
    let (Some((iterations, salt)), Some((stored, server))) =
        (head.split_once(':'), keys.split_once(':'))
    else {
        return false;
    };
    let base64 = |text: &str| {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        !text.is_empty() && text.bytes().all(valid)
    };
    iterations.parse::<u32>().is_ok_and(|iterations| iterations > 0)
        && [salt, stored, server].into_iter().all(base64)
}

/// The users of the primaries' URLs, who are the clients where no user is configured.
pub(super) fn from_primaries(
    databases: &BTreeMap<String, Database>,
    problems: &mut Problems,
) -> BTreeMap<String, User> {
    let mut users: BTreeMap<String, User> = BTreeMap::new();
    for (name, database) in databases {
        let path = join(&join("databases", name), "primary");
        let Some(user) = &database.primary.user else {
            let fault =
                "no [users.<name>] is configured and the URL names no user, so nobody could log in";
            problems.add(path, fault, Origin::Default);
            continue;
        };
        let password = database.primary.password.clone();
        let secret = password.map_or(UserSecret::Trust, UserSecret::Password);
        let (overrides, routing) = (Overrides::default(), UserRouting::default());
        let new = User { secret, server_password: None, overrides, routing };
        match users.get(user) {
            Some(known) if *known != new => {
                let fault = format!(
                    "another primary's URL gives {user:?} another password; configure [users.<name>]"
                );
                problems.add(path, fault, Origin::Default);
            }
            _ => {
                users.insert(user.clone(), new);
            }
        }
    }
    users
}

const SCRAM: &str = "SCRAM-SHA-256$";
