//! `pregon acl`: what the rules say, and why; and what others would change for those who are connected.
//!
//! | file | what lives there |
//! |---|---|
//! | here | from the arguments to the question |
//! | [`token`] | the token that a client comes with, or its claim |
//! | [`telling`] | the answer, for people and as JSON |
//! | [`diff`] | a question to the running broker |

pub mod diff;
pub mod telling;
pub mod token;

use self::telling::Answer;
use self::token::{Token, TokenError};
use crate::cli::arguments::acl::{Explain, Fingerprint, Verb};
use crate::cli::exit::Exit;
use crate::cli::{complain, complain_of, misused};
use crate::config::Auth;
use crate::engine::auth::acl::deliveries::Deliveries;
use crate::engine::auth::acl::explain::{Explanation, Reason};
use crate::engine::auth::claims::Claimed;
use crate::engine::auth::identity::{CommonName, Identity, Shown};
use crate::engine::auth::policy::Open;
use crate::engine::auth::{Action, Authoriser, ClientId, Decision};
use crate::mqtt::{QoS, Subscription, Topic};
use crate::shell::admission::{RuleFile, rule_file};

/// Answers one question by the rules that this configuration names, and by what a token says.
pub fn explain(arguments: &Explain, auth: &Auth) -> Exit {
    let action = match action(arguments) {
        Ok(action) => action,
        Err(sentence) => return misused(&sentence),
    };
    let file = match rule_file(auth) {
        Ok(file) => file,
        Err(errors) => {
            complain_of(&errors);
            return Exit::Misused;
        }
    };
    let token = match arguments.token.as_ref().map(|path| Token::read(path, arguments, auth)).transpose() {
        Ok(token) => token,
        Err(error) => return misused(&error.to_string()),
    };
    let who = match identity(arguments, token.as_ref()) {
        Ok(who) => who,
        Err(error) => return misused(&error.to_string()),
    };
    let client_id = ClientId::Text(&arguments.client);
    let explanation = asked(file.as_ref(), &who, client_id, action);
    let claim = who.claims.as_deref().map(|claims| claims.explain(&who, client_id, action));
    let answer = Answer {
        arguments,
        who: &who,
        action,
        file: file.as_ref(),
        token: token.as_ref(),
        claim_name: auth.token_acl_claim.as_deref(),
        claim,
        explanation: &explanation,
        deliveries: deliveries(file.as_ref(), &who, client_id, action),
    };
    if let Err(error) = answer.tell(arguments.json) {
        complain(format_args!("standard output: {error}"));
        return Exit::Failed;
    }
    if answer.is_allowed() { Exit::Done } else { Exit::Failed }
}

/// The decision of the rules.
fn asked<'a>(
    file: Option<&'a RuleFile>,
    who: &'a Identity,
    client_id: ClientId<'a>,
    action: Action<'a>,
) -> Explanation<'a> {
    if let Some(file) = file {
        return file.rules.explain(who, client_id, action);
    }
    let is_allowed = Open.decide(who, client_id, action) == Decision::Allow;
    Explanation { is_allowed, reason: Reason::NoRule, near: Vec::new() }
}

/// What a filter would bring that may be had, by rules and claim.
fn deliveries(
    file: Option<&RuleFile>,
    who: &Identity,
    client_id: ClientId<'_>,
    action: Action<'_>,
) -> Option<Deliveries> {
    let rules = Claimed(file.map_or(&Open, |file| file.rules.authoriser()));
    let is_allowed = rules.decide(who, client_id, action) == Decision::Allow;
    match action {
        Action::Subscribe { filter, .. } if is_allowed => Some(rules.deliveries(who, client_id, filter)),
        Action::Subscribe { .. }
        | Action::Connect
        | Action::Publish { .. }
        | Action::Receive { .. }
        | Action::Will { .. } => None,
    }
}

/// Who the arguments describe, and the token.
fn identity(arguments: &Explain, token: Option<&Token>) -> Result<Identity, TokenError> {
    let Explain { user, group, claim, address, certificate, common_name, .. } = arguments;
    let mut named = user.as_ref().map_or_else(Identity::anonymous, |name| Identity::user(name, "password"));
    named.groups = group.iter().map(|name| name.as_str().into()).collect();
    named.claims = claim.as_deref().map(token::claim).transpose()?;
    let named = token.map_or(named, |token| token.identity.clone());
    let has_certificate = certificate.is_some() || common_name.is_some();
    let certificate = has_certificate.then(|| {
        // Without a fingerprint it is one that no rule names.
        let Fingerprint(fingerprint) = certificate.unwrap_or(Fingerprint([0; 32]));
        let common_name = common_name.as_deref().map_or(CommonName::None, |name| CommonName::One(name.into()));
        Box::new(Shown { fingerprint, common_name })
    });
    Ok(Identity { address: address.map(|address| address.to_canonical()), certificate, ..named })
}

/// What they ask for, or what is wrong with it.
fn action(arguments: &Explain) -> Result<Action<'_>, String> {
    let Explain { action, topic, qos, retain, .. } = arguments;
    let has_qos = matches!(action, Verb::Publish | Verb::Subscribe | Verb::Will);
    if qos.is_some() && !has_qos {
        return Err("--qos is of publish, will and subscribe".into());
    }
    if *retain && !matches!(action, Verb::Publish | Verb::Will) {
        return Err("--retain is of publish and will".into());
    }
    let (qos, retain) = (qos.unwrap_or(QoS::AtMostOnce), *retain);
    let Some(text) = topic else {
        return if *action == Verb::Connect { Ok(Action::Connect) } else { Err("a topic is missing".into()) };
    };
    let topic = || Topic::parse(text).map(Topic::as_str).map_err(|error| format!("{text}: no topic: {error}"));
    match action {
        Verb::Publish => Ok(Action::Publish { topic: topic()?, qos, retain }),
        Verb::Will => Ok(Action::Will { topic: topic()?, qos, retain }),
        Verb::Receive => Ok(Action::Receive { topic: topic()? }),
        Verb::Subscribe => {
            let parsed = Subscription::parse(text).map_err(|error| format!("{text}: no topic filter: {error}"))?;
            Ok(Action::Subscribe { filter: parsed.filter.as_str(), qos, is_shared: parsed.share.is_some() })
        }
        Verb::Connect => Err("to connect has no topic".into()),
    }
}
