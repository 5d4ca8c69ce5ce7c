//! What the claims of a token must say, and whom they make of a client.

use core::net::Ipv4Addr;
use std::sync::Arc;

use super::authenticator::METHOD;
use super::compact::Compact;
use super::fault::TokenFault;
use super::json::{Object, Value};
use crate::engine::auth::Credentials;
use crate::engine::auth::claims::Claims;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::pattern::Pattern;
use crate::mqtt::version::Version;

/// Bytes of the name of a user or a group; a token with a longer one is refused.
pub const NAME_BYTES_MAX: usize = 256;
/// Groups that a token may put its user into; one with more is refused.
pub const GROUPS_MAX: usize = 64;
/// Filters that a token may name of each kind; one with more is refused.
pub const FILTERS_MAX: usize = 64;
/// How long clocks may go apart, unless it is said otherwise.
pub const LEEWAY_S: u64 = 30;
/// The end of the year 9999. A later date is no date: it is one in milliseconds, by which a token would hold for ten thousand years.
const DATE_MAX: u64 = 253_402_300_799;
/// The beginning of 2025, before which no broker ran that has this file: a clock that shows less was never set.
const CLOCK_MIN: u64 = 1_735_689_600;

/// Where a client puts its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// In the password of CONNECT.
    #[default]
    Password,
    /// In the user name, whatever the password is.
    UserName,
}

/// What the user name beside a token in the password says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserName {
    /// Nothing.
    #[default]
    Ignored,
    /// It must be the user of the token.
    Equal,
}

/// What the claims of a token must say. A claim that an operator names by hand is one of the outermost object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Where the token is.
    pub carrier: Carrier,
    /// What the user name beside it says.
    pub user_name: UserName,
    /// The claim that names the user.
    pub user_claim: Box<str>,
    /// The claim that, in a token that has it, must be the client identifier of CONNECT.
    pub client_id_claim: Option<Box<str>>,
    /// The claim with a list of the user's groups; a token without it has none.
    pub groups_claim: Option<Box<str>>,
    /// The claim with what the user may do at the most; a token without it leaves that to rules.
    pub acl_claim: Option<Box<str>>,
    /// Who must have issued it.
    pub issuer: Option<Box<str>>,
    /// For whom it must be: one of these. Where there are none, for anybody.
    pub audience: Vec<Box<str>>,
    /// How far apart our clock and the issuer's may go.
    pub leeway_s: u64,
    /// Whether a token without an end is refused.
    pub needs_expiry: bool,
}

impl Default for Terms {
    /// The password, `sub` as the user, 30 s of leeway, and an end.
    fn default() -> Self {
        Self {
            carrier: Carrier::default(),
            user_name: UserName::default(),
            user_claim: "sub".into(),
            client_id_claim: None,
            groups_claim: None,
            acl_claim: None,
            issuer: None,
            audience: Vec::new(),
            leeway_s: LEEWAY_S,
            needs_expiry: true,
        }
    }
}

impl Terms {
    /// The token that a client has come with, if it is one.
    pub fn token<'a>(&self, credentials: &Credentials<'a>) -> Result<Compact<'a>, TokenFault> {
        let text = match self.carrier {
            Carrier::Password => credentials.password,
            Carrier::UserName => credentials.user_name.map(str::as_bytes),
        };
        Compact::parse(text.ok_or(TokenFault::NoToken)?)
    }

    /// Whom claims that somebody trusted has signed make of this client.
    pub fn identity(&self, claims: &Object, credentials: &Credentials<'_>) -> Result<Identity, TokenFault> {
        let expires_at = self.check_dates(claims, credentials.now_unix_s)?;
        self.check_origin(claims)?;
        let user = claims.get(&*self.user_claim).and_then(Value::as_text).filter(|name| is_name(name));
        let user = user.ok_or(TokenFault::User)?;
        let must_equal = self.carrier == Carrier::Password && self.user_name == UserName::Equal;
        if must_equal && credentials.user_name != Some(user) {
            return Err(TokenFault::UserName);
        }
        if let Some(bound) = self.client_id_claim.as_ref().and_then(|name| claims.get(&**name))
            && bound.as_text() != Some(credentials.client_id)
        {
            return Err(TokenFault::ClientId);
        }
        let groups = self.groups(claims)?;
        let rights = self.rights(claims)?.map(Arc::new);
        Ok(Identity { groups, expires_at, claims: rights, ..Identity::user(user, METHOD) })
    }

    /// Whom claims make of somebody who calls itself so, and why it would be refused, if it would: for those who look at a token from outside.
    /// What stands beside a token in CONNECT is not asked. No claims that nobody could be made of.
    pub fn told(
        &self,
        claims: &Object,
        client_id: &str,
        now_unix_s: u64,
    ) -> Result<(Identity, Option<TokenFault>), TokenFault> {
        let beside = Credentials {
            client_id,
            user_name: None,
            password: None,
            peer: (Ipv4Addr::UNSPECIFIED, 0).into(),
            listener: 0,
            version: Version::V5,
            now_unix_s,
            certificate: None,
        };
        let strict = Self { user_name: UserName::Ignored, ..self.clone() };
        let fault = match strict.identity(claims, &beside) {
            Ok(identity) => return Ok((identity, None)),
            Err(fault) => fault,
        };
        let (client_id_claim, issuer, audience) = (None, None, Vec::new());
        let lenient = Self { client_id_claim, issuer, audience, leeway_s: u64::MAX, needs_expiry: false, ..strict };
        lenient.identity(claims, &beside).map(|identity| (identity, Some(fault)))
    }

    /// The end of the time that the token holds, leeway included: the moment from which on it would be refused.
    fn check_dates(&self, claims: &Object, now: u64) -> Result<Option<u64>, TokenFault> {
        if now < CLOCK_MIN {
            return Err(TokenFault::NoClock);
        }
        let starts = [date(claims, "nbf")?, date(claims, "iat")?];
        if starts.into_iter().flatten().any(|start| start > now.saturating_add(self.leeway_s)) {
            return Err(TokenFault::Early);
        }
        let Some(end) = date(claims, "exp")? else {
            return if self.needs_expiry { Err(TokenFault::Endless) } else { Ok(None) };
        };
        let end = end.saturating_add(self.leeway_s);
        if end <= now { Err(TokenFault::Expired) } else { Ok(Some(end)) }
    }

    fn check_origin(&self, claims: &Object) -> Result<(), TokenFault> {
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_text) != Some(issuer)
        {
            return Err(TokenFault::Issuer);
        }
        if self.audience.is_empty() {
            return Ok(());
        }
        let is_us = |named: &str| self.audience.iter().any(|us| **us == *named);
        let is_for_us = match claims.get("aud") {
            Some(Value::Text(named)) => is_us(named),
            Some(Value::List(all)) => all.iter().filter_map(Value::as_text).any(is_us),
            Some(Value::Null | Value::Bool(_) | Value::Whole(_) | Value::Number(_) | Value::Object(_)) | None => false,
        };
        if is_for_us { Ok(()) } else { Err(TokenFault::Audience) }
    }

    fn groups(&self, claims: &Object) -> Result<Vec<Box<str>>, TokenFault> {
        let Some(groups) = self.groups_claim.as_ref().and_then(|name| claims.get(&**name)) else {
            return Ok(Vec::new());
        };
        let groups = groups.as_list().filter(|groups| groups.len() <= GROUPS_MAX).ok_or(TokenFault::Groups)?;
        let name = |group: &Value| group.as_text().filter(|name| is_name(name)).map(Into::into);
        groups.iter().map(|group| name(group).ok_or(TokenFault::Groups)).collect()
    }

    fn rights(&self, claims: &Object) -> Result<Option<Claims>, TokenFault> {
        let Some(said) = self.acl_claim.as_ref().and_then(|name| claims.get(&**name)) else { return Ok(None) };
        said.as_object().ok_or(TokenFault::Rights).and_then(rights).map(Some)
    }
}

/// `{"pub": [...], "sub": [...]}`; what is left out is nothing.
pub fn rights(lists: &Object) -> Result<Claims, TokenFault> {
    if lists.keys().any(|name| !["pub", "sub"].contains(&&**name)) {
        return Err(TokenFault::Rights);
    }
    let read = |name: &str| -> Result<Vec<Pattern>, TokenFault> {
        let Some(list) = lists.get(name) else { return Ok(Vec::new()) };
        let list = list.as_list().filter(|list| list.len() <= FILTERS_MAX).ok_or(TokenFault::Rights)?;
        list.iter().map(filter).collect()
    };
    Ok(Claims::new(read("pub")?, read("sub")?))
}

/// A filter as the topics of a rule are written. A shared subscription has the right of its filter.
fn filter(value: &Value) -> Result<Pattern, TokenFault> {
    let text = value.as_text().filter(|text| !text.starts_with("$share/"));
    text.and_then(|text| Pattern::parse(text).ok()).ok_or(TokenFault::Rights)
}

/// A name is compared and never parsed, but it is written to logs and stands in rules.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A date in whole seconds; a fraction is cut off.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "it lies between zero and the largest date"
)]
fn date(claims: &Object, name: &str) -> Result<Option<u64>, TokenFault> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Whole(seconds)) if *seconds <= DATE_MAX => Ok(Some(*seconds)),
        Some(Value::Number(seconds)) if (0.0..=DATE_MAX as f64).contains(seconds) => Ok(Some(*seconds as u64)),
        Some(
            Value::Null
            | Value::Bool(_)
            | Value::Whole(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Object(_),
        ) => Err(TokenFault::Date),
    }
}

#[cfg(test)]
mod tests;
