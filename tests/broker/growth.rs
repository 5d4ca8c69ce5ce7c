//! Clients that come and go, round after round, leave no memory behind.

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::wait_until;
use crate::process::{Options, raise_own_limit};

const CLIENTS: usize = 2_000;
/// Descriptors beside the clients', on either side.
const SPARE: usize = 500;
const ROUNDS: usize = 20;
/// After so many rounds the broker has what it keeps for the next crowd of this size.
const SETTLED_ROUNDS: usize = 3;
/// What the resident memory may move from then on: one huge page and some, or 92 bytes for each client of the rounds that follow.
const GROWTH_BYTES_MAX: u64 = 3 * 1024 * 1024;

#[test]
fn rounds_of_clients_that_come_and_leave_do_not_grow_the_broker() {
    raise_own_limit(CLIENTS + SPARE);
    // The plain driver holds two for each client.
    let count = u32::try_from(2 * CLIENTS + SPARE).expect("a small number");
    let broker = Options::shards(2).descriptors_max(count).start();
    Client::join(&broker, Version::V5, "first").leave(); // what is made on first use is made now
    let descriptors = broker.descriptor_count();
    let mut resident = Vec::new();
    for round in 0..ROUNDS {
        // New names each time: what is kept of a name would show.
        let join = |number: usize| {
            let version = Version::ALL[number % Version::ALL.len()];
            let mut client = Client::join(&broker, version, &format!("client-{round}-{number}"));
            client.subscribe(&format!("own/{round}/{number}"), 1);
            client
        };
        let crowd: Vec<Client> = (0..CLIENTS).map(join).collect();
        for (number, client) in crowd.into_iter().enumerate() {
            if number % 2 == 0 { client.leave() } else { client.cut() }
        }
        wait_until("as many descriptors as before", || broker.descriptor_count() <= descriptors);
        resident.push(broker.memory_now());
    }
    let (settled, last) = (resident[SETTLED_ROUNDS - 1], resident[ROUNDS - 1]);
    assert!(last <= settled + GROWTH_BYTES_MAX, "resident memory after each round: {resident:?}");
}
