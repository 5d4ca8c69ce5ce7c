//! A broker of clients that subscribe to one topic each, which keeps every message until its client comes, or all but one.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use pregon::mqtt::connect::Connect;
use pregon::mqtt::frame::{Frame, Next, next_frame};
use pregon::mqtt::publish::Publish;
use pregon::mqtt::subscribe::Subscribe;
use pregon::mqtt::{PacketType, Version};

use crate::generator::packets::acknowledge;

/// Every client speaks this one.
const VERSION: Version = Version::V311;

/// What outlives connections.
#[derive(Clone, Default)]
pub struct Keeper {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// The topic of each session, by client identifier.
    sessions: BTreeMap<String, String>,
    /// Messages by topic: the packets as they came.
    messages: BTreeMap<String, Vec<Vec<u8>>>,
    message_count: u32,
    /// The message that is acknowledged and not kept, counted from 1.
    lost: Option<u32>,
}

impl Keeper {
    /// One that loses this message, counted from 1.
    pub fn losing(message: u32) -> Self {
        let kept = Kept { lost: Some(message), ..Kept::default() };
        Self { kept: Arc::new(Mutex::new(kept)) }
    }

    /// Whether it has neither sessions nor messages.
    pub fn is_empty(&self) -> bool {
        let kept = self.kept.lock().unwrap();
        kept.sessions.is_empty() && kept.messages.is_empty()
    }

    /// Serves one client until it leaves.
    pub fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let (mut held, mut chunk, mut client_id) = (Vec::new(), [0; 4_096], String::new());
        loop {
            let size = stream.read(&mut chunk)?;
            held.extend_from_slice(&chunk[..size]);
            let (mut out, mut used) = (Vec::new(), 0);
            while let Ok(Next::Frame(frame)) = next_frame(&held[used..], u32::MAX) {
                self.answer(&mut client_id, &held[used..used + frame.len], &frame, &mut out);
                used += frame.len;
            }
            held.drain(..used);
            stream.write_all(&out)?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn answer(&self, client_id: &mut String, packet: &[u8], frame: &Frame<'_>, out: &mut Vec<u8>) {
        let mut kept = self.kept.lock().unwrap();
        let id = frame.body.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
        match PacketType::of_first_byte(frame.first).unwrap() {
            PacketType::Connect => {
                let connect = Connect::decode(frame.first, frame.body).unwrap();
                connect.client_id.clone_into(client_id);
                kept.welcome(connect.client_id, connect.clean_start, out);
            }
            PacketType::Subscribe => {
                let subscribe = Subscribe::decode(VERSION, frame.body).unwrap();
                let requested = subscribe.entries().next().unwrap();
                kept.sessions.insert(client_id.clone(), requested.text.to_owned());
                out.extend([0x90, 3, frame.body[0], frame.body[1], requested.qos.bits()]);
            }
            PacketType::Publish => {
                let publish = Publish::decode(VERSION, frame.first, frame.body).unwrap();
                let answer = if publish.qos.bits() == 1 { PacketType::PubAck } else { PacketType::PubRec };
                acknowledge(answer, publish.packet_id.unwrap().get(), out);
                kept.keep(publish.topic.unwrap().as_str(), packet);
            }
            PacketType::PubRec => acknowledge(PacketType::PubRel, id, out),
            PacketType::PubRel => acknowledge(PacketType::PubComp, id, out),
            PacketType::PubAck | PacketType::PubComp | PacketType::Disconnect => {}
            other @ (PacketType::ConnAck
            | PacketType::SubAck
            | PacketType::Unsubscribe
            | PacketType::UnsubAck
            | PacketType::PingReq
            | PacketType::PingResp
            | PacketType::Auth) => panic!("the generator sends no {other:?}"),
        }
    }
}

impl Kept {
    /// CONNACK, and what has waited. The identifiers are the publisher's: the generator answers to any.
    fn welcome(&mut self, client_id: &str, is_clean: bool, out: &mut Vec<u8>) {
        if is_clean {
            self.sessions.remove(client_id);
        }
        let topic = self.sessions.get(client_id);
        out.extend([0x20, 2, u8::from(topic.is_some()), 0]);
        let waiting = topic.and_then(|topic| self.messages.remove(topic));
        out.extend(waiting.into_iter().flatten().flatten());
    }

    fn keep(&mut self, topic: &str, packet: &[u8]) {
        self.message_count += 1;
        if self.lost != Some(self.message_count) {
            self.messages.entry(topic.to_owned()).or_default().push(packet.to_vec());
        }
    }
}
