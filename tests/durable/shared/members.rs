//! Members of shared groups in a broker that loses its power: what they say, and what their group has got.

use std::collections::{BTreeMap, BTreeSet};

use crate::plain_cast::{Messages, TOPIC};
use crate::support::cast::Wires;
use crate::support::raw::{packet, packets, text};

/// A member, or one that was and will be.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "things that are so or not, each by itself")]
pub struct Member {
    name: String,
    filter: String,
    qos: u8,
    /// Whether its session ends with each connection.
    is_brief: bool,
    /// Whether it never leaves its group.
    is_anchor: bool,
    /// Its connection, if it has one.
    pub link: Option<usize>,
    is_known: bool,
    /// Whether its membership was acknowledged, and not its end.
    is_in: bool,
    wants_in: bool,
    /// A request that nobody has answered.
    asked: bool,
    /// Identifiers of quality of service 2 that it has taken and not released.
    taken: BTreeSet<u16>,
}

/// What came to the members of a group: of each message the qualities of service, in order.
#[derive(Debug, Default)]
pub struct Group {
    /// How often each message came, and how.
    pub got: BTreeMap<u32, Vec<u8>>,
    /// Messages from this one on have to come.
    pub since: Option<u32>,
    /// Of each publisher and quality of service, the first arrivals in order.
    pub firsts: BTreeMap<(usize, u8), Vec<u32>>,
}

impl Member {
    /// One that has not connected.
    pub fn new(name: String, group: usize, qos: u8, is_brief: bool) -> Self {
        let (is_anchor, wants_in) = (false, true);
        let (filter, taken) = (format!("$share/g{group}/{TOPIC}"), BTreeSet::new());
        let (link, is_known, is_in, asked) = (None, false, false, false);
        Self { name, filter, qos, is_brief, is_anchor, link, is_known, is_in, wants_in, asked, taken }
    }

    /// The same, but it never leaves its group.
    pub fn staying(self) -> Self {
        Self { is_anchor: true, ..self }
    }

    /// Connects, if it is not connected.
    pub fn come(&mut self, wires: &mut impl Wires) {
        if self.link.is_some() {
            return;
        }
        let link = wires.connect();
        self.link = Some(link);
        self.asked = false;
        let flags = if self.is_brief { 2 } else { 0 };
        wires.send(link, &packet(0x10, &[&text("MQTT"), &[4, flags, 0, 0], &text(&self.name)]));
    }

    /// Leaves its group, or comes back to it.
    pub fn turn(&mut self, wires: &mut impl Wires) {
        if self.asked || self.is_anchor || !self.is_known || self.link.is_none() {
            return;
        }
        self.wants_in = !self.is_in;
        self.ask(wires);
    }

    fn ask(&mut self, wires: &mut impl Wires) {
        let Some(link) = self.link else { return };
        let filter = text(&self.filter);
        if self.wants_in && !self.is_in {
            wires.send(link, &packet(0x82, &[&[0, 9], &filter, &[self.qos]]));
        } else if !self.wants_in && self.is_in {
            wires.send(link, &packet(0xa2, &[&[0, 9], &filter]));
        }
        self.asked = self.wants_in != self.is_in;
    }

    /// Hears what has come, and answers.
    pub fn hear(&mut self, messages: &Messages, group: &mut Group, wires: &mut impl Wires) {
        let Some(link) = self.link else { return };
        for (first, body) in packets(&wires.receive(link)) {
            match first >> 4 {
                2 => {
                    assert_eq!(body[1], 0, "the client may come in");
                    assert!(body[0] == 1 || self.is_brief || !self.is_known, "a session that was promised is there");
                    if body[0] == 0 {
                        self.taken.clear();
                        self.is_in = false;
                    }
                    self.is_known = true;
                    self.ask(wires);
                }
                9 => {
                    (self.is_in, self.asked) = (true, false);
                    if self.is_anchor && group.since.is_none() {
                        group.since = Some(u32::try_from(messages.len()).expect("few messages"));
                    }
                }
                11 => (self.is_in, self.asked) = (false, false),
                3 => {
                    let answer = self.take(first, &body, messages, group);
                    wires.send(link, &answer);
                }
                6 => {
                    self.taken.remove(&u16::from_be_bytes([body[0], body[1]]));
                    wires.send(link, &packet(0x70, &[&body[..2]]));
                }
                other => panic!("a member gets no packet of type {other}"),
            }
        }
        if wires.is_closed(link) {
            self.link = None;
        }
    }

    /// Takes a message; the answer that it is owed.
    fn take(&mut self, first: u8, body: &[u8], messages: &Messages, group: &mut Group) -> Vec<u8> {
        let rest = body.strip_prefix(&*text(TOPIC)).expect("nothing else was subscribed to");
        let qos = first >> 1 & 3;
        let (id, payload) = if qos == 0 { (&[][..], rest) } else { rest.split_at(2) };
        let message = u32::from_be_bytes(payload.try_into().expect("the message's number"));
        let (whose, published) = messages[message as usize]; // what was never published has no place here
        assert_eq!(qos, published.min(self.qos), "[MQTT-4.8.2-3] {} gets what it was granted", self.name);
        if qos < 2 || self.taken.insert(u16::from_be_bytes([id[0], id[1]])) {
            let came = group.got.entry(message).or_default();
            came.push(qos);
            if came.len() == 1 {
                group.firsts.entry((whose, published)).or_default().push(message);
            }
        }
        match qos {
            0 => Vec::new(),
            1 => packet(0x40, &[id]),
            _ => packet(0x50, &[id]),
        }
    }
}

impl Group {
    fn is_due(&self, message: u32) -> bool {
        self.since.is_some_and(|since| message >= since)
    }
}

/// What of it is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Members may take messages of this quality of service and above with them when they go.
    pub careless_from: u8,
    /// Whether one member gets everything and lives with its group, so that there is an order: what is between shards when a client comes
    /// back goes to its group again, and may come behind what follows. No standard forbids that.
    pub is_ordered: bool,
}

/// Asserts that a group has got all that was promised, and nothing twice that must come once.
///
/// # Panics
/// When something is wrong.
pub fn judge(group: &Group, promised: impl Iterator<Item = u32>, messages: &Messages, rules: Rules) {
    for (message, came) in &group.got {
        if messages[*message as usize].1 < 2 || !group.is_due(*message) {
            continue; // its publisher may have sent it twice, or nobody has noted that it came
        }
        // Whoever got it with quality of service 2 has it for good, and with 0 nobody is asked for it again. A repeat of quality 1 may
        // have been on its way to somebody else before.
        let for_good = came.iter().filter(|qos| **qos != 1).count();
        assert!(for_good <= 1, "message {message} came again: {came:?}");
    }
    for message in promised {
        let (_, qos) = messages[message as usize];
        let is_due = group.is_due(message) && qos < rules.careless_from;
        assert!(!is_due || group.got.contains_key(&message), "message {message} of quality of service {qos} is lost");
    }
    for firsts in group.firsts.values().filter(|_| rules.is_ordered) {
        // What nobody wanted when it was sent first may come late when it is sent again.
        let firsts: Vec<u32> = firsts.iter().copied().filter(|first| group.is_due(*first)).collect();
        assert!(firsts.is_sorted(), "messages of one publisher stay in order: {firsts:?}");
    }
}
