//! A broker that the test plays: it listens, starts the client as a process, hears packets and says what the test wants.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use pregon::mqtt::codes::Codes;
use pregon::mqtt::connack::ConnAck;
use pregon::mqtt::frame::{Next, PACKET_BYTES_MAX, next_frame};
use pregon::mqtt::packet::{Packet, Sender};
use pregon::mqtt::properties::Properties;
use pregon::mqtt::publish::Publish;
use pregon::mqtt::suback::SubAck;
use pregon::mqtt::{PacketId, PacketType, QoS, Reason, Topic, Version};

/// How long a client has to say what is expected of it, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it has to say what it must not say.
const SILENCE: Duration = Duration::from_millis(200);

/// Where clients come in.
pub struct Played {
    listener: TcpListener,
}

/// A client that has come in.
pub struct Guest {
    stream: TcpStream,
    child: Child,
    version: Version,
    heard: Vec<u8>,
}

impl Played {
    pub fn new() -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", 0)).unwrap() }
    }

    /// Starts a client that connects here.
    pub fn spawn(&self, line: &str) -> Child {
        let port = self.listener.local_addr().unwrap().port();
        let mut command = super::pregon(&format!("{line} -h 127.0.0.1 -p {port}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Takes its connection.
    pub fn accept(&self, child: Child, version: Version) -> Guest {
        let (stream, _) = self.listener.accept().unwrap();
        Guest { stream, child, version, heard: Vec::new() }
    }

    /// Takes its connection and grants it so many subscriptions.
    pub fn welcome(&self, child: Child, version: Version, subscriptions: usize) -> Guest {
        let mut guest = self.accept(child, version);
        guest.greet();
        guest.grant(&vec![0; subscriptions]);
        guest
    }
}

impl Guest {
    /// Hears CONNECT and accepts.
    pub fn greet(&mut self) {
        self.expect(PacketType::Connect);
        let properties = Properties::NONE;
        self.send(&Packet::ConnAck(ConnAck { session_present: false, reason: Reason::Success, properties }));
    }

    /// Hears SUBSCRIBE and answers it.
    pub fn grant(&mut self, codes: &[u8]) {
        let id = self.expect(PacketType::Subscribe).expect("a SUBSCRIBE has an identifier");
        let reasons = Codes::parse(PacketType::SubAck, codes).unwrap();
        self.send(&Packet::SubAck(SubAck { id, reasons, properties: Properties::NONE }));
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes);
        self.send_bytes(&bytes);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Hears the next packet, which must be of this type; its identifier, if it has one.
    pub fn expect(&mut self, wanted: PacketType) -> Option<PacketId> {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            if let Next::Frame(frame) = next_frame(&self.heard, PACKET_BYTES_MAX).unwrap() {
                let packet = Packet::decode(self.version, Sender::Client, frame.first, frame.body).unwrap();
                assert_eq!(packet.packet_type(), wanted, "{packet:?}");
                let (id, len) = (id_of(&packet), frame.len);
                self.heard.drain(..len);
                return id;
            }
            let mut piece = [0; 4096];
            let len = self.read(&mut piece).unwrap();
            assert!(len > 0, "the client has gone where {wanted:?} was expected");
            self.heard.extend_from_slice(&piece[..len]);
        }
    }

    /// Nothing comes for a while.
    pub fn expect_silence(&mut self) {
        assert!(self.heard.is_empty(), "{:?}", self.heard);
        self.stream.set_read_timeout(Some(SILENCE)).unwrap();
        let error = self.read(&mut [0]).expect_err("nothing may come now");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }

    /// Reads on where the end of another test's process interrupts it.
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Closes and waits for the client's end.
    pub fn output(self) -> Output {
        drop(self.stream);
        self.child.wait_with_output().unwrap()
    }
}

fn id_of(packet: &Packet<'_>) -> Option<PacketId> {
    if let Packet::Publish(publish) = packet {
        publish.packet_id
    } else if let Packet::Subscribe(subscribe) = packet {
        Some(subscribe.id)
    } else {
        None
    }
}

/// A message for the client.
pub fn message(qos: QoS, id: u16, payload: &[u8]) -> Packet<'_> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: Topic::parse("a").ok(),
        topic_alias: None,
        packet_id: PacketId::new(id),
        message_expiry: None,
        properties: Properties::NONE,
        payload,
    })
}
