//! What a web server may answer. Whatever is not one of these answers, to the last word, is none.

use crate::engine::auth::token::json::{self, JsonFault, Object, Value};
use crate::engine::auth::token::terms::{GROUPS_MAX, NAME_BYTES_MAX, is_name};
use crate::engine::limits::HOOK_ANSWER_BYTES_MAX;

/// The last second of the year 9999: no time of ours is later.
const DATE_MAX: u64 = 253_402_300_799;

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAnswer {
    /// It comes in.
    Allow(Admission),
    /// It does not, whatever others would say.
    Deny,
    /// The server does not know: the next one in the chain is asked.
    Ignore,
}

/// As whom a client comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// What its user is called; as CONNECT says where there is none.
    pub user: Option<Box<str>>,
    /// The groups that it is in.
    pub groups: Vec<Box<str>>,
    /// Until when, in seconds since 1970: its connection ends then.
    pub expires_at: Option<u64>,
}

/// Whether something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionAnswer {
    /// It may.
    pub is_allowed: bool,
    /// Until when that holds, in seconds since 1970.
    pub expires_at: Option<u64>,
}

/// Why an answer is none.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum AnswerFault {
    #[error("it has more than {HOOK_ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("{0}")]
    Json(#[from] JsonFault),
    #[error("its result is none of those that answer the question")]
    Result,
    #[error("its user is no text of 1 to {NAME_BYTES_MAX} bytes without control characters")]
    User,
    #[error(
        "its groups are no list of at most {GROUPS_MAX} texts of 1 to {NAME_BYTES_MAX} bytes without control characters"
    )]
    Groups,
    #[error("its expires_at is no whole number of seconds between 1970 and 9999")]
    Date,
    #[error("it says more than was asked")]
    More,
}

/// Reads the answer to who a client is.
pub fn of_client(text: &[u8]) -> Result<ClientAnswer, AnswerFault> {
    let mut answer = read(text)?;
    let result = result(&mut answer)?;
    let user = taken(&mut answer, "user").map(|user| name(&user).ok_or(AnswerFault::User)).transpose()?;
    let groups = groups(&mut answer)?;
    let expires_at = expires_at(&mut answer)?;
    if !answer.is_empty() {
        return Err(AnswerFault::More);
    }
    match &*result {
        "allow" => Ok(ClientAnswer::Allow(Admission { user, groups, expires_at })),
        "deny" => Ok(ClientAnswer::Deny),
        "ignore" => Ok(ClientAnswer::Ignore),
        _ => Err(AnswerFault::Result),
    }
}

/// Reads the answer to whether something may be done.
pub fn of_action(text: &[u8]) -> Result<ActionAnswer, AnswerFault> {
    let mut answer = read(text)?;
    let is_allowed = match &*result(&mut answer)? {
        "allow" => true,
        "deny" => false,
        _ => return Err(AnswerFault::Result),
    };
    let expires_at = expires_at(&mut answer)?;
    if answer.is_empty() { Ok(ActionAnswer { is_allowed, expires_at }) } else { Err(AnswerFault::More) }
}

fn read(text: &[u8]) -> Result<Object, AnswerFault> {
    if text.len() > HOOK_ANSWER_BYTES_MAX {
        return Err(AnswerFault::TooLong);
    }
    Ok(json::parse(text)?)
}

/// A value that is said; `null` says nothing.
fn taken(answer: &mut Object, name: &str) -> Option<Value> {
    answer.remove(name).filter(|value| *value != Value::Null)
}

fn result(answer: &mut Object) -> Result<Box<str>, AnswerFault> {
    let said = taken(answer, "result").ok_or(AnswerFault::Result)?;
    said.as_text().map(Into::into).ok_or(AnswerFault::Result)
}

fn name(value: &Value) -> Option<Box<str>> {
    value.as_text().filter(|text| is_name(text)).map(Into::into)
}

fn groups(answer: &mut Object) -> Result<Vec<Box<str>>, AnswerFault> {
    let Some(said) = taken(answer, "groups") else { return Ok(Vec::new()) };
    let groups = said.as_list().filter(|groups| groups.len() <= GROUPS_MAX).ok_or(AnswerFault::Groups)?;
    groups.iter().map(|group| name(group).ok_or(AnswerFault::Groups)).collect()
}

fn expires_at(answer: &mut Object) -> Result<Option<u64>, AnswerFault> {
    match taken(answer, "expires_at") {
        None => Ok(None),
        Some(Value::Whole(seconds)) if seconds <= DATE_MAX => Ok(Some(seconds)),
        Some(_) => Err(AnswerFault::Date),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_comes_in_as_whom_the_server_says() {
        let answer =
            br#"{"result":"allow","user":"alice","groups":["staff","door"],"expires_at":1800000000}"#.as_slice();
        let admission = Admission {
            user: Some("alice".into()),
            groups: vec!["staff".into(), "door".into()],
            expires_at: Some(1_800_000_000),
        };
        assert_eq!(of_client(answer), Ok(ClientAnswer::Allow(admission)));
        let silent = br#"{"result":"allow","user":null,"groups":null,"expires_at":null}"#.as_slice();
        for answer in [silent, br#" { "result" : "allow" } "#] {
            assert_eq!(of_client(answer), Ok(ClientAnswer::Allow(Admission::default())));
        }
        assert_eq!(of_client(br#"{"result":"deny"}"#), Ok(ClientAnswer::Deny));
        assert_eq!(of_client(br#"{"result":"ignore"}"#), Ok(ClientAnswer::Ignore));
    }

    #[test]
    fn an_action_is_allowed_or_denied() {
        for (text, is_allowed, expires_at) in [
            (r#"{"result":"allow"}"#, true, None),
            (r#"{"result":"deny","expires_at":5}"#, false, Some(5)),
            (r#"{"result":"allow","expires_at":1800000000}"#, true, Some(1_800_000_000)),
        ] {
            assert_eq!(of_action(text.as_bytes()), Ok(ActionAnswer { is_allowed, expires_at }), "{text}");
        }
        assert_eq!(of_action(br#"{"result":"ignore"}"#), Err(AnswerFault::Result), "nobody else would be asked");
        assert_eq!(of_action(br#"{"result":"allow","user":"a"}"#), Err(AnswerFault::More));
    }

    #[test]
    fn threat_7_an_answer_that_is_wrong_in_anything_is_none() {
        for (text, fault) in [
            ("", AnswerFault::Json(JsonFault::Syntax)),
            ("allow", AnswerFault::Json(JsonFault::Syntax)),
            ("{\"result\":\"allow\"", AnswerFault::Json(JsonFault::Syntax)),
            ("{\"result\":\"allow\"}}", AnswerFault::Json(JsonFault::Syntax)),
            ("[\"allow\"]", AnswerFault::Json(JsonFault::NoObject)),
            ("true", AnswerFault::Json(JsonFault::NoObject)),
            ("{}", AnswerFault::Result),
            ("{\"result\":null}", AnswerFault::Result),
            ("{\"result\":true}", AnswerFault::Result),
            ("{\"result\":\"Allow\"}", AnswerFault::Result),
            ("{\"result\":\"allow \"}", AnswerFault::Result),
            ("{\"result\":\"deny\",\"result\":\"allow\"}", AnswerFault::Json(JsonFault::Twice)),
            ("{\"result\":\"allow\",\"user\":\"\"}", AnswerFault::User),
            ("{\"result\":\"allow\",\"user\":7}", AnswerFault::User),
            ("{\"result\":\"allow\",\"user\":\"a\\u0000\"}", AnswerFault::User),
            ("{\"result\":\"allow\",\"groups\":\"staff\"}", AnswerFault::Groups),
            ("{\"result\":\"allow\",\"groups\":[7]}", AnswerFault::Groups),
            ("{\"result\":\"allow\",\"groups\":[\"\"]}", AnswerFault::Groups),
            ("{\"result\":\"allow\",\"expires_at\":-1}", AnswerFault::Date),
            ("{\"result\":\"allow\",\"expires_at\":1.5}", AnswerFault::Date),
            ("{\"result\":\"allow\",\"expires_at\":\"1800000000\"}", AnswerFault::Date),
            ("{\"result\":\"allow\",\"expires_at\":1800000000000}", AnswerFault::Date),
            ("{\"result\":\"allow\",\"expire_at\":1800000000}", AnswerFault::More),
            ("{\"result\":\"allow\",\"is_superuser\":true}", AnswerFault::More),
        ] {
            assert_eq!(of_client(text.as_bytes()), Err(fault), "{text}");
        }
    }

    #[test]
    fn threat_1_what_is_too_long_is_not_read() {
        let long = |bytes: usize| {
            let frame = r#"{"result":"allow"}"#;
            format!("{}{frame}", " ".repeat(bytes - frame.len()))
        };
        assert!(of_client(long(HOOK_ANSWER_BYTES_MAX).as_bytes()).is_ok());
        assert_eq!(of_client(long(HOOK_ANSWER_BYTES_MAX + 1).as_bytes()), Err(AnswerFault::TooLong));
        let groups = |count: usize| format!(r#"{{"result":"allow","groups":[{}"g"]}}"#, r#""g","#.repeat(count - 1));
        assert!(of_client(groups(GROUPS_MAX).as_bytes()).is_ok());
        assert_eq!(of_client(groups(GROUPS_MAX + 1).as_bytes()), Err(AnswerFault::Groups));
    }
}
