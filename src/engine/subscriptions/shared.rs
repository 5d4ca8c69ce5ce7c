//! stub
use crate::base::hash::Seed;
use crate::base::random::Random;
use crate::base::slab::Key;
use crate::base::time::Time;
use crate::engine::homes::ShardId;
use crate::engine::limits::Strategy;
use crate::engine::message::{Message, SessionId};
use crate::engine::session::queue::QueueBounds;
use crate::engine::stats::DropReason;
use crate::mqtt::QoS;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberId {
    pub shard: ShardId,
    pub session: u64,
    pub id: SessionId,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub qos: QoS,
    pub subscription_id: u32,
    pub retain_as_published: bool,
}
pub struct Group;
pub type GroupKey = Key<Group>;
pub struct Groups;
pub struct Joined {
    pub group: GroupKey,
    pub is_new_group: bool,
    pub is_new_member: bool,
}
pub struct Full;
pub struct Left {
    pub is_known: bool,
    pub ended: usize,
    pub group_gone: bool,
}
pub enum Accepted {
    Queued,
    Refused(Message, DropReason),
    Displaced(Vec<Message>),
}
pub struct Dispatch {
    pub member: MemberId,
    pub terms: Terms,
    pub message: Message,
    pub qos: QoS,
    pub delivery: u64,
}
impl Groups {
    pub fn new(_: Seed) -> Self {
        Self
    }
    pub fn find(&self, _: &str, _: &str) -> Option<GroupKey> {
        None
    }
    pub fn get_mut(&mut self, _: GroupKey) -> Option<&mut Group> {
        None
    }
    pub fn key_at(&self, _: u32) -> Option<GroupKey> {
        None
    }
    pub fn join(&mut self, _: &str, _: &str, _: MemberId, _: Terms, _: Option<u16>, _: usize) -> Result<Joined, Full> {
        Err(Full)
    }
    pub fn leave(&mut self, _: GroupKey, _: MemberId) -> Left {
        Left { is_known: false, ended: 0, group_gone: false }
    }
    pub fn presence(&mut self, _: GroupKey, _: MemberId, _: Option<u16>) {}
    pub fn copies(&self) -> usize {
        0
    }
    pub fn check(&self) {}
}
impl Group {
    pub fn accept(&mut self, m: Message, _: &QueueBounds) -> Accepted {
        Accepted::Refused(m, DropReason::Offline)
    }
    pub fn dispatch(&mut self, _: Time, _: Strategy, _: &mut Random, _: &mut Vec<Dispatch>, _: &mut usize) {}
    pub fn done(&mut self, _: u64) -> bool {
        false
    }
    pub fn give_back(&mut self, _: u64) -> bool {
        false
    }
}
