//! A conversation as data: one line of a golden file, parsed.

use super::expectation::Expectation;
use super::expression::{Environment, Expression, hex_byte, split_outside};

/// One line of a golden file.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// `file/name`: unique over all files, the conversation's tag is made of it.
    pub name: String,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One step, by one of the clients.
#[derive(Clone, Debug)]
pub struct Step {
    /// The client's letter; `a` where none is written.
    pub client: char,
    /// What it does or waits for.
    pub action: Action,
    /// As it is written, for the report of a failure.
    pub text: String,
}

/// What a client does or waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `dial`: opens a connection; the first step of a client does so by itself.
    Dial,
    /// `hangup`: closes the connection without a DISCONNECT.
    Hangup,
    /// `hello3`, `hello4`, `hello5`: connects with a clean session as tag plus letter, and is accepted.
    Hello(Level),
    /// `> bytes`
    Send(Expression),
    /// `< expectation`: the next packet.
    Expect(Expectation),
    /// `< expectation or closed 81|82`: the next packet, or a close that ends this client's part.
    ExpectOrClosed(Expectation, Vec<u8>),
    /// `<< expectation , expectation`: the next packets in any order.
    ExpectAll(Vec<Expectation>),
    /// `<? expectation`: a packet that may come once from now on.
    Allow(Expectation),
    /// `closed` or `closed 81|82`: the server closes, with reasons after an optional 5.0 DISCONNECT.
    Closed(Vec<u8>),
    /// `refused 84|01`: the server closes after an optional CONNACK with one of these codes.
    Refused(Vec<u8>),
    /// `open`: PINGREQ is answered; other packets before it wait to be expected.
    Open,
    /// `nothing`: the answer to PINGREQ is the next packet.
    Nothing,
}

/// The protocol level in a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    V31,
    V311,
    V5,
}

impl Conversation {
    /// Parses `name | step ; step` of the file with this stem.
    pub fn parse(stem: &str, line: &str) -> Result<Self, String> {
        let Some((name, steps)) = line.split_once('|') else {
            return Err("no `|` after the name".to_owned());
        };
        let name = name.trim();
        let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!("`{name}` is no name: lower case, digits and `_`"));
        }
        let steps = split_outside(steps, ';').into_iter().map(Step::parse).collect::<Result<_, _>>()?;
        Ok(Self { name: format!("{stem}/{name}"), steps })
    }

    /// The text that `@` stands for: eight hex digits of FNV-1a over the salt and the name.
    pub fn tag(&self, salt: &str) -> String {
        let bytes = salt.bytes().chain(self.name.bytes());
        let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        format!("{hash:08x}")
    }
}

impl Step {
    fn parse(text: &str) -> Result<Self, String> {
        let (client, rest) = split_client(text);
        let action = Action::parse(rest).map_err(|reason| format!("step `{text}`: {reason}"))?;
        Ok(Self { client, action, text: text.to_owned() })
    }
}

/// A lone letter in front names the client.
fn split_client(text: &str) -> (char, &str) {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(client), Some(' ' | '<' | '>')) if client.is_ascii_lowercase() => (client, text[1..].trim_start()),
        _ => ('a', text),
    }
}

impl Action {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(bytes) = text.strip_prefix('>') {
            return Expression::parse(bytes).map(Action::Send);
        }
        if let Some(all) = text.strip_prefix("<<") {
            let all = split_outside(all, ',').into_iter().map(Expectation::parse);
            return all.collect::<Result<_, _>>().map(Action::ExpectAll);
        }
        if let Some(optional) = text.strip_prefix("<?") {
            return Expectation::parse(optional).map(Action::Allow);
        }
        if let Some(expectation) = text.strip_prefix('<') {
            if let Some((packet, reasons)) = expectation.split_once(" or closed") {
                let reasons = if reasons.is_empty() { Vec::new() } else { codes(reasons)? };
                return Ok(Action::ExpectOrClosed(Expectation::parse(packet)?, reasons));
            }
            return Expectation::parse(expectation).map(Action::Expect);
        }
        match text.split_once(' ').unwrap_or((text, "")) {
            ("closed", "") => Ok(Action::Closed(Vec::new())),
            ("closed", reasons) => codes(reasons).map(Action::Closed),
            ("refused", reasons) => codes(reasons).map(Action::Refused),
            ("dial", "") => Ok(Action::Dial),
            ("hangup", "") => Ok(Action::Hangup),
            ("hello3", "") => Ok(Action::Hello(Level::V31)),
            ("hello4", "") => Ok(Action::Hello(Level::V311)),
            ("hello5", "") => Ok(Action::Hello(Level::V5)),
            ("open", "") => Ok(Action::Open),
            ("nothing", "") => Ok(Action::Nothing),
            (word, _) => Err(format!("`{word}` is no step")),
        }
    }
}

impl Action {
    /// Whether all bytes in it can be made before the conversation runs; captures count as two bytes.
    pub fn expands(&self, environment: &Environment) -> bool {
        match self {
            Action::Send(expression) => !expression.positions(environment).is_empty(),
            Action::Expect(expectation) | Action::Allow(expectation) | Action::ExpectOrClosed(expectation, _) => {
                expectation.expands(environment)
            }
            Action::ExpectAll(all) => all.iter().all(|expectation| expectation.expands(environment)),
            Action::Dial
            | Action::Hangup
            | Action::Hello(_)
            | Action::Closed(_)
            | Action::Refused(_)
            | Action::Open
            | Action::Nothing => true,
        }
    }
}

/// `81|82`: one of these codes.
pub fn codes(text: &str) -> Result<Vec<u8>, String> {
    text.split('|').map(|code| hex_byte(code.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_step(text: &str) -> Step {
        let conversation = Conversation::parse("file", &format!("name | {text}")).unwrap();
        assert_eq!(conversation.steps.len(), 1);
        conversation.steps[0].clone()
    }

    #[test]
    fn a_line_is_a_name_and_steps() {
        let conversation = Conversation::parse("ping.v5", "is_answered | hello5 ; > c000 ; b< d000").unwrap();
        assert_eq!(conversation.name, "ping.v5/is_answered");
        let clients: Vec<char> = conversation.steps.iter().map(|step| step.client).collect();
        assert_eq!(clients, ['a', 'a', 'b']);
    }

    #[test]
    fn words_are_steps() {
        assert_eq!(only_step("closed").action, Action::Closed(vec![]));
        assert_eq!(only_step("b closed 81|82").action, Action::Closed(vec![0x81, 0x82]));
        assert_eq!(only_step("refused 84 | 01").action, Action::Refused(vec![0x84, 1]));
        assert_eq!(only_step("c hello3").action, Action::Hello(Level::V31));
        assert_eq!(only_step("hangup").action, Action::Hangup);
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        for line in [
            "name",
            "| open",
            "Name | open",
            "n | ",
            "n | shut",
            "n | open ; ; open",
            "n | open now",
            "n | refused",
            "n | < {00",
            "n | > 0",
        ] {
            assert!(Conversation::parse("file", line).is_err(), "{line} was accepted");
        }
    }

    #[test]
    fn tags_differ_by_name_and_by_salt() {
        let [one, two] = ["one | open", "two | open"].map(|line| Conversation::parse("file", line).unwrap());
        assert_eq!(one.tag("x").len(), 8);
        assert_ne!(one.tag("x"), two.tag("x"));
        assert_ne!(one.tag("x"), one.tag("y"));
        assert_eq!(one.tag("x"), one.tag("x"));
    }
}
