//! Shared subscriptions: one copy for the group, whichever shards its members live on.

use std::collections::BTreeMap;
use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::{Deadline, PATIENCE};
use crate::process::Broker;
use crate::support::story::{Delivery, Heard, Post, Wish};

/// So many members that every shard is home to some.
const MEMBERS: usize = 12;
const MESSAGES: usize = 600;

/// Members of one group.
fn members(broker: &Broker, version: Version, count: usize) -> Vec<Client> {
    let join = |number: usize| {
        let mut member = Client::join(broker, version, &format!("member-{number}"));
        member.subscribe("$share/crew/jobs/#", 1);
        member
    };
    (0..count).map(join).collect()
}

/// Publishes numbered jobs at QoS 1.
fn publish(broker: &Broker, numbers: impl Iterator<Item = usize>) {
    let mut publisher = Client::join(broker, Version::V5, "publisher");
    numbers.for_each(|number| publisher.post(&Post::to("jobs/any").payload(number.to_string()).qos(1)));
}

/// Hands what comes to any of them to `take`, which acknowledges it or not, until `is_enough`.
fn work(members: &mut [Client], mut take: impl FnMut(usize, &mut Client, Delivery), is_enough: impl Fn() -> bool) {
    let deadline = Deadline::after(PATIENCE);
    while !is_enough() {
        assert!(deadline.left().is_some(), "the work does not come to its end");
        for (number, member) in members.iter_mut().enumerate() {
            while let Some(heard) = member.hear_within(Duration::from_millis(1)) {
                match heard {
                    Heard::Publish(delivery) => take(number, member, delivery),
                    other => panic!("no job: {other:?}"),
                }
            }
        }
    }
}

/// How often each job was taken.
#[derive(Default)]
struct Ledger(std::cell::RefCell<BTreeMap<usize, usize>>);

impl Ledger {
    fn note(&self, delivery: &Delivery) {
        let job = std::str::from_utf8(&delivery.payload).expect("text").parse().expect("a number");
        *self.0.borrow_mut().entry(job).or_default() += 1;
    }

    fn count(&self) -> usize {
        self.0.borrow().len()
    }

    #[track_caller]
    fn expect_each_once(&self) {
        let twice: Vec<_> = self.0.borrow().iter().filter(|(_, count)| **count > 1).map(|(job, _)| *job).collect();
        assert!(twice.is_empty(), "done more than once: {twice:?}");
    }
}

#[test]
fn each_message_reaches_one_member_and_each_member_gets_some() {
    for shards in [1, 3] {
        for version in [Version::V311, Version::V5] {
            let broker = Broker::start(shards);
            let mut members = members(&broker, version, MEMBERS);
            let mut outsider = Client::join(&broker, version, "outsider");
            outsider.subscribe("jobs/#", 0);
            publish(&broker, 0..MESSAGES);

            let (ledger, mut shares) = (Ledger::default(), [0; MEMBERS]);
            let take = |number: usize, member: &mut Client, delivery: Delivery| {
                member.acknowledge(&delivery);
                ledger.note(&delivery);
                shares[number] += 1;
            };
            work(&mut members, take, || ledger.count() == MESSAGES);
            members.iter_mut().for_each(Client::expect_silence);
            ledger.expect_each_once();
            assert!(shares.iter().all(|share| *share > 0), "somebody got nothing: {shares:?}");
            // Who subscribes by himself is no part of the group.
            (0..MESSAGES).for_each(|number| assert_eq!(outsider.take().payload, number.to_string().as_bytes()));
        }
    }
}

#[test]
fn jobs_of_a_dying_member_are_done_by_the_others() {
    for shards in [1, 3] {
        let broker = Broker::start(shards);
        let mut members = members(&broker, Version::V5, MEMBERS);
        let mut dying = Client::join(&broker, Version::V5, "dying");
        dying.subscribe("$share/crew/jobs/#", 1);
        publish(&broker, 0..MESSAGES);

        // It takes jobs, finishes none, and dies.
        let job = dying.delivery();
        let ledger = Ledger::default();
        let take = |_: usize, member: &mut Client, delivery: Delivery| {
            member.acknowledge(&delivery);
            ledger.note(&delivery);
        };
        dying.cut();
        work(&mut members, take, || ledger.count() == MESSAGES);
        members.iter_mut().for_each(Client::expect_silence);
        ledger.expect_each_once();
        assert_eq!(ledger.0.borrow()[&std::str::from_utf8(&job.payload).expect("text").parse().expect("a number")], 1);
    }
}

#[test]
fn groups_are_served_independently_and_never_from_the_store() {
    let broker = Broker::start(3);
    publish(&broker, 0..1);
    Client::join(&broker, Version::V5, "publisher").post(&Post::to("jobs/any").payload("0").qos(1).retain());
    let mut first = Client::join(&broker, Version::V5, "first");
    let mut second = Client::join(&broker, Version::V5, "second");
    // [MQTT-4.8.2-6]: a shared subscription brings no retained messages.
    assert_eq!(first.subscribe_to(&[Wish::to("$share/one/jobs/#", 1)]), [1]);
    assert_eq!(second.subscribe_to(&[Wish::to("$share/two/jobs/#", 1)]), [1]);
    publish(&broker, 1..2);
    assert_eq!([first.take().payload, second.take().payload], [b"1", b"1"]);
    first.expect_silence();
    second.expect_silence();
}
