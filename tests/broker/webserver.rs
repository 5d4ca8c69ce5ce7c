//! A web server of the tests: it notes what it is asked and answers as a test says, well or badly.
#![expect(clippy::disallowed_methods, reason = "a server has a thread for each of its connections")]

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::patience::wait_until;

/// What somebody asks.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The first line and the headers.
    pub head: String,
    /// What is behind them, if it is JSON.
    pub body: Value,
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status 200 and this text.
    Text(String),
    /// Another status and this text.
    Status(u16, String),
    /// These bytes and then the end.
    Raw(Vec<u8>),
    /// Nothing, until the other side has enough.
    Silence,
}

type Answers = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A running server; it is gone with this.
pub struct WebServer {
    /// Where it listens.
    pub address: SocketAddr,
    inside: Arc<Inside>,
    thread: Option<JoinHandle<()>>,
}

struct Inside {
    asked: Mutex<Vec<Asked>>,
    answers: Mutex<Arc<Answers>>,
    /// Whoever asks waits while this is not set.
    is_open: AtomicBool,
    is_over: AtomicBool,
}

impl WebServer {
    /// A server that answers so.
    pub fn start(answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::over((Ipv4Addr::LOCALHOST, 0).into(), None, answers)
    }

    /// The same at this address, and with TLS where there is a configuration of it.
    pub fn over(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let inside = Arc::new(Inside {
            asked: Mutex::default(),
            answers: Mutex::new(Arc::new(answers)),
            is_open: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&inside);
        let thread = spawn(move || {
            for stream in listener.incoming() {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), inside, tls) = (stream, Arc::clone(&shared), tls.clone()) else { continue };
                spawn(move || serve(stream, tls, &inside));
            }
        });
        Self { address, inside, thread: Some(thread) }
    }

    /// From now on it answers so.
    pub fn answer(&self, answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.inside.answers.lock().expect("nobody panics with it") = Arc::new(answers);
    }

    /// Whether it answers at all, or lets those wait who ask.
    pub fn open(&self, is_open: bool) {
        self.inside.is_open.store(is_open, Ordering::SeqCst);
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.inside.asked.lock().expect("nobody panics with it").clone()
    }

    /// How often.
    pub fn count(&self) -> usize {
        self.asked().len()
    }

    /// Where a path of it is asked.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.inside.is_over.store(true, Ordering::SeqCst);
        self.inside.is_open.store(true, Ordering::SeqCst);
        // It hears of the end with the next connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it accepts and nothing else");
        }
    }
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, inside: &Inside) {
    match tls {
        None => talk(BufReader::new(stream), inside),
        Some(config) => {
            let session = ServerConnection::new(config).expect("the configuration is whole");
            talk(BufReader::new(StreamOwned::new(session, stream)), inside);
        }
    }
}

/// One request after the other, until either side has enough.
fn talk<S: Read + Write>(mut stream: BufReader<S>, inside: &Inside) {
    while let Some(asked) = hear(&mut stream) {
        inside.asked.lock().expect("nobody panics with it").push(asked.clone());
        wait_until("the server to answer", || inside.is_open.load(Ordering::SeqCst));
        if inside.is_over.load(Ordering::SeqCst) {
            return;
        }
        let answers = Arc::clone(&inside.answers.lock().expect("nobody panics with it"));
        let (bytes, goes_on) = match answers(&asked) {
            Reply::Text(text) => (framed(200, &text), true),
            Reply::Status(status, text) => (framed(status, &text), true),
            Reply::Raw(bytes) => (bytes, false),
            Reply::Silence => {
                // It ends when the other side does.
                let _ = stream.read(&mut [0]);
                return;
            }
        };
        // Whoever does not wait for the answer does not get it.
        let is_told = stream.get_mut().write_all(&bytes).and_then(|()| stream.get_mut().flush());
        if is_told.is_err() || !goes_on {
            return;
        }
    }
}

fn framed(status: u16, text: &str) -> Vec<u8> {
    let more = if status / 100 == 3 { "location: /elsewhere\r\n" } else { "" };
    format!("HTTP/1.1 {status} Word\r\n{more}content-length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

fn hear(stream: &mut impl std::io::BufRead) -> Option<Asked> {
    let mut head = String::new();
    loop {
        let before = head.len();
        stream.read_line(&mut head).ok().filter(|read| *read > 0)?;
        if head[before..].trim().is_empty() {
            break;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length is a number"))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Asked { head, body: serde_json::from_slice(&body).unwrap_or_default() })
}
