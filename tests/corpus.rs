//! The fuzz corpora in the repository are replayed: what was once interesting stays harmless.

#[path = "fuzz/answers.rs"]
mod answers;
#[path = "fuzz/bodies.rs"]
mod bodies;
#[path = "fuzz/certificates.rs"]
mod certificates;
#[path = "fuzz/configuration.rs"]
mod configuration;
#[path = "fuzz/frames.rs"]
mod frames;
#[path = "fuzz/hello.rs"]
mod hello;
#[path = "fuzz/journal.rs"]
mod journal;
#[path = "fuzz/passwords.rs"]
mod passwords;
#[path = "fuzz/proxy.rs"]
mod proxy;
#[path = "fuzz/requests.rs"]
mod requests;
#[path = "fuzz/rules.rs"]
mod rules;
#[path = "fuzz/scram.rs"]
mod scram;
#[path = "fuzz/tokens.rs"]
mod tokens;
#[path = "fuzz/websocket.rs"]
mod websocket;

use std::fs;
use std::path::Path;

use pregon::mqtt::Version;
use pregon::ops::request;
use pregon::shell::transport::hello::offers_13;

fn replay(target: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("a folder can be read").path();
        body(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        count += 1;
    }
    assert!(count >= 50, "{target} has only {count} files");
}

#[test]
fn the_corpus_of_v31_is_harmless() {
    replay("decode_v31", |data| bodies::decode(Version::V31, data));
}

#[test]
fn the_corpus_of_v311_is_harmless() {
    replay("decode_v311", |data| bodies::decode(Version::V311, data));
}

#[test]
fn the_corpus_of_v5_is_harmless() {
    replay("decode_v5", |data| bodies::decode(Version::V5, data));
}

#[test]
fn the_corpus_of_sessions_is_harmless() {
    replay("session", bodies::session);
}

#[test]
fn the_corpus_of_journals_is_harmless() {
    replay("journal", journal::journal);
}

#[test]
fn the_corpus_of_records_is_harmless() {
    replay("records", frames::records);
}

#[test]
fn the_corpus_of_frames_is_harmless() {
    replay("frames", frames::frames);
}

#[test]
fn the_corpus_of_password_files_is_harmless() {
    replay("passwords", passwords::passwords);
}

#[test]
fn the_corpus_of_rules_is_harmless() {
    replay("rules", rules::rules);
}

#[test]
fn the_corpus_of_websocket_is_harmless() {
    replay("websocket", websocket::websocket);
}

#[test]
fn the_corpus_of_proxy_headers_is_harmless() {
    replay("proxy", proxy::proxy);
}

#[test]
fn the_corpus_of_scram_is_harmless() {
    replay("scram", scram::scram);
}

#[test]
fn the_corpus_of_answers_is_harmless() {
    replay("answers", answers::answers);
}

#[test]
fn the_corpus_of_tokens_is_harmless() {
    replay("tokens", tokens::tokens);
}

#[test]
fn the_corpus_of_certificates_is_harmless() {
    replay("certificates", certificates::certificates);
}

#[test]
fn the_corpus_of_first_words_is_harmless() {
    replay("hello", hello::hello);
}

#[test]
fn the_corpus_of_configurations_is_harmless() {
    replay("configuration", configuration::configuration);
}

#[test]
fn the_corpus_of_requests_is_harmless() {
    replay("requests", requests::requests);
}
