//! What a turn takes in of what other shards and the operator have sent, and in which order.

use std::sync::Arc;

use super::mesh::Parcel;
use super::receiving_tests::Scene;
use crate::engine::auth::policy::Policy;
use crate::engine::homes::ShardId;

/// More than a test may take.
const TURN_US: u64 = 60_000_000;

/// A shard for which so many batches wait, of which two are all that a turn takes in.
fn scene(batches: usize) -> Scene {
    let mut scene = Scene::new(64);
    scene.core.turn.time_us_max = TURN_US;
    let bytes = scene.core.turn.bytes_max.div_ceil(2);
    for _ in 0..batches {
        send(&scene, Parcel::Batch { from: ShardId::new(0), sent_ns: 0, bytes, letters: Vec::new() });
    }
    scene
}

fn send(scene: &Scene, parcel: Parcel) {
    assert!(scene.core.ways.put(ShardId::new(0), parcel).is_ok(), "there is room");
}

/// A turn takes in parcels; how many still wait.
fn take_in(scene: &mut Scene) -> usize {
    let (start_ns, now) = (scene.core.clock.now_ns(), scene.core.clock.now());
    scene.core.open_parcels(start_ns, now);
    scene.core.inbox.depth()
}

#[test]
fn a_turn_takes_in_so_many_bytes_of_messages_and_leaves_the_others_to_the_next_ones() {
    let mut scene = scene(7);
    assert_eq!([0; 4].map(|_| take_in(&mut scene)), [5, 3, 1, 0]);
    // What is charged nothing is bounded in its number alone.
    for _ in 0..5 {
        send(&scene, Parcel::Batch { from: ShardId::new(0), sent_ns: 0, bytes: 0, letters: Vec::new() });
    }
    assert_eq!(take_in(&mut scene), 0);
}

#[test]
fn threat_5_another_policy_is_in_force_before_the_messages_that_wait() {
    let mut scene = scene(6);
    let policy = Policy::open().after(scene.core.shard.policy());
    let number = policy.number();
    assert_ne!(scene.core.shard.policy().number(), number);
    send(&scene, Parcel::Policy(Arc::new(policy)));
    assert_eq!(take_in(&mut scene), 4);
    assert_eq!(scene.core.shard.policy().number(), number);
}
