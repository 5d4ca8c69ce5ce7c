//! The token that `acl explain` is told of, or its claim alone: whose it is, and whether the broker would take it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::arguments::acl::Explain;
use crate::config::Auth;
use crate::engine::auth::claims::Claims;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::token::compact::{Compact, TOKEN_BYTES_MAX};
use crate::engine::auth::token::fault::TokenFault;
use crate::engine::auth::token::json;
use crate::engine::auth::token::terms::rights;
use crate::shell::admission::{PolicyError, terms, tokens};
use crate::shell::clock::wall_s;
use crate::shell::files::whole::read_up_to;

/// Blanks at the end of the file; an editor leaves a few.
const BLANKS_MAX: usize = 16;

/// A token that makes somebody of a client.
#[derive(Debug)]
pub struct Token {
    /// Whom.
    pub identity: Identity,
    /// Whether the broker would believe it.
    pub standing: Standing,
}

/// Whether the broker would believe a token.
#[derive(Debug)]
pub enum Standing {
    /// It would: one of the keys in this file has signed it, and it says what it must.
    Verified(PathBuf),
    /// The keys are not at hand, and nothing else is wrong.
    Unverified(&'static str),
    /// It would not.
    Refused(TokenFault),
}

/// Why nobody can be told by a token or a claim.
#[derive(thiserror::Error, Debug)]
pub enum TokenError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It makes nobody of a client.
    #[error("{}: {fault}", path.display())]
    Nobody {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        fault: TokenFault,
    },
    /// The keys cannot be had.
    #[error("{0}")]
    Keys(#[from] PolicyError),
    /// The claim is none.
    #[error("--claim: {0}")]
    Claim(TokenFault),
}

impl Token {
    /// Reads the token that the arguments name, and judges it as the broker would, but for what stands beside it in CONNECT.
    pub fn read(path: &Path, arguments: &Explain, auth: &Auth) -> Result<Self, TokenError> {
        let text = read_up_to(path, TOKEN_BYTES_MAX + BLANKS_MAX);
        let text = text.map_err(|error| TokenError::Unreadable { path: path.into(), error })?;
        let nobody = |fault| TokenError::Nobody { path: path.into(), fault };
        let token = Compact::parse(text.trim_ascii()).map_err(nobody)?;
        let claims = token.claims().map_err(nobody)?;
        let (identity, fault) = terms(auth).told(&claims, &arguments.client, wall_s()).map_err(nobody)?;
        let standing = match (signed(&token, auth)?, fault) {
            (Standing::Verified(_) | Standing::Unverified(_), Some(fault)) => Standing::Refused(fault),
            (signed, _) => signed,
        };
        Ok(Self { identity, standing })
    }

    /// Whether the broker would turn its client away.
    pub const fn is_refused(&self) -> bool {
        matches!(self.standing, Standing::Refused(_))
    }
}

/// Who has signed it, as far as files tell.
fn signed(token: &Compact<'_>, auth: &Auth) -> Result<Standing, TokenError> {
    let has_server = auth.token_keys_url.is_some();
    if !auth.has_token_keys() {
        return Ok(Standing::Unverified(if has_server {
            "the keys of auth.token_keys_url are not fetched for this"
        } else {
            "auth.token_keys names no keys"
        }));
    }
    Ok(match tokens(auth)?.verify(token) {
        Ok(()) => Standing::Verified(auth.token_keys.clone()),
        Err(TokenFault::UnknownKey) if has_server => {
            Standing::Unverified("its key is not in auth.token_keys, and those of auth.token_keys_url are not fetched")
        }
        Err(fault) => Standing::Refused(fault),
    })
}

/// The claim as it would stand in a token.
pub fn claim(text: &str) -> Result<Arc<Claims>, TokenError> {
    let read = json::parse(text.as_bytes()).map_err(TokenFault::Claims);
    read.and_then(|lists| rights(&lists)).map(Arc::new).map_err(TokenError::Claim)
}
