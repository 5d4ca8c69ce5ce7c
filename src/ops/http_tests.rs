//! The operator's door over real sockets: good guests, slow ones, hostile ones.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use super::http::{Admin, Readiness, now};
use super::sample::report;
use crate::engine::homes::ShardId;
use crate::shell::clock::Clock;
use crate::shell::progress::Progress;
use crate::shell::report::Report;

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// More than any guest of these tests needs.
const LONG: Duration = Duration::from_mins(1);

fn door(shards: usize, reports: impl Fn() -> Vec<Report> + Send + Sync + 'static, patience: Duration) -> Admin {
    Admin::start_with(ANYWHERE, reports, Readiness::new(shards), patience).expect("loopback has a free port")
}

fn open_door() -> Admin {
    door(2, || vec![report(0), report(1)], LONG)
}

fn come(door: &Admin) -> TcpStream {
    let stream = TcpStream::connect(door.address()).expect("the door listens");
    stream.set_read_timeout(Some(LONG)).expect("a bound for a test that hangs");
    stream
}

/// All that the door says until it closes.
fn heard(mut guest: &TcpStream) -> String {
    let mut text = String::new();
    guest.read_to_string(&mut text).expect("the answer comes to its end");
    text
}

fn ask(door: &Admin, request: &str) -> String {
    let mut guest = come(door);
    guest.write_all(request.as_bytes()).expect("the door hears");
    heard(&guest)
}

fn get(door: &Admin, path: &str) -> String {
    ask(door, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// What `Content-Length` says.
fn announced_len(answer: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(&answer[..answer.len().min(1024)]);
    head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?.parse().ok()
}

/// Whether less comes than was announced, or the connection is reset.
fn is_cut_off(mut guest: &TcpStream) -> bool {
    let mut answer = Vec::new();
    let is_reset = guest.read_to_end(&mut answer).is_err();
    let head_len = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("the head went out") + 4;
    is_reset || answer.len() - head_len < announced_len(&answer).expect("the head says how much comes")
}

/// Whether a guest is let in at this moment; one who is sent away may see his connection reset.
fn has_seat(door: &Admin) -> bool {
    let mut guest = come(door);
    let mut status = [0; 12];
    guest.write_all(b"GET /livez HTTP/1.1\r\n\r\n").and_then(|()| guest.read_exact(&mut status)).is_ok()
        && status == *b"HTTP/1.1 200"
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("an answer has a head").1
}

#[test]
fn metrics_come_in_the_form_that_was_asked_for() {
    let door = open_door();
    let plain = get(&door, "/metrics");
    assert!(
        plain.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{plain}"
    );
    assert!(body(&plain).contains("pregon_connections{shard=\"1\"} 0\n"));
    assert!(plain.contains(&format!("\r\nContent-Length: {}\r\n", body(&plain).len())));
    let open = ask(&door, "GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n");
    assert!(open.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"), "{open}");
    assert!(body(&open).ends_with("\n# EOF\n"));
}

#[test]
fn head_gets_the_head_alone() {
    let door = open_door();
    let answer = ask(&door, "HEAD /livez HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Content-Length: 6\r\n"), "{answer}");
    assert_eq!(body(&answer), "");
}

#[test]
fn the_index_names_every_page() {
    let door = open_door();
    let index = get(&door, "/");
    assert!(["/metrics", "/livez", "/readyz"].iter().all(|page| body(&index).contains(page)), "{index}");
}

#[test]
fn ready_is_who_has_every_shard_and_does_not_stop() {
    let silent = Arc::new(AtomicUsize::new(0));
    let readiness = Readiness::new(2);
    let of_door = Arc::clone(&silent);
    let reports = move || (of_door.load(Ordering::Relaxed)..2).map(report).collect();
    let door = Admin::start(ANYWHERE, reports, Arc::clone(&readiness)).unwrap();
    assert!(get(&door, "/readyz").starts_with("HTTP/1.1 200"));
    readiness.begin_stop();
    let stopping = get(&door, "/readyz");
    assert!(stopping.starts_with("HTTP/1.1 503") && body(&stopping) == "stopping\n", "{stopping}");
    assert!(get(&door, "/livez").starts_with("HTTP/1.1 200"), "a broker that stops is still alive");
    door.stop();

    silent.store(1, Ordering::Relaxed);
    let door = self::door(2, move || (silent.load(Ordering::Relaxed)..2).map(report).collect(), LONG);
    let incomplete = get(&door, "/readyz");
    assert!(incomplete.starts_with("HTTP/1.1 503") && body(&incomplete) == "1 of 2 shards answer\n", "{incomplete}");
}

#[test]
fn nobody_is_ready_before_the_journal_is_read_and_the_door_says_how_far_it_is() {
    let progress = Progress::new(Clock::start(), [100, 300]);
    let (first, second) = (progress.share(ShardId::new(0)), progress.share(ShardId::new(1)));
    let reports = || vec![report(0), report(1)];
    let door = Admin::start(ANYWHERE, reports, Readiness::starting(Arc::clone(&progress))).unwrap();
    let unready = || {
        let answer = get(&door, "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        body(&answer).to_owned()
    };
    assert_eq!(unready(), "reading the journal: 0 %, 0 MB/s, time left unknown\n");
    assert!(get(&door, "/livez").starts_with("HTTP/1.1 200"), "a broker that starts is alive");
    first.has_read(60);
    second.has_read(140);
    let halfway = unready();
    assert!(halfway.starts_with("reading the journal: 50 %, ") && halfway.ends_with(" s left\n"), "{halfway}");
    first.is_ready(1);
    second.is_ready(1);
    assert_eq!(unready(), "starting: 2 of 2 shards are ready\n");
    progress.open();
    assert!(get(&door, "/readyz").starts_with("HTTP/1.1 200"));
}

#[test]
fn what_is_refused_says_why() {
    let door = open_door();
    let refused = ask(&door, "DELETE /metrics HTTP/1.1\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405 Method Not Allowed\r\n") && refused.contains("Allow: GET, HEAD\r\n"));
    assert!(get(&door, "/admin").starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(ask(&door, "\x16\x03\x01 TLS?\r\n\r\n").starts_with("HTTP/1.1 400 Bad Request\r\n"));
}

#[test]
fn an_endless_request_is_cut_at_its_bound_and_still_hears_why() {
    let door = open_door();
    let mut guest = come(&door);
    guest.write_all(&vec![b'x'; 20_000]).expect("the kernel takes it");
    guest.shutdown(Shutdown::Write).expect("the guest has said all");
    assert!(heard(&guest).starts_with("HTTP/1.1 431 "));
}

#[test]
fn who_asks_letter_by_letter_runs_out_of_time() {
    let door = door(1, Vec::new, Duration::from_secs(1));
    let mut guest = come(&door);
    let since = now();
    guest.set_read_timeout(Some(Duration::from_millis(10))).expect("the guest looks up between letters");
    let mut answer = [0; 12];
    while guest.read_exact(&mut answer).is_err() {
        assert!(since + LONG > now(), "the door waits for ever");
        guest.write_all(b"x").expect("the door is open until it has answered");
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn who_does_not_listen_loses_his_seat() {
    let many = || (0..800).map(report).collect(); // more text than sockets hold
    let door = door(800, many, Duration::from_millis(500));
    let deaf: Vec<TcpStream> = (0..16).map(|_| come(&door)).collect();
    for mut guest in &deaf {
        guest.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("the door hears");
    }
    let since = now();
    while !has_seat(&door) {
        assert!(since + LONG > now(), "the deaf keep their seats");
    }
    // Whoever lost his seat did not get it all; who still has one may hear the rest, now that he listens.
    assert!(deaf.iter().any(is_cut_off), "sockets held all of it: nobody was deaf");
}

#[test]
fn the_seventeenth_guest_is_sent_away_and_a_free_seat_is_taken_again() {
    let door = open_door();
    let first: Vec<TcpStream> = (0..16).map(|_| come(&door)).collect();
    let turned_away = heard(&come(&door));
    assert!(turned_away.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{turned_away}");
    drop(first);
    let since = now();
    while !has_seat(&door) {
        assert!(since + LONG > now(), "no seat is free again");
    }
}

#[test]
fn a_storm_of_scrapes_asks_the_shards_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let all_are_here = Arc::new(Barrier::new(2));
    let (count, gate) = (Arc::clone(&asked), Arc::clone(&all_are_here));
    let door = door(
        1,
        move || {
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                gate.wait();
            }
            vec![report(0)]
        },
        LONG,
    );
    let guests: Vec<TcpStream> = (0..10).map(|_| come(&door)).collect();
    for mut guest in &guests {
        guest.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("the door hears");
    }
    all_are_here.wait();
    let answers: Vec<String> = guests.iter().map(heard).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.starts_with("HTTP/1.1 200")));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_closed_door_lets_nobody_in_and_keeps_nobody() {
    let door = open_door();
    let address = door.address();
    let waiting = come(&door);
    assert!(get(&door, "/livez").starts_with("HTTP/1.1 200"), "so the guest before has his seat");
    door.stop();
    assert_eq!(heard(&waiting), "", "his connection is cut");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let door = open_door();
    let error = Admin::start(door.address(), Vec::new, Readiness::new(1)).unwrap_err();
    assert!(error.to_string().starts_with(&format!("admin.listen {}: ", door.address())), "{error}");
}

#[test]
fn guests_that_come_and_go_leave_nothing_behind() {
    let door = open_door();
    let guests: Vec<_> = (0..4)
        .map(|_| {
            let address = door.address();
            thread::Builder::new().spawn(move || {
                for _ in 0..50 {
                    drop(TcpStream::connect(address).expect("the door listens")); // leaves without a word
                }
            })
        })
        .collect();
    for guest in guests {
        guest.expect("a thread starts").join().expect("a guest does not panic");
    }
    let since = now();
    while !has_seat(&door) {
        assert!(since + LONG > now(), "seats are lost");
    }
}
