//! The password: asked for at the terminal without echo, or read from standard input.

use std::io::{self, BufRead, Read as _, StdinLock, Write as _};

use nix::errno::Errno;
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

/// The longest password that a CONNECT can carry, in bytes.
const PASSWORD_BYTES_MAX: usize = u16::MAX as usize;

/// How often the password is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typing {
    /// Once: a mistake does no harm.
    Once,
    /// Twice, and the same: nobody sees what is typed.
    Twice,
}

/// Why there is no password.
#[derive(thiserror::Error, Debug)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum AskingError {
    #[error("standard input is no terminal; --batch reads the password from it")]
    NoTerminal,
    #[error("terminal: {0}")]
    Terminal(#[from] Errno),
    #[error("standard input: {0}")]
    Input(#[from] io::Error),
    #[error("interrupted, nothing was changed")]
    Interrupted,
    #[error("the second password is another one, nothing was changed")]
    Different,
    #[error("the password is empty")]
    Empty,
    #[error("the password has a control character in it; --batch takes it, if it is meant")]
    Control,
    #[error("the password has more than {PASSWORD_BYTES_MAX} bytes, which MQTT cannot carry")]
    TooLong,
}

/// The first line of standard input, without its end.
pub fn read() -> Result<Vec<u8>, AskingError> {
    accept(line(&mut io::stdin().lock())?)
}

/// What is typed at the terminal, unseen.
pub fn ask(typing: Typing) -> Result<Vec<u8>, AskingError> {
    let mut quiet = Quiet::new(io::stdin().lock())?;
    let password = accept(quiet.ask("Password: ")?)?;
    if typing == Typing::Twice && quiet.ask("Once more: ")? != password {
        return Err(AskingError::Different);
    }
    Ok(password)
}

fn accept(password: Vec<u8>) -> Result<Vec<u8>, AskingError> {
    match password.len() {
        0 => Err(AskingError::Empty),
        1..=PASSWORD_BYTES_MAX => Ok(password),
        _too_long => Err(AskingError::TooLong),
    }
}

/// A line without its end; no more of it than shows that it is too long.
fn line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(PASSWORD_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line)?;
    let end = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line).len());
    line.truncate(end.unwrap_or(line.len()));
    Ok(line)
}

/// A terminal that does not show what is typed, until this value goes.
struct Quiet<'a> {
    terminal: StdinLock<'a>,
    before: Termios,
    /// The keys that would have stopped the process. They end a line instead, so that the terminal is set right before the process ends.
    stops: [u8; 2],
}

impl<'a> Quiet<'a> {
    fn new(terminal: StdinLock<'a>) -> Result<Self, AskingError> {
        use SpecialCharacterIndices::{VEOL, VEOL2, VINTR, VQUIT};
        let before = match tcgetattr(&terminal) {
            Err(Errno::ENOTTY) => return Err(AskingError::NoTerminal),
            before => before?,
        };
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        quiet.local_flags.insert(LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::IEXTEN);
        let stops = [VINTR, VQUIT].map(|key| before.control_chars[key as usize]);
        for (end, stop) in [VEOL, VEOL2].into_iter().zip(stops) {
            quiet.control_chars[end as usize] = stop;
        }
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { terminal, before, stops })
    }

    fn ask(&mut self, prompt: &str) -> Result<Vec<u8>, AskingError> {
        write!(io::stderr().lock(), "{prompt}")?;
        let mut line = Vec::new();
        loop {
            let bytes = self.terminal.fill_buf()?;
            let count = bytes.len();
            line.extend_from_slice(bytes);
            self.terminal.consume(count);
            if count == 0 || line.last().is_some_and(|last| self.stops.contains(last)) {
                return Err(AskingError::Interrupted);
            }
            if let Some(password) = line.strip_suffix(b"\n") {
                let has_control = password.iter().any(u8::is_ascii_control);
                return if has_control { Err(AskingError::Control) } else { Ok(password.to_vec()) };
            }
        }
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<u8>, AskingError> {
        let mut input = text;
        accept(line(&mut input).unwrap())
    }

    #[test]
    fn a_password_is_the_first_line_whatever_its_bytes() {
        for text in [&b"secret"[..], b"secret\n", b"secret\r\n", b"secret\nmore\n"] {
            assert_eq!(read(text).unwrap(), b"secret", "{text:?}");
        }
        assert_eq!(read(b" a\xff\0b \n").unwrap(), b" a\xff\0b ");
    }

    #[test]
    fn no_password_and_one_that_mqtt_cannot_carry_are_refused() {
        for text in [&b""[..], b"\n", b"\r\n", b"\nsecret"] {
            assert!(matches!(read(text), Err(AskingError::Empty)), "{text:?}");
        }
        let longest = vec![b'x'; PASSWORD_BYTES_MAX];
        for end in [&b""[..], b"\n", b"\r\n", b"\n\n"] {
            let text = [&longest[..], end].concat();
            assert_eq!(read(&text).unwrap(), longest, "{end:?}");
        }
        let text = [&longest[..], b"y\n"].concat();
        assert!(matches!(read(&text), Err(AskingError::TooLong)));
    }
}
