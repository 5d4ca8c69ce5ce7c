//! The little of HTTP that the operator's door understands, as a pure function of the bytes that came.

use super::exposition::Form;

/// A request may be this long, body not counted: no body is ever read. Longer ones are refused with 431.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// What is behind the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/`: what there is.
    Index,
    /// `/metrics`, in the form that the reader likes best.
    Metrics(Form),
    /// `/livez`: the process runs.
    Live,
    /// `/readyz`: clients may come.
    Ready,
}

/// A request that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub page: Page,
    /// Whether the answer has a body: not to HEAD.
    pub wants_body: bool,
}

/// Why a request is refused; the number is the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u16)]
pub enum Refusal {
    /// It is no HTTP.
    #[error("this is no request of HTTP/1")]
    Malformed = 400,
    /// There is no such page.
    #[error("there is no such page; / lists those that there are")]
    NotFound = 404,
    /// It would change something.
    #[error("only GET and HEAD are answered here")]
    Method = 405,
    /// It did not come in time.
    #[error("the request did not come within 5 s")]
    Timeout = 408,
    /// It does not end.
    #[error("the request is longer than 8192 bytes")]
    TooLarge = 431,
    /// Too many others are being answered.
    #[error("too many requests at once")]
    Busy = 503,
    /// It speaks another version.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version = 505,
}

impl Refusal {
    /// The status line's number.
    pub const fn status(self) -> u16 {
        self as u16
    }
}

/// Reads the request at the start of `bytes`; `None` while its end has not come.
pub fn parse(bytes: &[u8]) -> Option<Result<Request, Refusal>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return (bytes.len() >= REQUEST_BYTES_MAX).then_some(Err(Refusal::TooLarge));
    };
    if end + 4 > REQUEST_BYTES_MAX {
        return Some(Err(Refusal::TooLarge));
    }
    Some(str::from_utf8(&bytes[..end]).ok().ok_or(Refusal::Malformed).and_then(parse_head))
}

fn parse_head(head: &str) -> Result<Request, Refusal> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refusal::Malformed);
    };
    if method.is_empty() || !target.starts_with('/') {
        return Err(Refusal::Malformed);
    }
    match version {
        "HTTP/1.0" | "HTTP/1.1" => {}
        other if other.starts_with("HTTP/") => return Err(Refusal::Version),
        _ => return Err(Refusal::Malformed),
    }
    let wants_body = match method {
        "GET" => true,
        "HEAD" => false,
        _ => return Err(Refusal::Method),
    };
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let page = match path {
        "/" => Page::Index,
        "/metrics" => Page::Metrics(form(lines)?),
        "/livez" => Page::Live,
        "/readyz" => Page::Ready,
        _ => return Err(Refusal::NotFound),
    };
    Ok(Request { page, wants_body })
}

/// The form that the headers `Accept` like best; that of Prometheus where they like both.
fn form<'a>(headers: impl Iterator<Item = &'a str>) -> Result<Form, Refusal> {
    let (mut prometheus, mut open) = (0, 0);
    for header in headers {
        let (name, value) = header.split_once(':').ok_or(Refusal::Malformed)?;
        if !name.eq_ignore_ascii_case("accept") {
            continue;
        }
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let parameter = |name| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            let quality = parameter("q").map_or(1_000, |(_, value)| thousandths(value));
            let is_ours = |version| parameter("version").is_none_or(|(_, value)| value.trim_matches('"') == version);
            if kind.eq_ignore_ascii_case("application/openmetrics-text") && is_ours("1.0.0") {
                open = open.max(quality);
            } else if kind.eq_ignore_ascii_case("text/plain") && is_ours("0.0.4") {
                prometheus = prometheus.max(quality);
            }
        }
    }
    Ok(if open > prometheus { Form::OpenMetrics } else { Form::Prometheus })
}

/// A quality between 0 and 1 as thousandths; what is none counts as the least.
fn thousandths(quality: &str) -> u32 {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    let is_number = fraction.len() <= 3 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    match (whole, is_number) {
        ("1", true) => 1_000,
        ("0", true) => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    fn asked(request: &str) -> Result<Request, Refusal> {
        parse(request.as_bytes()).expect("the request is whole")
    }

    fn form_for(accept: &str) -> Form {
        match asked(&format!("GET /metrics HTTP/1.1\r\nHost: x\r\naccept: {accept}\r\n\r\n")).unwrap().page {
            Page::Metrics(form) => form,
            page @ (Page::Index | Page::Live | Page::Ready) => panic!("{page:?}"),
        }
    }

    #[test]
    fn pages_are_found_by_their_path() {
        let page = |target| asked(&format!("GET {target} HTTP/1.1\r\n\r\n")).map(|request| request.page);
        assert_eq!(page("/"), Ok(Page::Index));
        assert_eq!(page("/metrics?name=up"), Ok(Page::Metrics(Form::Prometheus)));
        assert_eq!((page("/livez"), page("/readyz")), (Ok(Page::Live), Ok(Page::Ready)));
        assert_eq!((page("/metrics/"), page("/../etc")), (Err(Refusal::NotFound), Err(Refusal::NotFound)));
        assert!(!asked("HEAD /livez HTTP/1.0\r\n\r\n").unwrap().wants_body);
    }

    #[test]
    fn what_is_no_question_is_refused_with_its_status() {
        for (request, refusal) in [
            ("POST /metrics HTTP/1.1\r\n\r\n", Refusal::Method),
            ("get / HTTP/1.1\r\n\r\n", Refusal::Method),
            ("PRI * HTTP/2.0\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/2.0\r\n\r\n", Refusal::Version),
            ("GET /\r\n\r\n", Refusal::Malformed),
            ("GET  / HTTP/1.1\r\n\r\n", Refusal::Malformed),
            ("GET /metrics HTTP/1.1\r\nno header\r\n\r\n", Refusal::Malformed),
            ("\r\n\r\n", Refusal::Malformed),
            ("\x10\x0c\0\x04MQTT\x04\x02\r\n\r\n", Refusal::Malformed),
        ] {
            assert_eq!(asked(request), Err(refusal), "{request:?}");
        }
        assert_eq!((Refusal::TooLarge.status(), Refusal::Busy.status()), (431, 503));
    }

    #[test]
    fn openmetrics_is_spoken_to_whoever_likes_it_better() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(form_for(prometheus), Form::OpenMetrics);
        assert_eq!(form_for("Application/OpenMetrics-Text"), Form::OpenMetrics);
        assert_eq!(form_for("application/openmetrics-text; version=\"1.0.0\"; q=0.1"), Form::OpenMetrics);
        for plain in ["*/*", "text/plain", "application/openmetrics-text;version=0.0.1", ""] {
            assert_eq!(form_for(plain), Form::Prometheus, "{plain}");
        }
        assert_eq!(form_for("application/openmetrics-text;q=0"), Form::Prometheus);
        assert_eq!(form_for("application/openmetrics-text;q=0.25, text/plain;q=0.3"), Form::Prometheus);
        assert_eq!(form_for("application/openmetrics-text;q=none, text/html"), Form::Prometheus);
    }

    #[test]
    fn a_request_waits_for_its_end_up_to_the_bound() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n"), None);
        let long = |bytes: usize| {
            let head = "GET / HTTP/1.1\r\nX: ";
            format!("{head}{}\r\n\r\n", "x".repeat(bytes - head.len() - 4))
        };
        assert!(asked(&long(REQUEST_BYTES_MAX)).is_ok());
        assert_eq!(asked(&long(REQUEST_BYTES_MAX + 1)), Err(Refusal::TooLarge));
        assert_eq!(parse(&[b'x'; REQUEST_BYTES_MAX]), Some(Err(Refusal::TooLarge)));
        assert_eq!(parse(&[b'x'; REQUEST_BYTES_MAX - 1]), None);
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let mut random = Random::from_seed(1);
        let seed = b"GET /metrics?x HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.5,*/*\r\n\r\n";
        let mut answered = 0;
        for _ in 0..50_000 {
            let mut bytes = seed.to_vec();
            for _ in 0..=random.index(4) {
                let at = random.index(bytes.len());
                bytes[at] = u8::try_from(random.index(256)).expect("a byte");
            }
            bytes.truncate(bytes.len() - random.index(3) * random.index(20));
            answered += u32::from(matches!(parse(&bytes), Some(Ok(_))));
        }
        assert!(answered > 1_000, "changes of the kind that matters little were among them: {answered}");
    }
}
