//! Contradictions: values that are each allowed and make no sense together.

use core::net::SocketAddr;

use super::address::{is_encrypted, is_overheard};
use super::complaint::{Complaint, Mistake, Remedy};
use super::keys::KEYS;
use super::listener_rules;
use super::load::Checked;
use super::schema::find;
use super::setting::Setting;
use super::source::Origin;
use super::{Anonymous, Auth, Config, Cores};

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

const RULES: [Rule; 12] = [
    Rule { paths: &["listeners.tcp"], broken: nowhere_to_come_in },
    Rule { paths: &["listeners.tcp"], broken: listeners_overlap },
    Rule { paths: &["listeners.tcp", "admin.listen"], broken: admin_is_in_the_way },
    Rule {
        paths: &["listeners.tcp", "auth.anonymous", "auth.password_file", "auth.token_keys", "auth.hook_url"],
        broken: the_world_is_let_in,
    },
    Rule {
        paths: &["auth.anonymous", "auth.password_file", "auth.token_keys", "auth.hook_url"],
        broken: nobody_is_let_in,
    },
    Rule { paths: &["auth.token_keys_refresh", "auth.token_keys_keep"], broken: keys_end_too_soon },
    Rule {
        paths: &["auth.token_keys_url", "auth.hook_url", "auth.hook_rules_url", "auth.web_plaintext"],
        broken: anybody_could_answer,
    },
    Rule { paths: &["auth.acl_file", "auth.rules_file"], broken: rules_stand_in_two_files },
    Rule { paths: &["runtime.cores", "runtime.shards"], broken: cores_stay_idle },
    Rule { paths: &["turn.bytes_max", "turn.read_bytes_max"], broken: one_read_fills_a_turn },
    Rule { paths: &["limits.subscriptions_max", "limits.shared_subscriptions_max"], broken: more_shared_than_all },
    Rule { paths: &["limits.backlog_patience", "limits.write_stall"], broken: closed_before_patience_ends },
];

/// Keys of `[auth]` that do nothing without another one: whoever sets them expects something that does not happen.
struct Idle {
    names: &'static [&'static str],
    because: &'static [&'static str],
    is_idle: fn(&Auth) -> bool,
    why: &'static str,
}

const IDLE: [Idle; 5] = [
    Idle {
        names: &["acl_end"],
        because: &["auth.acl_file"],
        is_idle: |auth| auth.acl_file.as_os_str().is_empty(),
        why: "there is no acl_file",
    },
    Idle {
        names: &[
            "token_issuer",
            "token_audience",
            "token_user_claim",
            "token_client_id_claim",
            "token_groups_claim",
            "token_acl_claim",
            "token_leeway",
            "token_carrier",
            "token_user",
            "token_needs_expiry",
        ],
        because: &["auth.token_keys"],
        is_idle: |auth| !auth.takes_tokens(),
        why: "without keys no token is taken",
    },
    Idle {
        names: &["token_keys_refresh", "token_keys_keep", "token_keys_timeout"],
        because: &["auth.token_keys_url"],
        is_idle: |auth| auth.token_keys_url.is_none(),
        why: "no keys are fetched",
    },
    Idle {
        names: &["hook_secret_file", "hook_timeout", "hook_cache", "hook_cache_denials", "hook_connections"],
        because: &["auth.hook_url", "auth.hook_rules_url"],
        is_idle: |auth| auth.hook_url.is_none() && auth.hook_rules_url.is_none(),
        why: "nobody is asked",
    },
    Idle {
        names: &["web_ca"],
        because: &["auth.token_keys_url", "auth.hook_url", "auth.hook_rules_url"],
        is_idle: |auth| !auth.web_servers().any(|(_, url)| is_encrypted(url)),
        why: "no server is asked by https",
    },
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

/// Whoever says what tokens must be expects that some are asked for, and so on.
fn idle(checked: &Checked) -> Vec<Contradiction> {
    let plain = Config::default();
    let key = |name: &&str| find("auth", name).expect("the list names keys of the section");
    let is_set = |key: &usize| (KEYS[*key].get)(checked.config()) != (KEYS[*key].get)(&plain);
    let mut found = Vec::new();
    for rule in IDLE.iter().filter(|rule| (rule.is_idle)(&checked.config().auth)) {
        for key in rule.names.iter().map(key).filter(is_set) {
            let what = format!("this does nothing: {}", rule.why);
            found.push(contradiction(checked, &[Setting::Key(key)], &by_path(rule.because), &what));
        }
    }
    found
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
        "{outside} is reached from other machines, and anybody would be let in: name a password file, the keys of tokens or a hook, or say that this is \
         meant with auth.anonymous = \"yes\""
    ))
}

fn nobody_is_let_in(config: &Config) -> Option<String> {
    let auth = &config.auth;
    let is_closed = !auth.lets_anybody_in() && !auth.has_users() && !auth.takes_tokens() && !auth.asks_who_comes();
    let is_all = config.listeners.named.is_empty(); // a listener of its own may have other proofs
    (is_closed && is_all)
        .then(|| "nobody could come in: there is no password file, no hook, and there are no keys of tokens".to_owned())
}

fn keys_end_too_soon(config: &Config) -> Option<String> {
    let auth = &config.auth;
    let is_broken = auth.token_keys_url.is_some() && auth.token_keys_keep_s < auth.token_keys_refresh_s;
    is_broken.then(|| "keys would hold no longer before they are fetched again".to_owned())
}

/// A password, or the keys that decide who comes in, on a way that others can read and write.
fn anybody_could_answer(config: &Config) -> Option<String> {
    let auth = &config.auth;
    let (path, url) = auth.web_servers().find(|(_, url)| is_overheard(url)).filter(|_| !auth.web_plaintext)?;
    Some(format!(
        "{path} leads to another machine without encryption, {url}: name it with https, or say that this is meant with \
         auth.web_plaintext = true"
    ))
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
