//! The keys of `[auth]`: who may come in, and what they may do.

use super::{DAY_MS, MINUTE_MS, YEAR_S};
use crate::config::field::{Field, Spelled};
use crate::config::kind::{FreeText, Kind};
use crate::config::list::List;
use crate::config::plaintext::PlaintextPasswords;
use crate::config::schema::Key;
use crate::config::text::Unit::{Millis, Seconds};
use crate::config::{Anonymous, Config};
use crate::engine::accounts::bans::FAILURES_MAX;
use crate::engine::auth::token::terms::{Carrier, UserName};

/// More than a few minutes is no difference between clocks: RFC 7519, section 4.1.4.
const LEEWAY_S_MAX: u64 = 10 * 60;

/// The name of a claim that tokens may have.
const CLAIM: Kind = Kind::Text(FreeText { what: "the name of a claim", example: "groups", is_optional: true });

/// In the order of the example file.
pub(super) const KEYS: &[Key<Config>] = &[
    key!(
        auth.anonymous,
        Kind::Word(Anonymous::WORDS),
        "Whether clients come in that give neither name nor password; \"auto\" is where there is no password file, no token_keys, no token_keys_url and no hook_url."
    ),
    key!(
        auth.plaintext_passwords,
        Kind::Word(PlaintextPasswords::WORDS),
        "What becomes of passwords and tokens that come over a network without TLS, where anybody on the way can read them: \"warn\" tells the operator at the start, \"refuse\" refuses their clients. Not of what comes from a proxy."
    ),
    key!(
        auth.password_file,
        Kind::File,
        "Users and the hashes of their passwords, as `pregon passwd` and mosquitto_passwd write them; \"\" is none."
    ),
    key!(
        auth.acl_file,
        Kind::File,
        "What clients may publish and be sent, as in mosquitto's acl_file; \"\" is no rules, so everybody may do everything."
    ),
    key!(
        auth.acl_end,
        Kind::Flag,
        "Whether an acl_file whose last line is not `# end` is refused, so that one that was cut is never taken for the whole."
    ),
    key!(auth.rules_file, Kind::File, "What clients may do, in TOML; \"\" is none. Not beside an acl_file."),
    key!(
        auth.token_keys,
        Kind::File,
        "Whose signatures on tokens count, as a JSON Web Key Set or public keys in PEM; \"\" is none, so no token is taken."
    ),
    key!(
        auth.token_keys_url,
        Kind::WebUrl,
        "The web server that such keys are fetched from, as a JSON Web Key Set; \"\" is none. Beside token_keys or instead."
    ),
    key!(
        auth.token_keys_refresh_s as "token_keys_refresh",
        Kind::time(Seconds, 1, DAY_MS / 1_000),
        "How often they are fetched; a token that names another key has them fetched at once, every 10 s at most."
    ),
    key!(
        auth.token_keys_keep_s as "token_keys_keep",
        Kind::time(Seconds, 1, YEAR_S),
        "How long they hold when they cannot be fetched any more; then no token that they would sign is taken."
    ),
    key!(
        auth.token_keys_timeout_ms as "token_keys_timeout",
        Kind::time(Millis, 100, MINUTE_MS),
        "How long the server may take for them."
    ),
    key!(
        auth.token_issuer,
        Kind::Text(FreeText { what: "an issuer", example: "https://issuer.example", is_optional: true }),
        "Who must have issued a token, its claim iss; \"\" is whoever has one of the keys."
    ),
    key!(
        auth.token_audience,
        Kind::List(List::Texts),
        "For whom a token must be, its claim aud: one of these; [] is for anybody."
    ),
    key!(
        auth.token_user_claim,
        Kind::Text(FreeText { what: "the name of a claim", example: "sub", is_optional: false }),
        "The claim of a token that names the user."
    ),
    key!(
        auth.token_client_id_claim,
        CLAIM,
        "The claim that, in a token that has it, must be the client identifier; \"\" is none."
    ),
    key!(
        auth.token_groups_claim,
        CLAIM,
        "The claim with a list of the user's groups, which rules can name; \"\" is none."
    ),
    key!(
        auth.token_acl_claim,
        CLAIM,
        "The claim with the topics that the user may publish to and be sent, beside all rules; \"\" is none."
    ),
    key!(
        auth.token_leeway_s as "token_leeway",
        Kind::time(Seconds, 0, LEEWAY_S_MAX),
        "How far apart the broker's clock and the issuer's may go: a token holds so much longer, and earlier."
    ),
    key!(
        auth.token_carrier,
        Kind::Word(Carrier::WORDS),
        "Where a client puts its token: in the password of CONNECT, or in its user name."
    ),
    key!(
        auth.token_user,
        Kind::Word(UserName::WORDS),
        "What the user name says beside a token in the password: nothing, or it must be the user of the token."
    ),
    key!(
        auth.token_needs_expiry,
        Kind::Flag,
        "Whether a token without an end, its claim exp, is refused; its connection would never end."
    ),
    key!(
        auth.hook_url,
        Kind::WebUrl,
        "The web server that is asked who a client is, by POST; \"\" is none. In chains it is \"hook\"."
    ),
    key!(
        auth.hook_rules_url,
        Kind::WebUrl,
        "The web server that is asked what a client may do, beside the rules of a file, by POST; \"\" is none."
    ),
    key!(
        auth.hook_secret_file,
        Kind::File,
        "The file whose first line is shown to these servers as a bearer token; \"\" is none."
    ),
    key!(
        auth.hook_timeout_ms as "hook_timeout",
        Kind::time(Millis, 10, MINUTE_MS),
        "How long one answer may take, and how long a question may wait before it is asked."
    ),
    key!(
        auth.hook_cache_ms as "hook_cache",
        Kind::time(Millis, 1, DAY_MS).or("off", 0),
        "How long it holds that a server has allowed something, unless it says a shorter time."
    ),
    key!(
        auth.hook_cache_denials_ms as "hook_cache_denials",
        Kind::time(Millis, 1, DAY_MS).or("off", 0),
        "How long it holds that a server has refused something, or does not know."
    ),
    key!(
        auth.hook_connections,
        Kind::count(1, 256),
        "Questions that are asked at the same time, each by a thread of its own."
    ),
    key!(
        auth.web_ca,
        Kind::File,
        "The authorities that vouch for these servers, in PEM; \"\" is those that the system trusts."
    ),
    key!(
        auth.web_plaintext,
        Kind::Flag,
        "Whether servers on other machines may be asked by http, so that anybody on the way can read and answer."
    ),
    key!(
        auth.clerks,
        Kind::count(1, 64),
        "Threads that hash passwords, beside the shards: each hash takes a core for some 20 ms."
    ),
    key!(
        auth.failures_max,
        Kind::count(1, FAILURES_MAX as u64).or("unlimited", 0),
        "Proofs from one address that may fail within failure_window; then nobody from there is let in for a while. Never by user name alone."
    ),
    key!(
        auth.failure_window_ms as "failure_window",
        Kind::time(Millis, 1_000, DAY_MS),
        "How long failures count, from the first one on."
    ),
    key!(
        auth.ban_ms as "ban",
        Kind::time(Millis, 100, DAY_MS),
        "How long an address is banned the first time; each further ban lasts twice as long."
    ),
    key!(
        auth.ban_max_ms as "ban_max",
        Kind::time(Millis, 100, 30 * DAY_MS),
        "How long a ban lasts at most; who has been quiet for so long after one begins anew."
    ),
    key!(
        auth.ban_exempt,
        Kind::List(List::Networks),
        "Networks that are never banned, such as that of a gateway behind which many clients are one address."
    ),
    key!(
        auth.waiting_max,
        Kind::count(1, 1_000_000),
        "Clients that may wait for such a thread; more, and whoever would be answered too late, are told to come again."
    ),
];
