//! A stream of packets means the same however it is cut and whichever way it goes: runs of packets are only shorter.

mod support;

use pregon::base::random::Random;
use pregon::engine::shard::Shard;
use pregon::mqtt::frame::{Next, PACKET_BYTES_MAX, next_frame};
use pregon::mqtt::{QoS, Topic, Version};
use support::bare::{Bare, Client};

const TOPICS: [&str; 3] = ["a", "b", "a/b"];

/// Whether what is said may go the short way, or carries what sends it the ordinary one and changes nothing else: DUP on
/// messages that are new, a reason code that says that all is well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Short,
    Ordinary,
}

/// A client, what it will say next, and all that it has heard.
struct Peer {
    client: Client,
    version: Version,
    answers: Vec<u8>,
    heard: Vec<u8>,
    /// How much of it was read.
    read: usize,
}

impl Peer {
    /// Reads what is new, and prepares the answers that the protocol asks for.
    fn read(&mut self, way: Way) {
        let has_reason = way == Way::Ordinary && self.version == Version::V5;
        while let Ok(Next::Frame(frame)) = next_frame(&self.heard[self.read..], PACKET_BYTES_MAX) {
            let (first, body) = (frame.first, frame.body);
            let answer = match first >> 4 {
                3 => [0, 0x40, 0x50][usize::from(first >> 1 & 3)],
                5 => 0x62,
                6 => 0x70,
                _ => 0,
            };
            let id_at = if first >> 4 == 3 { 2 + usize::from(u16::from_be_bytes([body[0], body[1]])) } else { 0 };
            if answer != 0 {
                let packet = [answer, 2 + u8::from(has_reason), body[id_at], body[id_at + 1], 0];
                self.answers.extend_from_slice(&packet[..4 + usize::from(has_reason)]);
            }
            self.read += frame.len;
        }
    }
}

fn pick<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    *random.pick(choices).expect("there is a choice")
}

/// Two publishers and three subscribers on one shard or on two; everything but the cuts follows from the seed.
struct Scene {
    bare: Bare,
    peers: Vec<Peer>,
    next_id: [u16; 2],
    way: Way,
}

impl Scene {
    fn new(seed: u64, way: Way) -> Self {
        let mut random = Random::from_seed(seed);
        let shards = if seed.is_multiple_of(3) { 2 } else { 1 };
        let mut bare = Bare::new(shards);
        let mut peers = Vec::new();
        for number in 0..5 {
            let version = pick(&mut random, &Version::ALL);
            let client = bare.connect(random.index(shards), version, &format!("c{number}"));
            peers.push(Peer { client, version, answers: Vec::new(), heard: Vec::new(), read: 0 });
            bare.clear();
            if number >= 2 {
                let filter = pick(&mut random, &["a", "b", "a/b", "#"]);
                bare.subscribe(client, version, filter, u8::try_from(random.below(3)).expect("it is below 3"));
            }
        }
        Self { bare, peers, next_id: [0; 2], way }
    }

    /// What a publisher says at once: rows of messages of one kind, now and then another packet.
    fn messages(&mut self, publisher: usize, random: &mut Random) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..random.range(1, 4) {
            let topic = pick(random, &TOPICS);
            let qos = pick(random, &[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
            for _ in 0..random.range(1, 30) {
                self.publish(publisher, topic, qos, random, &mut bytes);
            }
            // What other shards have a say in is answered later than a ping.
            if random.chance(1, 4) && self.bare.shards.len() == 1 {
                bytes.extend_from_slice(&[0xc0, 0]);
            }
        }
        bytes
    }

    fn publish(&mut self, publisher: usize, topic: &str, qos: QoS, random: &mut Random, bytes: &mut Vec<u8>) {
        let id = &mut self.next_id[publisher];
        *id += 1;
        let payload = vec![b'x'; pick(random, &[0, 5, 5, 5, 5, 130, 600])];
        let packet = pregon::mqtt::publish::Publish {
            dup: self.way == Way::Ordinary && qos > QoS::AtMostOnce,
            qos,
            retain: random.chance(1, 50),
            topic: Some(Topic::parse(topic).expect("it is a topic")),
            topic_alias: None,
            packet_id: pregon::mqtt::PacketId::new(*id).filter(|_| qos > QoS::AtMostOnce),
            message_expiry: None,
            properties: pregon::mqtt::properties::Properties::NONE,
            payload: &payload,
        };
        packet.encode(self.peers[publisher].version, bytes);
    }

    /// A peer says this, in pieces that `cut` names; everybody hears what comes of it.
    fn say(&mut self, number: usize, mut bytes: &[u8], mut cut: impl FnMut(usize) -> usize) {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(cut(bytes.len()));
            self.bare.send(self.peers[number].client, piece);
            self.bare.move_mesh();
            bytes = rest;
            for (shard, out) in self.bare.outs.iter().enumerate() {
                for piece in out.pieces() {
                    for to in piece.recipients {
                        let hears = |peer: &&mut Peer| peer.client.shard == shard && peer.client.key == to.connection;
                        let peer = self.peers.iter_mut().find(hears).expect("everybody is known");
                        piece.write_for(*to, &mut peer.heard);
                    }
                }
                assert!(out.closes.is_empty(), "nobody breaks a rule");
            }
            self.bare.clear();
        }
    }

    /// Talks for a while; what each one has heard in the end.
    fn talk(mut self, seed: u64, mut cut: impl FnMut(usize) -> usize) -> Vec<Vec<u8>> {
        let mut random = Random::from_seed(seed);
        for _ in 0..60 {
            let publisher = random.index(2);
            let messages = self.messages(publisher, &mut random);
            self.say(publisher, &messages, &mut cut);
            for number in 0..self.peers.len() {
                // Who does not answer for a while has a window that fills up, and then a queue.
                if random.chance(2, 3) {
                    self.peers[number].read(self.way);
                    let answers = std::mem::take(&mut self.peers[number].answers);
                    self.say(number, &answers, &mut cut);
                }
            }
            self.bare.shards.iter().for_each(Shard::check);
        }
        self.peers.into_iter().map(|peer| peer.heard).collect()
    }
}

#[test]
fn everybody_hears_the_same_however_a_stream_is_cut() {
    let mut bytes = 0;
    for seed in 0..60 {
        let whole = Scene::new(seed, Way::Short).talk(seed, |len| len);
        let one_by_one = Scene::new(seed, Way::Short).talk(seed, |_| 1);
        assert!(whole == one_by_one, "seed {seed}: byte by byte");
        let mut random = Random::from_seed(!seed);
        let cut = Scene::new(seed, Way::Short).talk(seed, |len| len.min(1 + random.index(300)));
        assert!(whole == cut, "seed {seed}: in random pieces");
        bytes += whole.iter().map(Vec::len).sum::<usize>();
    }
    assert!(bytes > 1_000_000, "there was something to hear: {bytes}");
}

#[test]
fn everybody_hears_the_same_on_the_ordinary_way() {
    for seed in 0..60 {
        let short = Scene::new(seed, Way::Short).talk(seed, |len| len);
        let ordinary = Scene::new(seed, Way::Ordinary).talk(seed, |len| len);
        assert!(short == ordinary, "seed {seed}");
    }
}
