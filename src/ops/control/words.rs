//! A question to a running broker and its answer, as they go over the control socket.
//!
//! ```text
//! pregon 1 acl-diff FORMAT FORM PATH-BYTES RULES-BYTES\n  PATH  RULES      the question
//! = LINE\n   = LINE\n   .LOST\n                                          an answer: lines to print, and how much would be lost
//! !WHY\n                                                                 there is no answer, or no whole one
//! ```

use std::io::{self, BufRead, Read, Write};

use crate::engine::auth::passwords::text::FILE_BYTES_MAX;
use crate::shell::admission::RuleFormat;

/// What a question begins with: an older or newer program is told so, and not misunderstood.
const MAGIC: [&str; 3] = ["pregon", "1", "acl-diff"];
/// The first line of a question.
const HEAD_BYTES_MAX: usize = 128;
/// The path of a file of rules.
const PATH_BYTES_MAX: usize = 4_096;
/// A whole question.
pub const QUESTION_BYTES_MAX: u64 = (HEAD_BYTES_MAX + PATH_BYTES_MAX + FILE_BYTES_MAX) as u64;
/// A line of an answer: a client identifier, two filters and a rule, all of them escaped.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// For whom an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A person.
    Text,
    /// A program: each line is a JSON object.
    Json,
}

/// What other rules would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where they were read, as whoever asks calls it.
    pub path: String,
    /// How they are written.
    pub format: RuleFormat,
    /// For whom the answer is.
    pub form: Form,
    /// Their text.
    pub rules: Vec<u8>,
}

/// What is wrong with a question.
#[derive(thiserror::Error, Debug)]
pub enum QuestionError {
    /// It does not come.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is none, or one of another version.
    #[error("this broker does not understand the question: both sides have to be of the same version")]
    Unknown,
}

/// A line of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// One to print.
    Line(&'a str),
    /// That was all; so many things would be lost.
    Done {
        /// How many.
        lost: u64,
    },
    /// There is no answer, or no whole one.
    Failed(&'a str),
}

impl Question {
    /// Asks.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let [name, version, verb] = MAGIC;
        let format = match self.format {
            RuleFormat::Own => "toml",
            RuleFormat::Mosquitto => "mosquitto",
        };
        let form = match self.form {
            Form::Text => "text",
            Form::Json => "json",
        };
        let (path, rules) = (self.path.as_bytes(), &self.rules);
        writeln!(out, "{name} {version} {verb} {format} {form} {} {}", path.len(), rules.len())?;
        out.write_all(path)?;
        out.write_all(rules)?;
        out.flush()
    }

    /// Hears what [`Self::write`] asks. Memory is taken as bytes come, whatever is announced.
    pub fn read(from: &mut impl Read) -> Result<Self, QuestionError> {
        let head = head(from)?;
        let words: Vec<&str> = head.split(' ').collect();
        let [name, version, verb, format, form, path_bytes, rules_bytes] = words[..] else {
            return Err(QuestionError::Unknown);
        };
        let format = match format {
            "toml" => RuleFormat::Own,
            "mosquitto" => RuleFormat::Mosquitto,
            _other => return Err(QuestionError::Unknown),
        };
        let form = match form {
            "text" => Form::Text,
            "json" => Form::Json,
            _other => return Err(QuestionError::Unknown),
        };
        if [name, version, verb] != MAGIC {
            return Err(QuestionError::Unknown);
        }
        let path = part(from, path_bytes, PATH_BYTES_MAX)?;
        let rules = part(from, rules_bytes, FILE_BYTES_MAX)?;
        let path = String::from_utf8(path).map_err(|_not_utf8| QuestionError::Unknown)?;
        Ok(Self { path, format, form, rules })
    }
}

/// The first line, byte by byte: what follows is not its.
fn head(from: &mut impl Read) -> Result<String, QuestionError> {
    let mut head = Vec::new();
    let mut byte = [0];
    while head.len() < HEAD_BYTES_MAX {
        from.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return String::from_utf8(head).map_err(|_not_utf8| QuestionError::Unknown);
        }
        head.extend_from_slice(&byte);
    }
    Err(QuestionError::Unknown)
}

fn part(from: &mut impl Read, bytes: &str, max: usize) -> Result<Vec<u8>, QuestionError> {
    let bytes: usize = bytes.parse().ok().filter(|bytes| *bytes <= max).ok_or(QuestionError::Unknown)?;
    let mut part = Vec::new();
    from.take(bytes as u64).read_to_end(&mut part)?;
    if part.len() < bytes { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(part) }
}

impl<'a> Reply<'a> {
    /// As it is sent. No text has a line's end in it.
    pub fn line(self) -> String {
        match self {
            Self::Line(text) => format!("={text}\n"),
            Self::Done { lost } => format!(".{lost}\n"),
            Self::Failed(why) => format!("!{}\n", why.replace('\n', " ")),
        }
    }

    /// What a line says, without its end; nothing for one that says nothing.
    pub fn parse(line: &'a str) -> Option<Self> {
        match line.split_at_checked(1)? {
            ("=", text) => Some(Self::Line(text)),
            (".", lost) => Some(Self::Done { lost: lost.parse().ok()? }),
            ("!", why) => Some(Self::Failed(why)),
            _other => None,
        }
    }
}

/// The next line of an answer, without its end; nothing behind the last one.
pub fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    from.take(LINE_BYTES_MAX).read_line(&mut line)?;
    Ok(line.strip_suffix('\n').map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        let rules = b"rule = []\n".to_vec();
        Question { path: "a b.toml".into(), format: RuleFormat::Own, form: Form::Json, rules }
    }

    fn read(bytes: &[u8]) -> Result<Question, QuestionError> {
        Question::read(&mut &*bytes)
    }

    #[test]
    fn a_question_is_heard_as_it_was_asked() {
        let mut bytes = Vec::new();
        question().write(&mut bytes).unwrap();
        assert_eq!(read(&bytes).unwrap(), question());
        for count in 0..bytes.len() {
            assert!(matches!(read(&bytes[..count]), Err(QuestionError::Io(_))), "{count}");
        }
    }

    #[test]
    fn what_is_no_question_is_not_understood() {
        for wrong in [
            "\n",
            "pregon 2 acl-diff toml text 0 0\n",
            "pregon 1 acl-diff yaml text 0 0\n",
            "pregon 1 acl-diff toml loud 0 0\n",
            "pregon 1 acl-diff toml text 0\n",
            "pregon 1 acl-diff toml text 4097 0\n",
            "pregon 1 acl-diff toml text 0 18446744073709551615\n",
            "pregon 1 acl-diff toml text -1 0\n",
            "GET /metrics HTTP/1.1\r\n",
        ] {
            assert!(matches!(read(wrong.as_bytes()), Err(QuestionError::Unknown)), "{wrong}");
        }
        assert!(matches!(read(&[b'x'; 4_096]), Err(QuestionError::Unknown)));
    }

    #[test]
    fn replies_are_read_as_they_were_said() {
        for reply in [Reply::Line(""), Reply::Line("=.!"), Reply::Done { lost: 7 }, Reply::Failed("no")] {
            let line = reply.line();
            let mut bytes = line.as_bytes();
            let line = read_line(&mut bytes).unwrap().unwrap();
            assert_eq!(Reply::parse(&line), Some(reply));
            assert_eq!(read_line(&mut bytes).unwrap(), None);
        }
        assert_eq!(Reply::Failed("a\nb").line(), "!a b\n");
        for nothing in ["", "x", ".x", "é"] {
            assert_eq!(Reply::parse(nothing), None);
        }
        assert_eq!(read_line(&mut &b"=cut off"[..]).unwrap(), None);
    }
}
