//! The messages of a publisher that the broker has not acknowledged, and the identifiers they bear.

use std::collections::VecDeque;

use pregon::mqtt::PacketType;

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Free,
    /// PUBACK or PUBREC is awaited.
    Published,
    /// PUBCOMP is awaited.
    Released,
}

/// What an acknowledgement asks of the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The message is done with.
    Done,
    /// The broker refused it: it is done with, too.
    Refused,
    /// PUBREL is due.
    Release,
    /// No message waits for this.
    Unexpected,
}

/// The identifiers `1..=size`, used in the order in which they become free.
#[derive(Clone, Debug)]
pub struct Window {
    free: VecDeque<u16>,
    /// By identifier; the first one stands for identifier 0 and is never free.
    stages: Vec<Stage>,
}

impl Window {
    /// A window for so many messages.
    pub fn new(size: u16) -> Self {
        let stages = vec![Stage::Free; usize::from(size) + 1];
        Window { free: (1..=size).collect(), stages }
    }

    /// How many more messages may leave.
    pub fn free_count(&self) -> usize {
        self.free.len()
    }

    /// How many messages are not acknowledged.
    pub fn taken_count(&self) -> u64 {
        (self.stages.len() - 1 - self.free.len()) as u64
    }

    /// Makes the window smaller, while nothing is on its way: the broker accepts no more.
    pub fn shrink(&mut self, size: u16) {
        if usize::from(size) + 1 < self.stages.len() {
            *self = Window::new(size);
        }
    }

    /// The identifier of the next message; there is room for it.
    #[inline]
    pub fn publish(&mut self) -> u16 {
        let id = self.free.pop_front().expect("the caller has asked how many are free");
        self.stages[usize::from(id)] = Stage::Published;
        id
    }

    /// An acknowledgement came; `is_refusal` if its reason is an error.
    #[inline]
    pub fn acknowledged(&mut self, packet: PacketType, id: u16, is_refusal: bool) -> Step {
        let Some(stage) = self.stages.get_mut(usize::from(id)) else {
            return Step::Unexpected;
        };
        let step = match (*stage, packet) {
            (Stage::Published, PacketType::PubAck) | (Stage::Released, PacketType::PubComp) if !is_refusal => {
                Step::Done
            }
            (Stage::Published, PacketType::PubRec) if !is_refusal => Step::Release,
            (Stage::Published, PacketType::PubAck | PacketType::PubRec) | (Stage::Released, PacketType::PubComp) => {
                Step::Refused
            }
            _ => return Step::Unexpected,
        };
        if step == Step::Release {
            *stage = Stage::Released;
        } else {
            *stage = Stage::Free;
            self.free.push_back(id);
        }
        step
    }
}
