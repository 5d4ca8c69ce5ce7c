//! Attacks on a running broker, each beside witnesses who must not notice it.
//!
//! On each shard there is a pair of witnesses, and one more across shards: a message every few milliseconds at QoS 1, each of which has
//! to arrive once and in order, before, during and behind the attack, on a connection that nobody closes. What the attackers
//! must see is checked as well, and the private memory of the broker: what it may grow by meanwhile, and that it gives it
//! back. How late the witnesses' messages are is measured by `cargo bench --bench attack`, with the same attacks; here nothing
//! is timed but what stands still.
//!
//! | file | what lives there |
//! |---|---|
//! | `field` | the broker under attack, its witnesses and its memory |
//! | `witness` | a publisher, a subscriber and the book of what reached them |
//! | `packets` | packets by hand, right and wrong |
//! | the others | the attacks, by what they are about |
//!
//! Of the process and of the disk `tests/broker` has the proofs: `crash`, `power`, `disk`, `ending`; `tests/disk` those of files. Which tests stand for which of
//! the ten rules is in `src/manual/invariants.md`.

#![expect(clippy::wildcard_enum_match_arm, reason = "what a test does not expect is one case")]

#[path = "../../src/shell/transport/authority.rs"]
mod authority;
#[path = "../broker/client.rs"]
#[expect(dead_code, reason = "tests/broker has the rest of its uses")]
mod client;
#[path = "../broker/folder.rs"]
mod folder;
#[path = "../broker/patience.rs"]
#[expect(dead_code, reason = "tests/broker has the rest of its uses")]
mod patience;
#[path = "../broker/process.rs"]
mod process;
#[path = "../broker/stream.rs"]
mod stream;
#[path = "../support/mod.rs"]
mod support;
#[path = "../broker/tls.rs"]
#[expect(dead_code, reason = "tests/broker has the rest of its uses")]
mod tls;

mod costly;
mod crowds;
#[expect(dead_code, reason = "bench/attack reads what is written down")]
mod field;
mod layers;
mod malformed;
mod overload;
mod packets;
mod quotas;
mod secure;
mod slow;
mod strangers;
#[path = "../broker/web.rs"]
#[expect(dead_code, reason = "tests/broker has the rest of its uses")]
mod web;
mod witness;

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use field::{Attack, Stage};

/// One attack after the other: none is to blame for what another one does.
static ALONE: Mutex<()> = Mutex::new(());

#[track_caller]
fn play(attack: &Attack) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (attack.run)(&Stage { measured: None, give_way: || (), rows: RefCell::default() });
}

#[test]
fn threat_2_each_type_with_each_flag_is_judged_as_the_standard_says_and_no_witness_notices() {
    play(&malformed::FIRST_BYTES);
}

#[test]
fn threat_2_packets_cut_at_every_byte_end_their_own_connection_alone() {
    play(&malformed::CUTS);
}

#[test]
fn wrong_and_repeated_properties_are_refused_with_their_reason() {
    play(&malformed::PROPERTY_RULES);
}

#[test]
fn threat_6_texts_that_are_none_and_wildcards_in_topics_close() {
    play(&malformed::TEXTS);
}

#[test]
fn threat_3_topics_of_65535_levels_are_bounded_work() {
    play(&malformed::LEVELS);
}

#[test]
fn threat_1_silent_connections_cost_at_most_8_kib() {
    play(&crowds::IDLE);
}

#[test]
fn threat_1_ten_thousand_announcements_of_256_mb_reserve_nothing() {
    play(&crowds::ANNOUNCEMENTS);
}

#[test]
fn threat_1_whoever_proves_nothing_makes_us_hold_at_most_64_kib() {
    play(&strangers::NEARLY_WHOLE);
}

#[test]
fn threat_1_whoever_stops_before_connect_costs_at_most_8_kib_in_each_layer() {
    play(&layers::SILENT);
}

#[test]
fn threat_1_whoever_is_greedy_before_connect_costs_at_most_64_kib_in_each_layer() {
    play(&layers::GREEDY);
}

#[test]
fn threat_4_a_flood_of_connects_leaves_nothing_behind() {
    play(&crowds::CONNECTS);
}

#[test]
fn threat_4_floods_of_wrong_passwords_wait_in_bounds_and_off_the_shards() {
    play(&crowds::PASSWORDS);
}

#[test]
fn threat_7_without_descriptors_accepting_rests_and_files_still_open() {
    play(&crowds::DESCRIPTORS);
}

#[test]
fn threat_8_a_war_for_one_name_leaves_one_session_and_then_none() {
    play(&crowds::ONE_NAME);
}

#[test]
fn strangers_cannot_flood_the_log_nor_write_lines_of_it() {
    play(&crowds::LOG);
}

#[test]
fn threat_8_sessions_stop_at_their_quota_and_expired_ones_free_everything() {
    play(&quotas::SESSIONS);
}

#[test]
fn subscriptions_stop_at_their_quota() {
    play(&quotas::SUBSCRIPTIONS);
}

#[test]
fn retained_messages_stop_at_their_quota() {
    play(&quotas::RETAINED);
}

#[test]
fn wills_are_bounded_by_the_packet_and_all_of_them_come() {
    play(&quotas::WILLS);
}

#[test]
fn aliases_and_user_properties_stop_at_what_was_agreed() {
    play(&quotas::PACKETS);
}

#[test]
fn threat_8_packet_identifiers_in_use_are_never_given_again() {
    play(&quotas::IDENTIFIERS);
}

#[test]
fn threat_3_topics_that_thousands_of_filters_match_hold_up_nobody() {
    play(&costly::OVERLAPS);
}

#[test]
fn threat_3_known_filters_that_are_asked_for_again_and_again_hold_up_nobody() {
    play(&costly::REPEATS);
}

#[test]
fn threat_3_an_audience_of_9999_on_both_shards_gets_all_and_holds_up_nobody() {
    play(&costly::AUDIENCE);
}

#[test]
fn ten_times_too_much_is_counted_and_full_rate_comes_back() {
    play(&overload::TEN_TIMES);
}

#[test]
fn threat_10_connect_byte_by_byte_ends_at_one_deadline() {
    play(&slow::BYTE_BY_BYTE);
}

#[test]
fn threat_10_readers_that_do_not_read_are_closed_and_bounded() {
    play(&slow::READERS);
}

#[test]
fn threat_10_half_done_exchanges_of_qos2_are_bounded() {
    play(&slow::HALF_DONE);
}

#[test]
fn threat_10_who_asks_for_no_keep_alive_has_the_longest_that_is_granted() {
    play(&slow::SILENT);
}

#[test]
fn threat_4_bad_certificates_are_refused_before_anything_is_heard() {
    play(&secure::BAD_CERTIFICATES);
}

#[test]
fn what_speaks_the_wrong_layer_is_closed() {
    play(&secure::WRONG_LAYER);
}

#[test]
fn a_flood_of_handshakes_starves_nobody() {
    play(&secure::HANDSHAKES);
}

#[test]
fn threat_7_certificates_change_under_load_and_a_bad_one_never_shows() {
    play(&secure::RELOADS);
}
