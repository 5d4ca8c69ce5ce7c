//! The client's half of SCRAM-SHA-256, with a nonce that never changes, and a password file for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest as _, Sha256};

/// The user of RFC 7677, whose password is `pencil`, and one whose password is `rubber`.
pub const FILE: &[u8] =
    b"user:$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$\
    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n\
    other:$scram-sha-256$4096$MDEyMzQ1Njc4OWFiY2RlZg==$dj03mVc1hZAYuKunzYfPyu0W9K35YdL3toTgRTdYWMM=$\
    jUIodGbs7tuAZ9Vh9gpRQOHy3c2N/i9J9h941P6w6rU=\n";

/// The first message, but for what stands before a name.
fn bare(user: &str) -> String {
    format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL")
}

/// The first message of this user.
pub fn first(user: &str) -> String {
    format!("n,,{}", bare(user))
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    hmac.update(text);
    hmac.finalize().into_bytes().into()
}

/// What a client that has said its first message answers to the question, and what it wants to hear then.
pub fn answer(user: &str, question: &[u8], password: &str) -> (String, Vec<u8>) {
    let question = str::from_utf8(question).expect("the question is text");
    let attribute = |key: &str| question.split(',').find_map(|attribute| attribute.strip_prefix(key)).expect(key);
    let salt = STANDARD.decode(attribute("s=")).expect("base64");
    let mut salted = [0; 32];
    pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, attribute("i=").parse().expect("a number"), &mut salted);
    let client = hmac(&salted, b"Client Key");
    let without_proof = format!("c=biws,r={}", attribute("r="));
    let whole = format!("{},{question},{without_proof}", bare(user));
    let signed = hmac(&Sha256::digest(client), whole.as_bytes());
    let proof: Vec<u8> = signed.iter().zip(client).map(|(signed, client)| signed ^ client).collect();
    let signature = hmac(&hmac(&salted, b"Server Key"), whole.as_bytes());
    let last = format!("{without_proof},p={}", STANDARD.encode(proof));
    (last, format!("v={}", STANDARD.encode(signature)).into_bytes())
}
