//! Contradictions: values that are each allowed and make no sense together.

use core::net::SocketAddr;

use super::complaint::{Complaint, Mistake, Remedy};
use super::keys::KEYS;
use super::load::Checked;
use super::schema::find_path;
use super::source::Origin;
use super::{Anonymous, Config, Cores};

/// A contradiction between the values of some keys.
pub struct Contradiction {
    /// The keys, by their number in the table.
    pub keys: Vec<usize>,
    /// What to say about it.
    pub complaint: Complaint,
}

/// A rule: the keys that it is about, and what is wrong with their values, if anything.
struct Rule {
    paths: &'static [&'static str],
    broken: fn(&Config) -> Option<String>,
}

const RULES: [Rule; 9] = [
    Rule { paths: &["listeners.tcp"], broken: listeners_overlap },
    Rule { paths: &["listeners.tcp", "admin.listen"], broken: admin_is_in_the_way },
    Rule { paths: &["listeners.tcp", "auth.anonymous", "auth.password_file"], broken: the_world_is_let_in },
    Rule { paths: &["auth.anonymous", "auth.password_file"], broken: nobody_is_let_in },
    Rule { paths: &["auth.acl_file", "auth.rules_file"], broken: rules_stand_in_two_files },
    Rule { paths: &["runtime.cores", "runtime.shards"], broken: cores_stay_idle },
    Rule { paths: &["turn.bytes_max", "turn.read_bytes_max"], broken: one_read_fills_a_turn },
    Rule { paths: &["limits.subscriptions_max", "limits.shared_subscriptions_max"], broken: more_shared_than_all },
    Rule { paths: &["limits.backlog_patience", "limits.write_stall"], broken: closed_before_patience_ends },
];

/// Every rule that is broken. A complaint stands where the value was set whose source wins over those of the others.
pub fn contradictions(checked: &Checked) -> Vec<Contradiction> {
    let mut found = Vec::new();
    for rule in &RULES {
        let Some(what) = (rule.broken)(checked.config()) else { continue };
        let keys: Vec<usize> =
            rule.paths.iter().map(|path| find_path(path).expect("a rule names keys of the table")).collect();
        found.push(Contradiction { complaint: complaint(checked, &keys, &what), keys });
    }
    found
}

fn complaint(checked: &Checked, keys: &[usize], what: &str) -> Complaint {
    let last = keys.iter().copied().max_by_key(|key| &checked.place(*key).origin).expect("a rule names keys");
    let others: Vec<String> = keys.iter().filter(|key| **key != last).map(|key| set_at(checked, *key)).collect();
    let text = if others.is_empty() { what.to_owned() } else { format!("{what} ({})", others.join(", ")) };
    Complaint {
        place: checked.place(last).clone(),
        key: Some(KEYS[last].path().into()),
        mistake: Mistake::Contradiction(text.into()),
        remedy: Remedy::None,
    }
}

/// `limits.write_stall = "30s", default`
fn set_at(checked: &Checked, key: usize) -> String {
    let place = checked.place(key);
    let origin = if place.origin == Origin::Default { "the default".to_owned() } else { place.to_string() };
    format!("{} = {}: {origin}", KEYS[key].path(), KEYS[key].written(checked.config()))
}

fn listeners_overlap(config: &Config) -> Option<String> {
    let tcp = &config.listeners.tcp;
    let (address, earlier) = tcp.iter().enumerate().find_map(|(at, address)| {
        let earlier = tcp[..at].iter().find(|earlier| overlap(**earlier, *address))?;
        Some((address, earlier))
    })?;
    Some(format!("{address} is taken by {earlier} of the same list"))
}

fn admin_is_in_the_way(config: &Config) -> Option<String> {
    let admin = config.admin.listen?;
    let taken = config.listeners.tcp.iter().find(|address| overlap(**address, admin))?;
    Some(format!("the operator's door {admin} and clients at {taken} cannot share a port"))
}

/// Without a word from the operator, whom nobody knows comes from this machine.
fn the_world_is_let_in(config: &Config) -> Option<String> {
    let auth = &config.auth;
    let is_open = auth.lets_anybody_in() && auth.anonymous == Anonymous::Auto;
    let outside = config.listeners.tcp.iter().find(|address| !address.ip().is_loopback()).filter(|_| is_open)?;
    Some(format!(
        "{outside} is reached from other machines, and anybody would be let in: name a password file, or say that this is meant with \
         auth.anonymous = \"yes\""
    ))
}

fn nobody_is_let_in(config: &Config) -> Option<String> {
    let auth = &config.auth;
    let is_closed = !auth.lets_anybody_in() && auth.password_file.as_os_str().is_empty();
    is_closed.then(|| "nobody could come in: there is no password file".to_owned())
}

fn rules_stand_in_two_files(config: &Config) -> Option<String> {
    let is_named = |path: &std::path::Path| !path.as_os_str().is_empty();
    let are_both = is_named(&config.auth.acl_file) && is_named(&config.auth.rules_file);
    are_both.then(|| "there are two files of rules, and nothing says which of them decides".to_owned())
}

/// Whether two listeners want the same port of the same address. What the kernel chooses is never the same.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same_address = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && one.is_ipv4() == other.is_ipv4() && is_same_address
}

fn cores_stay_idle(config: &Config) -> Option<String> {
    let cores = match &config.runtime.cores {
        Cores::Auto => return None,
        Cores::Count(count) => *count,
        Cores::List(cores) => cores.len(),
    };
    let shards = config.runtime.shards.filter(|shards| *shards < cores)?;
    Some(format!("{cores} cores are asked for and {shards} would get a shard"))
}

fn one_read_fills_a_turn(config: &Config) -> Option<String> {
    let turn = &config.turn;
    let is_broken = turn.read_bytes_max > turn.bytes_max;
    is_broken.then(|| "one connection could bring more in a turn than the whole turn may read".to_owned())
}

fn more_shared_than_all(config: &Config) -> Option<String> {
    let limits = &config.limits;
    let is_broken = limits.shared_subscriptions_max > limits.subscriptions_max;
    is_broken.then(|| "more shared subscriptions than subscriptions of any kind".to_owned())
}

fn closed_before_patience_ends(config: &Config) -> Option<String> {
    let limits = &config.limits;
    let is_broken = limits.backlog_patience_ms > limits.write_stall_ms;
    is_broken.then(|| "a receiver would be closed before the patience with it ends".to_owned())
}
