//! Contradictions: values that are each allowed and make no sense together.

use core::net::SocketAddr;

use super::complaint::{Complaint, Mistake, Remedy};
use super::keys::KEYS;
use super::listener_rules;
use super::load::Checked;
use super::schema::find;
use super::setting::Setting;
use super::source::Origin;
use super::{Anonymous, Config, Cores};

/// A contradiction between the values of some settings.
pub struct Contradiction {
    /// What it depends on.
    pub settings: Vec<Setting>,
    /// What to say about it.
    pub complaint: Complaint,
}

/// A rule: the keys that it is about, and what is wrong with their values, if anything.
struct Rule {
    paths: &'static [&'static str],
    broken: fn(&Config) -> Option<String>,
}

const RULES: [Rule; 10] = [
    Rule { paths: &["listeners.tcp"], broken: nowhere_to_come_in },
    Rule { paths: &["listeners.tcp"], broken: listeners_overlap },
    Rule { paths: &["listeners.tcp", "admin.listen"], broken: admin_is_in_the_way },
    Rule {
        paths: &["listeners.tcp", "auth.anonymous", "auth.password_file", "auth.token_keys"],
        broken: the_world_is_let_in,
    },
    Rule { paths: &["auth.anonymous", "auth.password_file", "auth.token_keys"], broken: nobody_is_let_in },
    Rule { paths: &["auth.acl_file", "auth.rules_file"], broken: rules_stand_in_two_files },
    Rule { paths: &["runtime.cores", "runtime.shards"], broken: cores_stay_idle },
    Rule { paths: &["turn.bytes_max", "turn.read_bytes_max"], broken: one_read_fills_a_turn },
    Rule { paths: &["limits.subscriptions_max", "limits.shared_subscriptions_max"], broken: more_shared_than_all },
    Rule { paths: &["limits.backlog_patience", "limits.write_stall"], broken: closed_before_patience_ends },
];

/// What only tokens have.
const OF_TOKENS: [&str; 9] = [
    "token_issuer",
    "token_audience",
    "token_user_claim",
    "token_client_id_claim",
    "token_groups_claim",
    "token_leeway",
    "token_carrier",
    "token_user",
    "token_needs_expiry",
];

/// Every rule that is broken.
pub fn contradictions(checked: &Checked) -> Vec<Contradiction> {
    let mut found = Vec::new();
    for rule in &RULES {
        let Some(what) = (rule.broken)(checked.config()) else { continue };
        found.push(contradiction(checked, &by_path(rule.paths), &[], &what));
    }
    found.extend(idle(checked));
    found.extend(listener_rules::contradictions(checked));
    found
}

/// Whoever says what tokens must be expects that some are asked for.
fn idle(checked: &Checked) -> Vec<Contradiction> {
    if checked.config().auth.takes_tokens() {
        return Vec::new();
    }
    let plain = Config::default();
    let key = |name: &&str| find("auth", name).expect("the list names keys of the section");
    let is_set = |key: &usize| (KEYS[*key].get)(checked.config()) != (KEYS[*key].get)(&plain);
    let set = OF_TOKENS.iter().map(key).filter(is_set);
    let told = |key| {
        let what = "this does nothing: without keys no token is taken";
        contradiction(checked, &[Setting::Key(key)], &by_path(&["auth.token_keys"]), what)
    };
    set.map(told).collect()
}

/// The keys of the table that these paths name.
pub fn by_path(paths: &[&str]) -> Vec<Setting> {
    let key = |path: &&str| path.split_once('.').and_then(|(section, name)| find(section, name));
    paths.iter().map(|path| Setting::Key(key(path).expect("a rule names keys of the table"))).collect()
}

/// A contradiction that stands where that of the `blamed` was set whose source wins over those of the others of them, of
/// several in one source at the last of this list; it names all the others, and `beside` them these.
pub fn contradiction(checked: &Checked, blamed: &[Setting], beside: &[Setting], what: &str) -> Contradiction {
    let last =
        blamed.iter().copied().max_by_key(|setting| &checked.place(*setting).origin).expect("somebody is blamed");
    let settings: Vec<Setting> = blamed.iter().chain(beside).copied().collect();
    let others: Vec<String> =
        settings.iter().filter(|setting| **setting != last).map(|setting| set_at(checked, *setting)).collect();
    let text = if others.is_empty() { what.to_owned() } else { format!("{what} ({})", others.join(", ")) };
    let complaint = Complaint {
        place: checked.place(last).clone(),
        key: Some(last.path(checked.config()).into()),
        mistake: Mistake::Contradiction(text.into()),
        remedy: Remedy::None,
    };
    Contradiction { settings, complaint }
}

/// `limits.write_stall = "30s": the default`
fn set_at(checked: &Checked, setting: Setting) -> String {
    let place = checked.place(setting);
    let origin = if place.origin == Origin::Default { "the default".to_owned() } else { place.to_string() };
    format!("{} = {}: {origin}", setting.path(checked.config()), setting.written(checked.config()))
}

/// Who wants a way in has to be offered one.
fn nowhere_to_come_in(config: &Config) -> Option<String> {
    let listeners = &config.listeners;
    let is_closed = listeners.tcp.is_empty() && listeners.named.is_empty();
    is_closed.then(|| "clients could come in nowhere: an address is missing, or a listener of its own".to_owned())
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
        "{outside} is reached from other machines, and anybody would be let in: name a password file or the keys of tokens, or say that this is meant \
         with auth.anonymous = \"yes\""
    ))
}

fn nobody_is_let_in(config: &Config) -> Option<String> {
    let auth = &config.auth;
    let is_closed = !auth.lets_anybody_in() && !auth.has_users() && !auth.takes_tokens();
    let is_all = config.listeners.named.is_empty(); // a listener of its own may have other proofs
    (is_closed && is_all)
        .then(|| "nobody could come in: there is no password file, and there are no keys of tokens".to_owned())
}

fn rules_stand_in_two_files(config: &Config) -> Option<String> {
    let is_named = |path: &std::path::Path| !path.as_os_str().is_empty();
    let are_both = is_named(&config.auth.acl_file) && is_named(&config.auth.rules_file);
    are_both.then(|| "there are two files of rules, and nothing says which of them decides".to_owned())
}

/// Whether two listeners want the same port of the same address. What the kernel chooses is never the same.
pub fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
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
