//! Who may come in and what they may do: the policy that the operator's files make.
//!
//! A file that cannot be read, or says something that is none, makes no policy at all: nobody is let in by a part of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::config::Auth;
use crate::engine::auth::acl_file::{AclFile, AclFileError};
use crate::engine::auth::passwords::SECRET_BYTES;
use crate::engine::auth::passwords::authenticator::Passwords;
use crate::engine::auth::passwords::fault::PasswordsError;
use crate::engine::auth::passwords::text::FILE_BYTES_MAX;
use crate::engine::auth::policy::{Anonymous, Anybody, Open, Policy};
use crate::engine::auth::{Authenticator, Authoriser};

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Something in a password file is wrong.
    #[error("{}: {fault}", path.display())]
    Passwords {
        /// Which one.
        path: PathBuf,
        /// What, and on which line.
        fault: PasswordsError,
    },
    /// A file of rules is no text.
    #[error("{}: this is not UTF-8", path.display())]
    NotUtf8 {
        /// Which one.
        path: PathBuf,
    },
    /// Something in a file of rules is wrong.
    #[error("{}: {fault}", path.display())]
    Rules {
        /// Which one.
        path: PathBuf,
        /// What, and on which line.
        fault: AclFileError,
    },
}

/// Reads the files that the configuration names.
pub fn policy(auth: &Auth) -> Result<Policy, PolicyError> {
    let mut chain: Vec<Box<dyn Authenticator>> = Vec::new();
    let has_users = !auth.password_file.as_os_str().is_empty();
    if auth.lets_anybody_in() {
        // Where nobody is known by name, a name says nothing.
        chain.push(if has_users { Box::new(Anonymous) } else { Box::new(Anybody) });
    }
    if has_users {
        chain.push(Box::new(passwords(&auth.password_file)?));
    }
    let authoriser: Box<dyn Authoriser> =
        if auth.acl_file.as_os_str().is_empty() { Box::new(Open) } else { Box::new(rules(&auth.acl_file)?) };
    Ok(Policy::new(chain, authoriser))
}

fn passwords(path: &Path) -> Result<Passwords, PolicyError> {
    let unreadable = |error| PolicyError::Unreadable { path: path.into(), error };
    let text = read(path).map_err(unreadable)?;
    let mut secret = [0; SECRET_BYTES];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut secret)).map_err(unreadable)?;
    Passwords::parse(&text, &secret).map_err(|fault| PolicyError::Passwords { path: path.into(), fault })
}

fn rules(path: &Path) -> Result<AclFile, PolicyError> {
    let text = read(path).map_err(|error| PolicyError::Unreadable { path: path.into(), error })?;
    let text = String::from_utf8(text).map_err(|_not_utf8| PolicyError::NotUtf8 { path: path.into() })?;
    AclFile::parse(&text, 0).map_err(|fault| PolicyError::Rules { path: path.into(), fault })
}

/// A file that is longer than any may be is refused, and not cut.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config;
    use crate::engine::auth::identity::Identity;
    use crate::engine::auth::policy::Outcome;
    use crate::engine::auth::{Action, ClientId, Credentials, Decision, Verdict};
    use crate::mqtt::{QoS, Version};
    use crate::shell::files::scratch::Scratch;

    /// By `mosquitto_passwd`; her password is `correct horse`.
    const USERS: &str = "alice:$7$101$sW+MWAyltInm8zDb$\
        pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==";

    fn credentials<'a>(user_name: Option<&'a str>, password: Option<&'a [u8]>) -> Credentials<'a> {
        let peer = ([127, 0, 0, 1], 1_883).into();
        Credentials {
            client_id: "c",
            user_name,
            password,
            peer,
            listener: 0,
            version: Version::V5,
            now_unix_s: 0,
            certificate: None,
        }
    }

    fn is_let_in(policy: &Policy, user_name: Option<&str>, password: Option<&str>) -> bool {
        let credentials = credentials(user_name, password.map(str::as_bytes));
        let mut outcome = policy.authenticate(&credentials);
        while let Outcome::Later(link) = outcome {
            let verdict: Verdict = policy.work(link, &credentials);
            outcome = policy.resume(link, verdict, &credentials);
        }
        matches!(outcome, Outcome::Allow(_))
    }

    fn written(scratch: &Scratch, name: &str, text: &[u8]) -> PathBuf {
        let path = scratch.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn without_files_everybody_is_let_in_whatever_they_are_called() {
        let policy = policy(&Auth::default()).unwrap();
        assert!(is_let_in(&policy, None, None) && is_let_in(&policy, Some("alice"), Some("x")));
        assert!(!policy.takes_time(), "nobody has to hash anything");
    }

    #[test]
    fn with_a_password_file_its_users_are_let_in_and_the_nameless_where_that_is_said() {
        let scratch = Scratch::new();
        let password_file = written(&scratch, "users", USERS.as_bytes());
        for (anonymous, are_nameless_in) in
            [(config::Anonymous::Auto, false), (config::Anonymous::No, false), (config::Anonymous::Yes, true)]
        {
            let policy = policy(&Auth { anonymous, password_file: password_file.clone(), ..Auth::default() }).unwrap();
            assert!(is_let_in(&policy, Some("alice"), Some("correct horse")));
            assert!(!is_let_in(&policy, Some("alice"), Some("wrong")) && !is_let_in(&policy, Some("bob"), Some("x")));
            assert_eq!(is_let_in(&policy, None, None), are_nameless_in, "{anonymous:?}");
        }
    }

    #[test]
    fn rules_bind_whoever_was_let_in() {
        let scratch = Scratch::new();
        let acl_file = written(&scratch, "rules", b"user alice\ntopic write a/#\n");
        let policy = policy(&Auth { acl_file, ..Auth::default() }).unwrap();
        let may = |topic| {
            let action = Action::Publish { topic, qos: QoS::AtMostOnce, retain: false };
            policy.decide(&Identity::user("alice", "password"), ClientId::Text("c"), action) == Decision::Allow
        };
        assert!(may("a/b") && !may("b"));
    }

    #[test]
    fn threat_7_a_file_that_is_too_long_is_refused_and_not_cut() {
        let scratch = Scratch::new();
        let path = written(&scratch, "rules", b"topic a\n");
        File::options().write(true).open(&path).unwrap().set_len(FILE_BYTES_MAX as u64 + 1).unwrap();
        let error = policy(&Auth { acl_file: path, ..Auth::default() }).expect_err("it is too long");
        assert!(matches!(error, PolicyError::Unreadable { .. }), "{error}");
    }

    #[test]
    fn threat_7_a_file_that_says_nothing_or_something_wrong_makes_no_policy_and_is_named() {
        let scratch = Scratch::new();
        let missing = scratch.path().join("missing");
        let users = |text: &[u8]| Auth { password_file: written(&scratch, "users", text), ..Auth::default() };
        let rules = |text: &[u8]| Auth { acl_file: written(&scratch, "rules", text), ..Auth::default() };
        let wrong = [
            (Auth { password_file: missing.clone(), ..Auth::default() }, "missing: No such file"),
            (Auth { acl_file: missing, ..Auth::default() }, "missing: No such file"),
            (users(b""), "users: "),
            (users(b"alice\n"), "users: line 1: "),
            (rules(b""), "rules: there is no rule in it"),
            (rules(b"topic a\nuse alice\n"), "rules: line 2: `use` is no word"),
            (rules(b"topic \xff\n"), "rules: this is not UTF-8"),
        ];
        for (auth, what) in wrong {
            // The files of two cases have one name: each is written anew.
            let error = policy(&auth).expect_err(what).to_string();
            assert!(error.starts_with(&scratch.path().display().to_string()), "{error}");
        }
    }
}
