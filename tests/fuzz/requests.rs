//! What the fuzz target of the operator's door does with its bytes; `tests/corpus.rs` does the same with its corpus.

use crate::request::{REQUEST_BYTES_MAX, Refusal, parse};

/// Bytes as a request: answered with its last byte and not before, the same whatever follows, and only where it asks for something that is there.
pub fn requests(data: &[u8]) {
    let end = data.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    let answer = parse(data);
    let told = match end.filter(|end| *end <= REQUEST_BYTES_MAX) {
        Some(end) => end,
        None if data.len() >= REQUEST_BYTES_MAX => REQUEST_BYTES_MAX,
        None => return assert_eq!(answer, None, "its end has not come"),
    };
    if end.is_none_or(|end| end > REQUEST_BYTES_MAX) {
        assert_eq!(answer, Some(Err(Refusal::TooLarge)));
    }
    for count in (0..=data.len()).filter(|count| *count <= 256 || count.is_multiple_of(97) || count.abs_diff(told) <= 4)
    {
        let part = parse(&data[..count]);
        assert_eq!(part, if count < told { None } else { answer }, "at {count} of {told}");
    }
    let Some(Ok(request)) = answer else { return };
    let head = str::from_utf8(&data[..told]).expect("what is answered is text");
    let words: Vec<&str> = head.split("\r\n").next().expect("there is a line").split(' ').collect();
    assert_eq!(words.len(), 3, "{head:?}");
    assert!(words[0] == if request.wants_body { "GET" } else { "HEAD" }, "nothing is changed through this door");
    assert!(matches!(words[1].split('?').next(), Some("/" | "/metrics" | "/livez" | "/readyz")), "{head:?}");
    assert!(matches!(words[2], "HTTP/1.0" | "HTTP/1.1"), "{head:?}");
}
