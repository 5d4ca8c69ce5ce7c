//! `pregon pub`: publishes messages and leaves when the broker has them.

use std::fs::File;
use std::io::{self, BufRead as _, Read};
use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, never};

use super::arguments::peer::Peer;
use super::arguments::publishing::Publishing;
use super::client::conversation::{Heard, Message};
use super::client::error::ClientError;
use super::client::greeting::Greeting;
use super::client::{Client, Woken, clock};
use crate::base::time::Time;
use crate::mqtt::frame::PACKET_BYTES_MAX;
use crate::mqtt::{QoS, Topic};

/// Lines that may be read ahead of what is sent.
const LINES_MAX: usize = 64;

/// Publishes all that was asked for.
pub fn run(arguments: &Publishing, greeting: &Greeting) -> Result<(), ClientError> {
    let payload = payload(arguments)?; // before the broker hears of us
    let mut publisher = Publisher { arguments, published: 0, refused: None };
    let Peer { host, port, debug, .. } = &arguments.peer;
    let mut client = Client::connect(host, *port, greeting, *debug, &mut |heard, _| {
        publisher.hear(heard);
        Ok(())
    })?;
    client.conversation().set_window(arguments.max_inflight.get());
    match payload {
        Some(payload) => publisher.publish_again_and_again(&mut client, &payload)?,
        None => publisher.publish_lines(&mut client, &lines()?)?,
    }
    while !client.conversation().is_settled() {
        publisher.wait(&mut client, &never::<()>(), Time::NEVER)?;
    }
    client.leave()?;
    publisher.refused.map_or(Ok(()), Err)
}

/// What has become of the messages. One for the whole run.
struct Publisher<'a> {
    arguments: &'a Publishing,
    published: u64,
    /// The first message that the broker did not take; the others go on.
    refused: Option<ClientError>,
}

impl Publisher<'_> {
    fn publish_again_and_again(&mut self, client: &mut Client, payload: &[u8]) -> Result<(), ClientError> {
        let repeat = self.arguments.repeat.get();
        while self.published < repeat {
            let next = clock::now().after_ms(self.arguments.repeat_delay);
            self.await_room(client)?;
            self.publish(client, payload)?;
            while self.published < repeat && !clock::now().has_passed(next) {
                self.wait(client, &never::<()>(), next)?;
            }
        }
        Ok(())
    }

    fn publish_lines(&mut self, client: &mut Client, lines: &Receiver<io::Result<Vec<u8>>>) -> Result<(), ClientError> {
        loop {
            self.await_room(client)?;
            match self.wait(client, lines, Time::NEVER)? {
                Woken::Other(Some(line)) => {
                    let line = line.map_err(|error| local("standard input", error))?;
                    self.publish(client, &line)?;
                }
                Woken::Other(None) => return Ok(()),
                Woken::Broker | Woken::Time => {}
            }
        }
    }

    /// Messages of `QoS` 0 wait for the socket alone.
    fn await_room(&mut self, client: &mut Client) -> Result<(), ClientError> {
        while self.arguments.qos > QoS::AtMostOnce && !client.conversation().has_room() {
            self.wait(client, &never::<()>(), Time::NEVER)?;
        }
        Ok(())
    }

    fn publish(&mut self, client: &mut Client, payload: &[u8]) -> Result<(), ClientError> {
        let Publishing { topic, qos, retain, .. } = self.arguments;
        let topic = Topic::parse(topic).expect("the command line has checked the topic");
        client.conversation().publish(Message { topic, payload, qos: *qos, is_retained: *retain })?;
        self.published += 1;
        Ok(())
    }

    fn wait<T>(&mut self, client: &mut Client, other: &Receiver<T>, until: Time) -> Result<Woken<T>, ClientError> {
        client.wait(other, until, &mut |heard, _| {
            self.hear(heard);
            Ok(())
        })
    }

    fn hear(&mut self, heard: Heard<'_>) {
        match heard {
            Heard::Settled(_, reason) if reason.is_error() => {
                self.refused.get_or_insert(ClientError::NotTaken { reason });
            }
            // Messages of a resumed session are not ours to take: unacknowledged they wait for its subscriber.
            Heard::Message(..)
            | Heard::Settled(..)
            | Heard::Accepted { .. }
            | Heard::Subscribed(_)
            | Heard::Unsubscribed(_)
            | Heard::Nothing => {}
        }
    }
}

/// The one message; none where each line of standard input is one.
fn payload(arguments: &Publishing) -> Result<Option<Vec<u8>>, ClientError> {
    use std::os::unix::ffi::OsStringExt as _;

    if let Some(text) = &arguments.message {
        return Ok(Some(text.clone().into_vec()));
    }
    if let Some(path) = &arguments.file {
        return read_file(path).map(Some);
    }
    if arguments.stdin_file {
        return read_payload(io::stdin().lock()).map(Some).map_err(|error| local("standard input", error));
    }
    Ok(arguments.null_message.then(Vec::new))
}

fn read_file(path: &Path) -> Result<Vec<u8>, ClientError> {
    let payload = File::open(path).and_then(read_payload);
    payload.map_err(|error| local(&path.display().to_string(), error))
}

/// Reads a little more than any packet can carry, and no further: the client says why it is too much.
fn read_payload(from: impl Read) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    from.take(u64::from(PACKET_BYTES_MAX) + 1).read_to_end(&mut payload)?;
    Ok(payload)
}

fn local(what: &str, error: io::Error) -> ClientError {
    ClientError::Local { what: what.to_owned(), error }
}

/// The lines of standard input, read by a thread of their own: the broker is served while nobody types.
fn lines() -> Result<Receiver<io::Result<Vec<u8>>>, ClientError> {
    let (sender, lines) = bounded(LINES_MAX);
    let reader = thread::Builder::new().name("lines".into());
    reader.spawn(move || read_lines(&sender)).map_err(|error| local("standard input", error))?;
    Ok(lines)
}

fn read_lines(sender: &Sender<io::Result<Vec<u8>>>) {
    for line in io::stdin().lock().split(b'\n') {
        let is_last = line.is_err();
        if sender.send(line).is_err() || is_last {
            break;
        }
    }
}
