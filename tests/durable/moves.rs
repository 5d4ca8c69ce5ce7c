//! What a broker of another number of shards knows again.

use crate::facts::{broker, comes, heard, publish, subscribe};
use crate::support::raw::{packet, text};
use crate::sweeps::{reads, three_and_a_publisher};

#[test]
fn everything_that_holds_has_another_home() {
    for (before, after) in [(1, 3), (4, 1), (3, 2), (2, 5)] {
        let mut world = broker(before);
        for client in 0..6 {
            let filter = format!("a/{client}");
            let (link, _) =
                comes(&mut world, &format!("s{client}"), 0, &[], &[subscribe(&filter, 2), subscribe("all", 1)]);
            world.cut(link);
        }
        let says: Vec<Vec<u8>> = (0..6)
            .flat_map(|client| {
                let kept = publish(3, &format!("kept/{client}"), "retained");
                [publish(2, &format!("a/{client}"), "first"), publish(2, "all", "second"), kept]
            })
            .collect();
        comes(&mut world, "p", 2, &[], &says);
        comes(&mut world, "w", 0b0010_1100, &[text("all"), text("last words")].concat(), &[]);
        // An identifier that the client has not released.
        let taken = packet(0x34, &[&text("a/0"), &[0, 9], b"third"]);
        let (q, _) = comes(&mut world, "q", 0, &[], std::slice::from_ref(&taken));
        world.cut(q);
        world.crash_into(after);
        assert_eq!(world.shards.len(), after);
        let again = [&[taken[0] | 8], &taken[1..]].concat();
        let (_, answers) = comes(&mut world, "q", 0, &[], &[again]);
        assert_eq!(answers, [0x20, 2, 1, 0, 0x50, 2, 0, 9], "it has come before, and is not routed again");
        for client in 0..6 {
            let (_, answers) =
                comes(&mut world, &format!("s{client}"), 0, &[], &[subscribe(&format!("kept/{client}"), 1)]);
            assert!(answers.starts_with(&[0x20, 2, 1, 0]), "the session of s{client} is there");
            let texts: Vec<String> = heard(&answers).into_iter().map(|(_, body)| body).collect();
            let firsts = texts.iter().filter(|text| text.ends_with("first")).count();
            let seconds = texts.iter().filter(|text| text.ends_with("second")).count();
            let others = texts.iter().filter(|text| text.ends_with("last words") || text.ends_with("retained")).count();
            assert_eq!((firsts, seconds, others), (1, 6, 2), "s{client} of {before} on {after}: {texts:?}");
        }
        comes(&mut world, "p", 2, &[], &[publish(2, "all", "new")]);
        let link = world.links.len() - 2;
        assert_eq!(heard(&world.receive(link)).len(), 1, "the subscriptions work");
    }
}

#[test]
fn a_message_that_is_still_owed_to_everybody_reaches_them_at_their_new_homes() {
    let (mut world, _, publisher, _) = three_and_a_publisher();
    reads(&mut world, publisher, &[publish(2, "a", "one")]);
    world.crash_into(3);
    for name in ["s0", "s1", "s2"] {
        let (_, answers) = comes(&mut world, name, 0, &[], &[]);
        assert_eq!(heard(&answers).len(), 1, "{name}");
    }
}

#[test]
fn a_message_that_had_not_reached_all_shards_reaches_everybody_when_it_comes_again_to_others() {
    let names: Vec<String> = (0..8).map(|number| format!("s{number}")).collect();
    for (before, after) in [(2, 3), (3, 1), (1, 2)] {
        let mut world = broker(before);
        for name in &names {
            let (link, _) = comes(&mut world, name, 0, &[], &[subscribe("a", 2)]);
            world.cut(link);
        }
        let message = packet(0x34, &[&text("a"), &[0, 9], b"one"]);
        let (publisher, _) = comes(&mut world, "p", 0, &[], &[]);
        world.send(publisher, &message);
        world.read(publisher, usize::MAX);
        for shard in 0..before {
            world.store(shard, usize::MAX);
        }
        world.crash_into(after);
        let again = [&[message[0] | 8], &message[1..]].concat();
        let (_, answers) = comes(&mut world, "p", 0, &[], &[again]);
        assert!(answers.ends_with(&[0x50, 2, 0, 9]), "it is acknowledged");
        for name in &names {
            let (_, answers) = comes(&mut world, name, 0, &[], &[]);
            assert!(!heard(&answers).is_empty(), "{name} of {before} on {after}");
        }
    }
}
