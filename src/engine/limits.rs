//! Every bound of the engine, and what happens at it.

use crate::mqtt::QoS;

/// Fan-outs that may wait for their next piece; at the bound the next one is served in one go.
pub const FANOUTS_PENDING_MAX: usize = 256;
/// Look-ups that one step of a retained scan makes before it is put off.
pub const SCAN_STEPS_MAX: u32 = 256;
/// Retained messages in one page of a scan.
pub const SCAN_PAGE_MESSAGES_MAX: usize = 64;
/// Bytes of retained messages in one page, the last message not counted.
pub const SCAN_PAGE_BYTES_MAX: usize = 64 * 1024;
/// Entries that one sweep of a timing wheel looks at before it leaves the rest to the next tick.
pub const SWEEP_ENTRIES_MAX: usize = 10_000;
/// Connections that are looked at in one turn after the operator has changed who may come in.
pub const REVIEWED_CONNECTIONS_MAX: u32 = 2_000;
/// Sessions that are looked at for one page of a listing.
pub const LISTED_SESSIONS_MAX: u32 = 2_000;
/// Subscriptions on one page of a listing, the first of them whatever their size.
pub const LISTED_SUBSCRIPTIONS_MAX: usize = 1_000;
/// Bytes of texts on one page of a listing, the last one not counted.
pub const LISTED_BYTES_MAX: usize = 256 * 1024;
/// Denials of one turn that are told by name; counters know of all of them.
pub const DENIALS_TOLD_MAX: u32 = 32;
/// Things of one turn that clients can cause as often as they like and that are told one by one: refusals, and copies that were dropped. Counters
/// know of all of them.
pub const EVENTS_TOLD_MAX: u32 = 4_096;
/// Memory of each list of wishes that is kept from turn to turn, whatever the last ones needed; above, it goes once a turn has used less than
/// a quarter.
pub const WISHES_KEPT_BYTES: usize = 4 << 20;
/// Topics that a shard's route cache holds; at the bound the cache starts afresh.
pub const ROUTES_MAX: usize = 16 * 1024;
/// The longest topic, in bytes, whose route is kept.
pub const ROUTE_TOPIC_BYTES_MAX: usize = 1024;
/// Targets, groups, filters and identifiers in all cached routes together; at the bound the cache starts afresh.
pub const ROUTE_PARTS_MAX: usize = 4_000_000;
/// Filters of one SUBSCRIBE or UNSUBSCRIBE that are looked at; the others are answered with 0x97 or 0x83, an UNSUBSCRIBE of 3.x with the end of
/// the connection, since its answer has no word for it.
pub const FILTERS_PER_PACKET_MAX: usize = 1_000;
/// Bytes of a packet of a connected client that is no PUBLISH: 0x95 above, by its fixed header. A packet of many small parts costs more than
/// its bytes, and none of these needs as many as a payload.
pub const REQUEST_BYTES_MAX: u32 = 1024 * 1024;
/// Bytes of a packet that have to come within `read_stall`, unless that is all of it, before its client has as long again.
pub const READ_PROGRESS_BYTES_MIN: usize = 1024;
/// And this part of what is here already: the more somebody holds, the more he has to send.
pub const READ_PROGRESS_PART: usize = 64;
/// Levels of a filter with wildcards: 0x8F above. Deeper ones would make a shard get every publication of the others.
pub const WILDCARD_LEVELS_MAX: usize = 32;
/// Copies of one session whose messages are fetched from the journal at once.
pub const FETCH_COPIES_MAX: usize = 64;
/// Bytes of their records, the last one not counted.
pub const FETCH_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of records that a shard fetches for its sessions at the same time; at the bound sessions wait in line.
pub const FETCHING_BYTES_MAX: u64 = 8 << 20;
/// Deliveries of a session in memory at which no more are fetched for it.
pub const FETCH_READY_MIN: usize = 32;
/// Copies that one input may cause before the rest waits for the next turn; what it takes to find out who gets them counts like copies.
pub const COPIES_PER_INPUT_MAX: usize = 10_000;
/// Receivers of a message on one shard that are few: what goes to more gives way, and is sent while there is time.
pub const FEW_RECEIVERS_MAX: usize = 16;
/// Which part of an input a message may be before what its session says waits aside: other letters of its shard go on.
pub const HEAVY_PART: usize = 4;
/// How long it is known of a session that one of its messages was so much.
pub const HEAVY_KNOWN_MS: u64 = 1_000;
/// Of how many sessions that is known at a time.
pub const HEAVY_KNOWN_MAX: usize = 1_024;
/// Bytes of letters that may wait so on a shard; at the bound they hold up others, as they came.
pub const ASIDE_BYTES_MAX: usize = 8 << 20;
/// Letters of a shard to itself that may wait: at the bound an input has caused enough. What one message or one packet causes comes on top.
pub const LETTERS_MAX: usize = 4_096;
/// Connections whose held bytes go on in one input, before the others are left to the next one.
pub const RESUMED_PER_INPUT_MAX: usize = 1_024;
/// What a copy of quality of service 1 or 2 costs, in copies of 0: it has an identifier and a place in its receiver's window.
pub const COPIES_PER_ACKNOWLEDGED: usize = 3;
/// What a packet costs that is looked at by itself, whatever comes of it.
pub const COPIES_PER_PACKET: usize = 4;
/// What a filter costs that is subscribed to, given up, or taken out behind a session that has ended.
pub const COPIES_PER_FILTER: usize = 8;
/// The part of that for finding out whether it may be subscribed to: it may be long before the rest of its packet.
pub const COPIES_PER_FILTER_JUDGED: usize = 2;
const _: () = assert!(COPIES_PER_FILTER_JUDGED < COPIES_PER_FILTER);
/// What a session costs that ends, whatever it had.
pub const COPIES_PER_SESSION: usize = 32;
/// Filters of a session that are gone over for as much as a copy costs.
pub const FILTERS_COMPARED_PER_COPY: usize = 64;
/// Filters of an ended session that are taken out at once; the others wait for the next turns.
pub const FILTERS_PER_PIECE_MAX: usize = 500;
/// Filters of ended sessions that may wait; at the bound as many of the oldest go at once as the next session brings.
pub const DEPARTED_FILTERS_MAX: usize = 100_000;
/// Subscription identifiers in a copy that cost as much as one more copy.
pub const IDS_PER_COPY: usize = 16;
/// How many times its bound the unsent bytes of a connection may grow, while its publishers learn that they have to wait.
pub const BACKLOG_OVERRUN_MAX: u64 = 16;
/// Size of the memory that small payloads are cut from.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that a shard remembers, to use them again when their payloads are gone.
pub const CHUNKS_MAX: usize = 64;
/// Bytes of a run of equal-topic messages that is handed on as one piece.
pub const RUN_BYTES_MAX: usize = 64 * 1024;
/// Acknowledgements that are handled at once before what waits behind them is sent.
pub const ACKS_PER_RUN_MAX: usize = 1024;
/// Bytes of topics that the aliases of a connection may stand for, its client's and ours each for itself, where that is more than
/// [`ALIAS_BYTES_EACH`] for each: as many as the longest topic has. 0x97 above for a client's; ours are not made.
pub const ALIAS_BYTES_MIN: usize = u16::MAX as usize;
/// The same for each alias that there may be.
pub const ALIAS_BYTES_EACH: usize = 256;
/// Payloads up to this size are copied behind their head; longer ones are shared by reference count.
pub const INLINE_PAYLOAD_BYTES_MAX: usize = 512;
/// Answers that a client may be owed before it is read no more; it is read again at half of them.
pub const ANSWERS_OWED_MAX: usize = 1024;
/// The largest CONNECT, and the largest packet of anybody who has not got CONNACK: 0x95 above.
pub const CONNECT_BYTES_MAX: u32 = 512 * 1024;
/// What somebody may have us hold who has proven nothing: a packet that has not come whole, a CONNECT that waits for an answer, what he does
/// not take of what we say. More is lent out of [`UNPROVEN_POOL_BYTES_MAX`].
pub const UNPROVEN_BYTES_MAX: usize = 32 * 1024;
/// What a shard lends to all of these together: at the bound whoever wants more is refused, 0x97.
pub const UNPROVEN_POOL_BYTES_MAX: usize = 16 << 20;
/// Answers of a hook that are remembered, of each kind: about clients and about actions, those that allow and all others; at the bound the oldest is forgotten.
pub const HOOK_ANSWERS_MAX: usize = 64 * 1024;
/// Bytes of users and groups in them; at the bound the oldest is forgotten.
pub const HOOK_ANSWERS_BYTES_MAX: usize = 32 << 20;
/// Bytes of one answer of a hook; a longer one is none.
pub const HOOK_ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Questions that may wait until one is asked of a hook, and as many for an answer that is under way: their clients are refused as busy.
pub const HOOK_WAITING_MAX: usize = 512;
/// Clients that may wait until the keys of tokens have been fetched; the others are told to come again.
pub const KEYS_WAITING_MAX: usize = 256;
/// Wills of a shard that somebody slow is asked about at the same time; others wait in line.
pub const WILLS_ASKED_MAX: usize = 32;
/// Wills of a shard that wait for an answer; one more is not published, and counted as denied.
pub const WILLS_WAITING_MAX: usize = 10_000;
/// Bytes of these; the same at the bound.
pub const WILLS_WAITING_BYTES_MAX: usize = 64 << 20;
/// Wills of one client among these: one more, and the oldest behind the first, which has its place in the line, is given up.
pub const WILLS_WAITING_OF_CLIENT_MAX: usize = 4;
/// Which part of these bytes the wills of one user may hold.
pub const WILLS_WAITING_USER_PART: usize = 8;
/// How long a will waits until somebody can be asked about it; then the same.
pub const WILL_PATIENCE_MS: u64 = 60_000;
/// How long nobody is asked about wills after everybody who answers was busy.
pub const WILL_PAUSE_MS: u64 = 100;
/// Packet identifiers: the most messages that a window can have open.
pub const WINDOW_MAX: u16 = u16::MAX;

const _: () = assert!(SCAN_PAGE_MESSAGES_MAX <= SCAN_STEPS_MAX as usize, "a page fits into a step");
const _: () =
    assert!(16 * CONNECT_BYTES_MAX as usize <= UNPROVEN_POOL_BYTES_MAX, "some of the largest come in at the same time");

/// What happens to a message when the queue it is meant for is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuePolicy {
    /// The new message is refused; a publisher whose message nobody could take is told 0x97, or closed in 3.x.
    RefuseNew,
    /// The oldest message that was not yet sent makes room.
    DropOldest,
}

/// How copies for overlapping subscriptions of one client are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// One delivery with the highest quality of service and all subscription identifiers.
    Merged,
    /// One delivery for each matching subscription.
    Separate,
}

/// Which member of a shared group gets the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
    /// The same one as long as it can take more.
    Sticky,
    /// The one with the fewest unacknowledged messages.
    LeastInflight,
    /// The one that a hash of the topic names, so that one topic stays with one member.
    HashTopic,
    /// The one that a hash of the publisher names, so that one publisher stays with one member.
    HashPublisher,
}

/// The bounds and features that an operator chooses, for the whole broker; every shard reads its [`Limits::share`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a feature of its own that an operator switches")]
pub struct Limits {
    /// The largest packet a client may send, fixed header included: 0x95 above.
    pub packet_bytes_max: u32,
    /// The longest client identifier: 0x85 above.
    pub client_id_bytes_max: usize,
    /// The most levels of a topic or a filter: 0x90 or 0x8F above.
    pub topic_levels_max: usize,
    /// How long a connection may take from accept to the end of its handshake.
    pub connect_timeout_ms: u64,
    /// The longest keep-alive in seconds, also for clients that asked for none; 0 leaves it to them.
    pub keep_alive_max_s: u16,
    /// The longest session expiry in seconds; `u32::MAX` means sessions may live for ever.
    pub session_expiry_max_s: u32,
    /// The expiry of sessions of 3.x clients with clean session 0, which cannot say one.
    pub session_expiry_v3_s: u32,
    /// Whether clients of 3.1 with an identifier above 23 bytes are refused.
    pub strict_v31_client_id: bool,
    /// Unacknowledged QoS 1 and 2 messages that a client may have on their way to us: 0x93 above.
    pub receive_maximum: u16,
    /// The most unacknowledged messages on their way to a client, whatever it offers.
    pub inflight_max: u16,
    /// Topic aliases that a client may define: 0x94 above.
    pub topic_alias_maximum: u16,
    /// Topic aliases that we define towards a client that offers them.
    pub topic_alias_out_max: u16,
    /// Subscriptions of one session: 0x97 above.
    pub subscriptions_max: usize,
    /// Of these, shared ones: 0x97 above. Each may bring a window of messages that only its group bounds.
    pub shared_subscriptions_max: usize,
    /// Messages that wait for one session.
    pub queue_messages_max: u32,
    /// Bytes that wait for one session.
    pub queue_bytes_max: u64,
    /// What happens at those two.
    pub queue_policy: QueuePolicy,
    /// Whether QoS 0 messages wait for an absent client as well.
    pub queue_qos0: bool,
    /// Messages that wait for one shared group.
    pub group_queue_messages_max: u32,
    /// Bytes that wait for one shared group.
    pub group_queue_bytes_max: u64,
    /// Members of one shared group: 0x97 above.
    pub group_members_max: usize,
    /// Which member is next.
    pub shared_strategy: Strategy,
    /// Retained messages of the broker, of one shard in its [`Limits::share`]: 0x97 above.
    pub retained_messages_max: usize,
    /// Bytes of retained messages, likewise: 0x97 above.
    pub retained_bytes_max: u64,
    /// Sessions, connected or not, likewise: 0x97 above.
    pub sessions_max: usize,
    /// Connections of the broker, on all shards: closed at once above.
    pub connections_max: usize,
    /// Connections a second that are accepted, on all shards, 0 for any: 0x9F above.
    pub connect_rate: u32,
    /// Connections from one address, 0 for any: closed at once above.
    pub connections_per_address_max: u32,
    /// Connections a second from one address, 0 for any: closed at once above.
    pub connect_rate_per_address: u32,
    /// Messages a second from one address, 0 for any: its clients are read more slowly above.
    pub message_rate_per_address: u32,
    /// Bytes a second of messages from one address, 0 for any: its clients are read more slowly above.
    pub byte_rate_per_address: u32,
    /// Messages a second that clients of one address are sent, 0 for any: they wait above, and those of QoS 0 are dropped.
    pub message_rate_out_per_address: u32,
    /// Bytes a second of packets with messages that clients of one address are sent, 0 for any: likewise.
    pub byte_rate_out_per_address: u32,
    /// Connections of one user, 0 for any: 0x97 above.
    pub connections_per_user_max: u32,
    /// Connections a second of one user, 0 for any: 0x9F above.
    pub connect_rate_per_user: u32,
    /// Sessions of one user, 0 for any: 0x97 above for a new one.
    pub sessions_per_user_max: u32,
    /// Messages a second of one user, 0 for any: its clients are read more slowly above.
    pub message_rate_per_user: u32,
    /// Bytes a second of messages of one user, 0 for any: its clients are read more slowly above.
    pub byte_rate_per_user: u32,
    /// Messages a second that clients of one user are sent, 0 for any: they wait above, and those of QoS 0 are dropped.
    pub message_rate_out_per_user: u32,
    /// Bytes a second of packets with messages that clients of one user are sent, 0 for any: likewise.
    pub byte_rate_out_per_user: u32,
    /// Retained messages of one user, 0 for any: 0x97 above for a new one.
    pub retained_messages_per_user_max: u32,
    /// Bytes of retained messages of one user, 0 for any: 0x97 above.
    pub retained_bytes_per_user_max: u64,
    /// Addresses that are counted at the same time, and users beside them: whoever comes above is let in uncounted.
    pub accounts_max: usize,
    /// Messages a second that one client may publish, 0 for any: it is read more slowly above.
    pub message_rate: u32,
    /// Bytes a second that one client may publish, 0 for any: it is read more slowly above.
    pub byte_rate: u32,
    /// Messages a second that one client is sent, 0 for any: above, they wait in its session's queue, and those of QoS 0 are dropped.
    pub message_rate_out: u32,
    /// Bytes of packets with messages that one client is sent in a second, 0 for any: likewise.
    pub byte_rate_out: u32,
    /// The longest payload of a will: 0x97 in CONNACK above.
    pub will_bytes_max: u32,
    /// User properties of a message or of a will: 0x97 above.
    pub user_properties_max: usize,
    /// Recipients that one call serves before the rest of a fan-out is put off to a later turn.
    pub fanout_recipients_max: usize,
    /// Unsent bytes of one connection above which QoS 0 waits no longer and publishers are slowed down.
    pub backlog_bytes_max: u32,
    /// How long a receiver that takes nothing may hold its publishers back.
    pub backlog_patience_ms: u64,
    /// How long a receiver may take nothing before its connection is closed.
    pub write_stall_ms: u64,
    /// How long the rest of a packet may stay away before its client's connection is closed.
    pub read_stall_ms: u64,
    /// The highest quality of service on offer.
    pub maximum_qos: QoS,
    /// Whether messages may be retained: 0x9A otherwise.
    pub retain_available: bool,
    /// Whether filters may have wildcards: 0xA2 otherwise.
    pub wildcard_available: bool,
    /// Whether subscriptions may carry identifiers: 0xA1 otherwise.
    pub subscription_ids_available: bool,
    /// Whether subscriptions may be shared: 0x9E otherwise.
    pub shared_available: bool,
    /// How overlapping subscriptions are served.
    pub overlap: Overlap,
    /// Whether a payload that says it is text is checked: 0x99 otherwise.
    pub payload_format_check: bool,
    /// The start of the response topics given to clients that ask; the client id follows.
    pub response_prefix: Option<Box<str>>,
}

/// Unacknowledged messages that a client may have on their way to us, unless the operator says otherwise. Some clients of
/// 5.0 take no notice of it: they are read no more at [`ANSWERS_OWED_MAX`], long before they break it with QoS 1.
const RECEIVE_MAXIMUM: u16 = 2_048;
const _: () =
    assert!(RECEIVE_MAXIMUM as usize > ANSWERS_OWED_MAX, "who is owed too much is held before it breaks a rule");

impl Limits {
    /// What one of so many shards is given of what it counts by itself for the whole broker: an equal part, rounded up.
    ///
    /// No shard knows what the others hold, so one that gets more than the others meets its bound before the broker does.
    #[must_use]
    pub fn share(&self, shards: usize) -> Self {
        debug_assert!(shards > 0, "a broker has a shard");
        Self {
            retained_messages_max: self.retained_messages_max.div_ceil(shards),
            retained_bytes_max: self.retained_bytes_max.div_ceil(shards as u64),
            sessions_max: self.sessions_max.div_ceil(shards),
            ..self.clone()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes_max: 268_435_460,
            client_id_bytes_max: 1024,
            topic_levels_max: 128,
            connect_timeout_ms: 10_000,
            keep_alive_max_s: 0,
            session_expiry_max_s: u32::MAX,
            session_expiry_v3_s: u32::MAX,
            strict_v31_client_id: false,
            receive_maximum: RECEIVE_MAXIMUM,
            inflight_max: 1_000,
            topic_alias_maximum: 32,
            topic_alias_out_max: 32,
            subscriptions_max: 10_000,
            shared_subscriptions_max: 100,
            queue_messages_max: 1_000,
            queue_bytes_max: 64 * 1024 * 1024,
            queue_policy: QueuePolicy::DropOldest,
            queue_qos0: false,
            group_queue_messages_max: 10_000,
            group_queue_bytes_max: 64 * 1024 * 1024,
            group_members_max: 10_000,
            shared_strategy: Strategy::RoundRobin,
            retained_messages_max: 10_000_000,
            retained_bytes_max: 4 << 30,
            sessions_max: 10_000_000,
            connections_max: 10_000_000,
            connect_rate: 0,
            connections_per_address_max: 0,
            connect_rate_per_address: 0,
            message_rate_per_address: 0,
            byte_rate_per_address: 0,
            message_rate_out_per_address: 0,
            byte_rate_out_per_address: 0,
            connections_per_user_max: 0,
            connect_rate_per_user: 0,
            sessions_per_user_max: 0,
            message_rate_per_user: 0,
            byte_rate_per_user: 0,
            message_rate_out_per_user: 0,
            byte_rate_out_per_user: 0,
            retained_messages_per_user_max: 0,
            retained_bytes_per_user_max: 0,
            accounts_max: 1 << 18,
            message_rate: 0,
            byte_rate: 0,
            message_rate_out: 0,
            byte_rate_out: 0,
            will_bytes_max: 64 * 1024,
            user_properties_max: 1_000,
            fanout_recipients_max: 2_000,
            backlog_bytes_max: 1 << 20,
            backlog_patience_ms: 200,
            write_stall_ms: 30_000,
            read_stall_ms: 30_000,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_available: true,
            subscription_ids_available: true,
            shared_available: true,
            overlap: Overlap::Merged,
            payload_format_check: false,
            response_prefix: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_equal_and_add_up_to_the_whole() {
        let whole = Limits { sessions_max: 10, connect_rate: 7, retained_messages_max: 0, ..Limits::default() };
        let share = whole.share(4);
        assert_eq!((share.sessions_max, share.retained_messages_max), (3, 0));
        assert_eq!(share.retained_bytes_max, whole.retained_bytes_max / 4);
        assert_eq!(
            (share.connections_max, share.connect_rate),
            (whole.connections_max, 7),
            "shards count these together"
        );
        assert_eq!(share.queue_messages_max, whole.queue_messages_max, "what counts for one client is not divided");
        assert_eq!(whole.share(1), whole);
    }
}
