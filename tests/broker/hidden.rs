//! Topics that begin with `$`: no wildcard at the first level finds them, and clients do not write the broker's own.

use pregon::mqtt::Version;

use crate::client::Client;
use crate::process::Broker;
use crate::support::story::{Hello, Post};

#[test]
fn wildcard_at_the_first_level_does_not_see_dollar_topics() {
    for shards in [1, 3] {
        let broker = Broker::start(shards);
        let mut curious = Client::join(&broker, Version::V5, "curious");
        curious.subscribe("#", 1);
        let mut choosy = Client::join(&broker, Version::V5, "choosy");
        choosy.subscribe("+/plant", 1);
        let mut named = Client::join(&broker, Version::V5, "named");
        named.subscribe("$line/#", 1);

        let mut publisher = Client::join(&broker, Version::V5, "publisher");
        publisher.post(&Post::to("$line/plant").payload("hidden").qos(1).retain());
        publisher.post(&Post::to("line/plant").payload("open").qos(1));
        assert_eq!(named.take().payload, b"hidden");
        assert_eq!(curious.take().payload, b"open");
        assert_eq!(choosy.take().payload, b"open");

        // The store hides them, too.
        curious.subscribe("#", 0);
        curious.expect_silence();
        curious.subscribe("$line/+", 0);
        assert_eq!(curious.take().payload, b"hidden");
    }
}

#[test]
fn clients_do_not_write_below_sys() {
    let broker = Broker::start(3);
    let mut reader = Client::join(&broker, Version::V5, "reader");
    reader.subscribe("$SYS/forged/#", 1);
    reader.subscribe("through", 1);
    for version in Version::ALL {
        let will = Hello::new(version, "forger").will("$SYS/forged/will", "false", 1, false);
        // Such a will may be refused at once or dropped in the end.
        let mut forger = Client::hello(&broker, &will);
        forger.hear();
        forger.cut();

        let mut forger = Client::join(&broker, version, "forger");
        forger.publish(&Post::to("$SYS/forged/QoS 0").payload("false").retain());
        forger.publish(&Post::to("$SYS/forged/QoS 1").payload("false").qos(1).retain());
        // The answer is a refusal, a silent drop, or the end of the connection.
        forger.hear();
        Client::join(&broker, version, "honest").post(&Post::to("through").payload("true").qos(1));
        assert_eq!(reader.take().payload, b"true");
    }
    reader.subscribe("$SYS/forged/#", 1);
    reader.expect_silence();
}
