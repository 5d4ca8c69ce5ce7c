//! A blocking client over a real socket: it says packets and hears packets, and never waits for ever.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use pregon::mqtt::Version;
use pregon::mqtt::frame::{Next, next_frame};

use crate::patience::{Deadline, PATIENCE};
use crate::process::Broker;
use crate::stream::{self, Stream};
use crate::support::story::{self, Delivery, Heard, Hello, Post, Wish};

/// One connection.
pub struct Client {
    stream: Box<dyn Stream>,
    version: Version,
    /// Received and not yet a whole packet.
    partial: Vec<u8>,
    heard: VecDeque<Heard>,
    is_closed: bool,
}

impl Client {
    /// Opens a connection and says nothing.
    pub fn open(address: SocketAddr, version: Version) -> Self {
        Self::over(stream::tcp(address), version)
    }

    /// Speaks through a stream that was opened elsewhere, and says nothing.
    pub fn over(stream: impl Stream + 'static, version: Version) -> Self {
        let stream: Box<dyn Stream> = Box::new(stream);
        stream.socket().set_write_timeout(Some(PATIENCE)).expect("a time-out above zero is taken");
        Self { stream, version, partial: Vec::new(), heard: VecDeque::new(), is_closed: false }
    }

    /// Sends CONNECT; the answer is the test's to judge.
    pub fn hello(broker: &Broker, hello: &Hello) -> Self {
        let mut client = Self::open(broker.address, hello.version);
        client.send(&hello.encode());
        client
    }

    /// Connects, takes a successful CONNACK, and tells Session Present.
    #[track_caller]
    pub fn connect_present(broker: &Broker, hello: &Hello) -> (Self, bool) {
        let mut client = Self::hello(broker, hello);
        match client.hear() {
            Heard::ConnAck(present, 0, _) => (client, present),
            other => panic!("no success: {other:?}"),
        }
    }

    /// Connects and is accepted.
    #[track_caller]
    pub fn connect(broker: &Broker, hello: &Hello) -> Self {
        Self::connect_present(broker, hello).0
    }

    /// Connects with a clean session, and is accepted.
    #[track_caller]
    pub fn join(broker: &Broker, version: Version, id: &str) -> Self {
        Self::connect(broker, &Hello::new(version, id))
    }

    /// Sends bytes; a connection that the broker has closed loses them, as the network would.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => panic!("the broker takes no bytes: {error}"),
        }
    }

    /// Connects through a stream that was opened elsewhere, and is accepted.
    #[track_caller]
    pub fn connect_over(stream: impl Stream + 'static, hello: &Hello) -> Self {
        let mut client = Self::over(stream, hello.version);
        client.send(&hello.encode());
        client.expect("success", |heard| matches!(heard, Heard::ConnAck(_, 0, _)));
        client
    }

    /// The socket of plain MQTT, for tests that go below packets.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.plain().expect("this client speaks plain MQTT")
    }

    /// The next thing the broker says, or nothing within this time.
    #[track_caller]
    pub fn hear_within(&mut self, wait: Duration) -> Option<Heard> {
        let deadline = Deadline::after(wait);
        while self.heard.is_empty() && !self.is_closed {
            self.read(deadline.left()?);
        }
        self.heard.pop_front()
    }

    /// The next thing the broker says.
    #[track_caller]
    pub fn hear(&mut self) -> Heard {
        self.hear_within(PATIENCE).expect("the broker says something")
    }

    /// The next thing the broker says that is no PUBLISH; those before it wait to be heard.
    #[track_caller]
    fn hear_behind_deliveries(&mut self) -> Heard {
        let mut earlier = Vec::new();
        loop {
            match self.hear() {
                delivery @ Heard::Publish(_) => earlier.push(delivery),
                other => {
                    earlier.into_iter().rev().for_each(|delivery| self.heard.push_front(delivery));
                    return other;
                }
            }
        }
    }

    /// The next thing must be a PUBLISH; it is not acknowledged.
    #[track_caller]
    pub fn delivery(&mut self) -> Delivery {
        match self.hear() {
            Heard::Publish(delivery) => delivery,
            other => panic!("no PUBLISH: {other:?}"),
        }
    }

    /// The next thing must be a PUBLISH; the handshake of its quality of service is gone through.
    #[track_caller]
    pub fn take(&mut self) -> Delivery {
        let delivery = self.delivery();
        self.acknowledge(&delivery);
        delivery
    }

    /// Goes through the receiver's part of the handshake.
    #[track_caller]
    pub fn acknowledge(&mut self, delivery: &Delivery) {
        match (delivery.qos, delivery.id) {
            (1, Some(id)) => self.answer(0x40, id),
            (2, Some(id)) => {
                self.answer(0x50, id);
                let released = self.hear_behind_deliveries();
                assert!(matches!(released, Heard::PubRel(released, 0, _) if released == id), "no PUBREL: {released:?}");
                self.answer(0x70, id);
            }
            (qos, id) => assert_eq!((qos, id), (0, None)),
        }
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP, success.
    pub fn answer(&mut self, first: u8, id: u16) {
        let [high, low] = id.to_be_bytes();
        self.send(&[first, 2, high, low]);
    }

    /// Publishes and leaves the acknowledgement to the test.
    pub fn publish(&mut self, post: &Post) {
        self.send(&post.encode(self.version));
    }

    /// Publishes and goes through the sender's handshake.
    #[track_caller]
    pub fn post(&mut self, post: &Post) {
        self.publish(post);
        let id = post.id;
        match post.qos {
            0 => {}
            1 => self.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(acked, 0 | 0x10, _) if *acked == id)),
            _ => {
                self.expect("PUBREC", |heard| matches!(heard, Heard::PubRec(received, 0 | 0x10, _) if *received == id));
                self.answer(0x62, id);
                self.expect("PUBCOMP", |heard| matches!(heard, Heard::PubComp(done, 0, _) if *done == id));
            }
        }
    }

    /// Subscribes to one filter, which is granted as asked; the SUBACK may come behind deliveries.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        assert_eq!(self.subscribe_to(&[Wish::to(filter, qos)]), [qos], "{filter}");
    }

    /// Subscribes: the codes of the SUBACK, which may come behind deliveries.
    #[track_caller]
    pub fn subscribe_to(&mut self, wishes: &[Wish<'_>]) -> Vec<u8> {
        self.send(&story::subscribe(self.version, 1, wishes, None));
        match self.hear_behind_deliveries() {
            Heard::SubAck(1, codes, _) => codes,
            other => panic!("no SUBACK: {other:?}"),
        }
    }

    /// Says DISCONNECT and waits until the broker has closed, with the goodbyes of all that carries MQTT: then it has drawn its conclusions.
    #[track_caller]
    pub fn leave(mut self) {
        self.send(&[0xe0, 0]);
        assert_eq!(self.hear(), Heard::Closed);
    }

    /// The network breaks: the broker gets a reset.
    pub fn cut(self) {
        self.stream.socket().set_linger(Some(Duration::ZERO)).expect("a connected socket takes SO_LINGER");
    }

    /// Closes the way to the broker and goes on listening.
    pub fn close_half(&mut self) {
        self.stream.socket().shutdown(Shutdown::Write).expect("an open connection can be closed");
    }

    /// The broker answers a PINGREQ, and that is the next thing it says.
    #[track_caller]
    pub fn expect_silence(&mut self) {
        self.send(&[0xc0, 0]);
        assert_eq!(self.hear(), Heard::PingResp);
    }

    /// The next thing must be what `is_it` says.
    #[track_caller]
    pub fn expect(&mut self, name: &str, is_it: impl FnOnce(&Heard) -> bool) {
        let heard = self.hear();
        assert!(is_it(&heard), "no {name}: {heard:?}");
    }

    /// The broker closes without a word.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        assert_eq!(self.hear(), Heard::Closed);
    }

    /// The broker closes, whatever it says before.
    #[track_caller]
    pub fn expect_end(&mut self) {
        while self.hear() != Heard::Closed {}
    }

    /// The broker closes; in 5.0 it says DISCONNECT with this reason before.
    #[track_caller]
    pub fn expect_closed_for(&mut self, reason: u8) {
        if self.version == Version::V5 {
            self.expect("DISCONNECT", |heard| matches!(heard, Heard::Disconnect(said, _) if *said == reason));
        }
        self.expect_closed();
    }

    /// Reads once what is there, or waits for it.
    #[track_caller]
    fn read(&mut self, wait: Duration) {
        self.stream.socket().set_read_timeout(Some(wait)).expect("a time-out above zero is taken");
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.close(),
            Ok(count) => self.understand(&buffer[..count]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                ErrorKind::ConnectionReset => self.close(),
                _ => panic!("the connection broke: {error}"),
            },
        }
    }

    #[track_caller]
    fn understand(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let mut at = 0;
        while let Next::Frame(frame) = next_frame(&self.partial[at..], u32::MAX).expect("the broker sends packets") {
            self.heard.push_back(story::understand(self.version, frame.first, frame.body, frame.len));
            at += frame.len;
        }
        self.partial.drain(..at);
    }

    #[track_caller]
    fn close(&mut self) {
        assert!(self.partial.is_empty(), "the broker closed in the middle of a packet");
        self.is_closed = true;
        self.heard.push_back(Heard::Closed);
    }
}
