//! `pregon passwd`: the users of a password file, one at a time.
//!
//! | file | what lives there |
//! |---|---|
//! | here | what becomes of a user, and what is said about it |
//! | [`asking`] | where the password comes from |
//! | [`replacing`] | how a file changes: whole or not at all |

pub mod asking;
pub mod replacing;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use self::asking::{AskingError, Typing};
use self::replacing::{Before, FileError};
use crate::cli::arguments::passwd::{Method, Passwd};
use crate::cli::complain;
use crate::cli::exit::Exit;
use crate::engine::auth::passwords::fault::{MakingFault, PasswordsError};
use crate::engine::auth::passwords::hash::{Hash, NEW_SALT_BYTES};
use crate::engine::auth::passwords::name::Name;
use crate::engine::auth::passwords::text::{Put, entries, find, put, take};

/// Why nothing was done.
#[derive(thiserror::Error, Debug)]
enum PasswdError {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("{}: {fault}", path.display())]
    Malformed { path: PathBuf, fault: PasswordsError },
    #[error("{0}")]
    Asking(#[from] AskingError),
    #[error("/dev/urandom: {0}")]
    Random(io::Error),
    #[error("no hash could be made: {0}")]
    Hash(#[from] argon2::Error),
    #[error("no keys of SCRAM could be made: {0}")]
    Scram(#[from] MakingFault),
    #[error("{}: there is no user {name}", path.display())]
    NoUser { path: PathBuf, name: String },
    #[error("{}: this is not the password of {name}", path.display())]
    Wrong { path: PathBuf, name: String },
}

/// Does what the arguments ask for.
pub fn run(arguments: &Passwd, name: Name<'_>) -> Exit {
    let task = Task { arguments, name };
    let result = if arguments.delete {
        task.delete()
    } else if arguments.check {
        task.check()
    } else {
        task.set()
    };
    if let Err(error) = result {
        complain(format_args!("{error}"));
        return Exit::Failed;
    }
    if replacing::is_open_to_others(&arguments.file) {
        complain(format_args!("{}: not only its owner and group may use it: chmod o= would help", task.path()));
    }
    Exit::Done
}

/// One user and one file.
#[derive(Clone, Copy)]
struct Task<'a> {
    arguments: &'a Passwd,
    name: Name<'a>,
}

impl Task<'_> {
    fn set(self) -> Result<(), PasswdError> {
        let Passwd { file, create, overwrite, .. } = self.arguments;
        let before = match (create, overwrite) {
            (false, _) => Before::File,
            (true, false) => Before::Nothing,
            (true, true) => Before::Either,
        };
        // Nobody is asked for a password that has no place to go.
        entries(&replacing::text_before(file, before)?).map_err(|fault| self.malformed(fault))?;
        let hash = self.hash(&self.password(Typing::Twice)?)?;
        let became = replacing::replace(file, before, |text| {
            put(text, self.name, &hash).map_err(|fault| self.malformed(fault))
        })?;
        match became {
            Put::Added => complain(format_args!("{}: {} was added", self.path(), self.name)),
            Put::Replaced => complain(format_args!("{}: {} has a new password", self.path(), self.name)),
        }
        Ok(())
    }

    fn hash(self, password: &[u8]) -> Result<Hash, PasswdError> {
        let salt = salt().map_err(PasswdError::Random)?;
        match self.arguments.method {
            Method::Argon2id => Ok(Hash::make(password, salt)?),
            Method::ScramSha256 => Ok(Hash::make_scram(self.name, password, salt, self.arguments.iterations)?),
        }
    }

    fn delete(self) -> Result<(), PasswdError> {
        let is_empty = replacing::replace(&self.arguments.file, Before::File, |text| {
            let rest = take(text, self.name).map_err(|fault| self.malformed(fault))?.ok_or_else(|| self.no_user())?;
            let is_empty = entries(&rest).map_err(|fault| self.malformed(fault))?.is_empty();
            Ok::<_, PasswdError>((rest, is_empty))
        })?;
        complain(format_args!("{}: {} was taken out", self.path(), self.name));
        if is_empty {
            complain(format_args!("{}: nobody is left, and a file without users is refused", self.path()));
        }
        Ok(())
    }

    fn check(self) -> Result<(), PasswdError> {
        let Passwd { file, .. } = self.arguments;
        let text = replacing::read(file)?;
        let user = find(&text, self.name).map_err(|fault| self.malformed(fault))?.ok_or_else(|| self.no_user())?;
        if !user.hash.verify(&self.password(Typing::Once)?) {
            return Err(PasswdError::Wrong { path: file.clone(), name: self.name.to_string() });
        }
        complain(format_args!("{}: this is the password of {}", self.path(), self.name));
        if user.hash.is_weaker_than_new() {
            complain(format_args!("{}: its hash is weaker than those made today; set it again", self.path()));
        }
        Ok(())
    }

    fn password(self, typing: Typing) -> Result<Vec<u8>, AskingError> {
        if self.arguments.batch { asking::read() } else { asking::ask(typing) }
    }

    fn path(&self) -> std::path::Display<'_> {
        self.arguments.file.display()
    }

    fn malformed(self, fault: PasswordsError) -> PasswdError {
        PasswdError::Malformed { path: self.arguments.file.clone(), fault }
    }

    fn no_user(self) -> PasswdError {
        PasswdError::NoUser { path: self.arguments.file.clone(), name: self.name.to_string() }
    }
}

/// A salt that no other hash has.
fn salt() -> io::Result<[u8; NEW_SALT_BYTES]> {
    let mut salt = [0; NEW_SALT_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut salt)?;
    Ok(salt)
}
