//! Seats against plain lists, alone and with threads that come and go at the same time.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Accounts;
use super::bans::BanTerms;
use super::holding::{RetainedSeat, SessionSeat};
use super::limit::SharedLimit;
use super::seat::Seat;
use super::table::Sums;
use super::terms::{Bounds, ListenerTerms, Terms, Way};
use crate::base::hash::Seed;
use crate::base::network::Network;
use crate::base::random::Random;
use crate::base::time::Time;
use crate::engine::connection::Peer;
use crate::engine::limits::Limits;

const ADDRESS_MAX: u32 = 4;
const LISTENER_ADDRESS_MAX: u32 = 3;
const USER_MAX: u32 = 5;
const SESSIONS_MAX: u32 = 2;
const BROKER_MAX: u64 = 40;
const LISTENER_MAX: u64 = 9;

fn terms(accounts_max: usize) -> Terms {
    let listener = ListenerTerms {
        connections_max: LISTENER_MAX,
        connections_per_address_max: LISTENER_ADDRESS_MAX,
        ..ListenerTerms::default()
    };
    Terms {
        connections_max: BROKER_MAX,
        address: Bounds { connections_max: ADDRESS_MAX, ..Bounds::default() },
        user: Bounds { connections_max: USER_MAX, ..Bounds::default() },
        sessions_per_user_max: SESSIONS_MAX,
        listeners: vec![listener, ListenerTerms { is_proxied: true, ..ListenerTerms::default() }],
        accounts_max,
        ..Terms::of(&Limits::default())
    }
}

fn accounts(terms: Terms) -> Arc<Accounts> {
    Arc::new(Accounts::new(terms, Seed::new(5)))
}

fn sums(accounts: &Accounts) -> [Sums; 2] {
    [accounts.addresses.sums(), accounts.users.sums()]
}

fn address(number: u64) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number as u32)), 1_000)
}

fn peer(number: u64, listener: u16) -> Peer {
    Peer { address: address(number), listener }
}

/// One connection of the model.
struct Here {
    seat: Seat,
    /// None of a proxy that has not said who comes.
    address: Option<u64>,
    listener: u16,
    user: Option<u64>,
}

#[test]
#[expect(clippy::too_many_lines, reason = "what the model expects stands beside what is asked")]
fn seats_are_given_as_a_model_gives_them_and_all_are_given_back() {
    let mut met: BTreeMap<SharedLimit, u32> = BTreeMap::new();
    for seed in 0..30 {
        let accounts = accounts(terms(1_024));
        let mut random = Random::from_seed(seed);
        let (mut here, mut sessions): (Vec<Here>, Vec<(u64, SessionSeat)>) = (Vec::new(), Vec::new());
        for step in 0..3_000 {
            let now = Time::from_millis(step);
            let (number, listener) = (random.below(12), random.below(3) as u16);
            let count = |holds: &dyn Fn(&Here) -> bool| here.iter().filter(|one| holds(one)).count() as u64;
            let of_address = count(&|one| one.address == Some(number));
            let expected = if here.len() as u64 >= BROKER_MAX {
                Err(SharedLimit::Connections)
            } else if listener == 0 && count(&|one| one.listener == 0) >= LISTENER_MAX {
                Err(SharedLimit::ListenerConnections)
            } else if listener != 1 && of_address >= u64::from(ADDRESS_MAX) {
                Err(SharedLimit::ConnectionsPerAddress)
            } else if listener == 0
                && count(&|one| one.listener == 0 && one.address == Some(number)) >= u64::from(LISTENER_ADDRESS_MAX)
            {
                Err(SharedLimit::ListenerConnectionsPerAddress)
            } else {
                Ok(())
            };
            match random.below(6) {
                0..=2 => {
                    let seat = accounts.seat(peer(number, listener), now);
                    assert_eq!(seat.as_ref().map(|_| ()).map_err(|limit| *limit), expected, "step {step} of {seed}");
                    match seat {
                        Ok(seat) => {
                            let address = (listener != 1).then_some(number);
                            here.push(Here { seat, address, listener, user: None });
                        }
                        Err(limit) => *met.entry(limit).or_default() += 1,
                    }
                }
                3 => {
                    let Some(at) = (0..here.len()).find(|at| here[*at].address.is_none()) else { continue };
                    let said = here[at].seat.introduce(address(number), now);
                    assert_eq!(said.is_ok(), of_address < u64::from(ADDRESS_MAX));
                    if said.is_ok() { here[at].address = Some(number) } else { drop(here.swap_remove(at)) }
                }
                4 => {
                    let Some(at) = (0..here.len()).find(|at| here[*at].user.is_none()) else { continue };
                    let user = random.below(4);
                    let name = format!("user-{user}");
                    let has_room = count(&|one| one.user == Some(user)) < u64::from(USER_MAX);
                    here[at].seat.prove(&name, now).unwrap();
                    let is_due = random.chance(1, 4);
                    assert_eq!(here[at].seat.join(is_due).is_ok(), has_room || is_due);
                    if has_room || is_due {
                        here[at].user = Some(user);
                    } else {
                        drop(here.swap_remove(at));
                    }
                    let of_user = sessions.iter().filter(|(owner, _)| *owner == user).count();
                    match accounts.session(Some(&name), false, now) {
                        Ok(seat) => {
                            assert!(of_user < SESSIONS_MAX as usize);
                            sessions.push((user, seat.unwrap()));
                        }
                        Err(limit) => {
                            assert_eq!((limit, of_user), (SharedLimit::SessionsPerUser, SESSIONS_MAX as usize));
                            drop(sessions.swap_remove(0));
                        }
                    }
                }
                _ => {
                    for _ in 0..random.below(5) {
                        if !here.is_empty() {
                            drop(here.swap_remove(random.index(here.len())));
                        }
                    }
                }
            }
            accounts.check(here.len() as u64, (0, 0));
        }
        drop((here, sessions));
        accounts.check(0, (0, 0));
        assert_eq!(sums(&accounts), [Sums::default(); 2], "all is given back");
        assert_eq!(accounts.census(Time::ZERO).uncounted, 0);
    }
    assert!(met.len() == 4, "every bound was met: {met:?}");
}

#[test]
fn a_full_table_lets_in_uncounted_and_places_without_debts_go_to_others() {
    let rate = Bounds { connect_rate: 1, connections_max: 1, ..Bounds::default() };
    let accounts = accounts(Terms { connections_max: 1 << 30, address: rate, listeners: Vec::new(), ..terms(1_024) });
    let now = Time::from_millis(5_000);
    let mut seats: Vec<Seat> = (0..2_000).map(|number| accounts.seat(peer(number, 0), now).unwrap()).collect();
    let uncounted = accounts.census(now).uncounted;
    assert!((976..1_100).contains(&uncounted), "{uncounted}: a table is used nearly to its end");
    assert_eq!(accounts.addresses.sums().held, 2_000 - uncounted);
    let (first, last) = (peer(0, 0), peer(1_999_999, 0));
    assert_eq!(accounts.seat(first, now).err(), Some(SharedLimit::ConnectionsPerAddress), "who is counted stays so");
    seats.clear();
    assert_eq!(accounts.seat(first, now).err(), Some(SharedLimit::ConnectRatePerAddress), "a debt is not forgotten");
    accounts.seat(last, now).unwrap();
    let before = accounts.census(now).uncounted;
    assert!(before > uncounted, "nor for somebody else");
    let later = now.after_ms(1_000);
    let again: Vec<Seat> = (10_000..10_500).map(|number| accounts.seat(peer(number, 0), later).unwrap()).collect();
    assert_eq!((accounts.census(now).uncounted, accounts.addresses.sums().held), (before, again.len() as u64));
}

#[test]
fn what_comes_is_charged_to_address_and_user_on_all_their_connections() {
    let address = Bounds { message_rate: 10, byte_rate: 0, ..Bounds::default() };
    let user = Bounds { message_rate: 0, byte_rate: 1_000, ..Bounds::default() };
    let accounts = accounts(Terms { address, user, listeners: Vec::new(), ..terms(1_024) });
    let now = Time::from_millis(9);
    let mut seats: Vec<Seat> = [1, 1, 2].map(|number| accounts.seat(peer(number, 0), now).unwrap()).into();
    for (seat, user) in seats.iter_mut().zip(["a", "b", "b"]) {
        assert!(seat.is_metered(Way::In) && !seat.is_metered(Way::Out));
        seat.prove(user, now).unwrap();
    }
    let charge = |seat: usize, messages, bytes| {
        let mut met = Vec::new();
        (seats[seat].charge(Way::In, messages, bytes, now, |limit| met.push(limit)), met)
    };
    assert_eq!(charge(0, 6, 900), (None, vec![]));
    assert_eq!(charge(1, 6, 900), (Some(200), vec![SharedLimit::MessageRatePerAddress]));
    assert_eq!(charge(2, 10, 600), (Some(500), vec![SharedLimit::ByteRatePerUser]));
    let plain = self::accounts(Terms::of(&Limits::default()));
    let seat = plain.seat(peer(1, 0), now).unwrap();
    assert!(!seat.is_metered(Way::In) && !seat.is_metered(Way::Out));
    assert_eq!(sums(&plain), [Sums::default(); 2], "what is not bounded holds no place");
}

#[test]
fn what_is_sent_is_charged_beside_what_comes_and_everybody_sees_the_debt() {
    let out = |message_rate_out, byte_rate_out| Bounds { message_rate_out, byte_rate_out, ..Bounds::default() };
    let (address, user) = (out(10, 0), Bounds { message_rate: 1, ..out(0, 1_000) });
    let accounts = accounts(Terms { address, user, listeners: Vec::new(), ..terms(1_024) });
    let now = Time::from_millis(9);
    let mut seats: Vec<Seat> = [1, 1, 2].map(|number| accounts.seat(peer(number, 0), now).unwrap()).into();
    for (seat, user) in seats.iter_mut().zip(["a", "b", "b"]) {
        assert!(seat.is_metered(Way::Out) && !seat.is_metered(Way::In));
        seat.prove(user, now).unwrap();
        assert!(seat.is_metered(Way::In));
    }
    let charge = |seat: usize, messages, bytes| {
        let mut met = Vec::new();
        (seats[seat].charge(Way::Out, messages, bytes, now, |limit| met.push(limit)), met)
    };
    let debt = |seat: usize, way, now| {
        let mut met = Vec::new();
        (seats[seat].debt(way, now, |limit| met.push(limit)), met)
    };
    assert_eq!(charge(0, 11, 0), (Some(100), vec![SharedLimit::MessageRateOutPerAddress]));
    assert_eq!(debt(1, Way::Out, now), (Some(100), vec![SharedLimit::MessageRateOutPerAddress]));
    assert_eq!((debt(2, Way::Out, now), debt(1, Way::In, now)), ((None, vec![]), (None, vec![])));
    assert_eq!(charge(2, 1, 1_500), (Some(500), vec![SharedLimit::ByteRateOutPerUser]));
    let both = vec![SharedLimit::MessageRateOutPerAddress, SharedLimit::ByteRateOutPerUser];
    assert_eq!(debt(1, Way::Out, now), (Some(500), both));
    assert_eq!(debt(1, Way::Out, now.after_ms(500)), (None, vec![]));
}

#[test]
fn a_debt_outlives_the_connection_that_has_run_it_up() {
    let none = Bounds::default();
    for (bounds, way) in [
        (Bounds { message_rate: 1, ..none }, Way::In),
        (Bounds { byte_rate: 1, ..none }, Way::In),
        (Bounds { message_rate_out: 1, ..none }, Way::Out),
        (Bounds { byte_rate_out: 1, ..none }, Way::Out),
    ] {
        for (address, user) in [(bounds, none), (none, bounds)] {
            let accounts = accounts(Terms { address, user, listeners: Vec::new(), ..terms(8) });
            let now = Time::from_millis(5_000);
            let come = |number| {
                let mut seat = accounts.seat(peer(number, 0), now).unwrap();
                seat.prove(&format!("user-{number}"), now).unwrap();
                seat
            };
            assert!(come(0).charge(way, 9, 9, now, |_| {}).is_some());
            let crowd: Vec<Seat> = (1..30).map(come).collect(); // of whom each would like its place
            assert!(accounts.census(now).uncounted > 0 && crowd[0].debt(way, now, |_| {}).is_none());
            assert_eq!(come(0).debt(way, now, |_| {}), Some(8_000), "{way:?}: {bounds:?}");
        }
    }
}

#[test]
fn users_have_their_places_also_where_only_what_they_retain_is_bounded() {
    let plain = Terms { accounts_max: 1_024, ..Terms::of(&Limits::default()) };
    for terms in [
        Terms { retained_per_user_max: 1, ..plain.clone() },
        Terms { retained_bytes_per_user_max: 1, ..plain.clone() },
        Terms { sessions_per_user_max: 1, retained_per_user_max: 1, ..plain },
    ] {
        let accounts = accounts(terms);
        let held = (0..100).map(|number| accounts.retained(&format!("user-{number}"), Time::from_millis(1)));
        assert!(held.collect::<Vec<_>>().iter().all(Option::is_some), "{accounts:?}");
    }
}

#[test]
fn a_flood_of_addresses_takes_no_place_of_a_user_nor_the_other_way_round() {
    let one = Bounds { connections_max: 1, ..Bounds::default() };
    let accounts = accounts(Terms {
        connections_max: 1 << 30,
        address: one,
        user: one,
        listeners: Vec::new(),
        retained_per_user_max: 1,
        ..terms(1_024)
    });
    let now = Time::from_millis(5_000);
    let flood: Vec<Seat> = (0..3_000).map(|number| accounts.seat(peer(number, 0), now).unwrap()).collect();
    assert!(accounts.census(now).uncounted > 1_900, "no place is left for an address");
    let mut users: Vec<Seat> = (0..3).map(|number| accounts.seat(peer(5_000 + number, 0), now).unwrap()).collect();
    let joined = users.iter_mut().map(|seat| {
        seat.prove("new", now).unwrap();
        seat.join(false)
    });
    let refused = Err(SharedLimit::ConnectionsPerUser);
    assert_eq!(joined.collect::<Vec<_>>(), [Ok(()), refused, refused]);
    let held: Vec<SessionSeat> =
        (0..SESSIONS_MAX).map(|_| accounts.session(Some("new"), false, now).unwrap().unwrap()).collect();
    assert_eq!(accounts.session(Some("new"), false, now).err(), Some(SharedLimit::SessionsPerUser));
    let mut retained = accounts.retained("new", now).expect("there is a place");
    assert_eq!([0; 2].map(|_| retained.grow(1, 9, false).is_ok()), [true, false]);
    drop((flood, users, held, retained));

    let names = (0..3_000).map(|number| format!("user-{number}"));
    let flood: Vec<RetainedSeat> = names.filter_map(|name| accounts.retained(&name, now)).collect();
    assert!(flood.len() < 1_024 + 1, "no place is left for a user");
    let first = accounts.seat(peer(1, 0), now).unwrap();
    assert_eq!(accounts.seat(peer(1, 0), now).err(), Some(SharedLimit::ConnectionsPerAddress));
    drop((flood, first));
    assert_eq!(sums(&accounts), [Sums::default(); 2], "all is given back");
}

#[test]
fn what_a_user_retains_is_counted_on_all_shards_and_given_back_once() {
    let terms = Terms { retained_per_user_max: 5, retained_bytes_per_user_max: 1_000, ..terms(64) };
    let accounts = accounts(terms);
    let now = Time::from_millis(1);
    let [mut one, mut other] = [0; 2].map(|_| accounts.retained("a", now).expect("there is a place"));
    assert_eq!((one.grow(3, 300, false), other.grow(2, 200, false)), (Ok(()), Ok(())));
    assert_eq!(one.grow(1, 1, false), Err(SharedLimit::RetainedMessagesPerUser));
    other.shrink(1, 100);
    assert_eq!(one.grow(1, 601, false), Err(SharedLimit::RetainedBytesPerUser));
    accounts.check(0, (4, 400)); // of what is refused nothing stays
    assert_eq!(one.grow(1, 600, false), Ok(()));
    assert_eq!(one.grow(0, 1, false), Err(SharedLimit::RetainedBytesPerUser));
    assert_eq!((one.grow(7, 7_000, true), one.grow(0, 0, false)), (Ok(()), Ok(())), "what is due is counted");
    other.shrink(1, 100);
    assert_eq!(other.grow(1, 1, false), Err(SharedLimit::RetainedMessagesPerUser), "above the bound nobody adds");
    assert!(accounts.retained("b", now).unwrap().grow(5, 1_000, false).is_ok(), "others have their own");
    accounts.check(0, (11, 7_900));
    drop(one);
    accounts.check(0, (0, 0));
    drop(other);
    assert_eq!(sums(&accounts), [Sums::default(); 2]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "shards, played by threads")]
fn threads_that_retain_for_one_user_exceed_no_bound_and_lose_nothing() {
    let accounts = accounts(Terms { retained_per_user_max: 9, retained_bytes_per_user_max: 500, ..terms(64) });
    let [messages, bytes] = [0; 2].map(|_| AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (accounts, messages, bytes) = (&accounts, &messages, &bytes);
            scope.spawn(move || {
                let mut random = Random::from_seed(thread);
                let mut kept: Vec<u32> = Vec::new();
                let mut seat = accounts.retained("a", Time::ZERO).unwrap();
                for _ in 0..100_000 {
                    let size = random.range(1, 120) as u32;
                    if random.chance(1, 2) && seat.grow(1, u64::from(size), false).is_ok() {
                        assert!(messages.fetch_add(1, Ordering::SeqCst) < 9);
                        assert!(bytes.fetch_add(size, Ordering::SeqCst) + size <= 500);
                        kept.push(size);
                    } else if let Some(size) = kept.pop() {
                        messages.fetch_sub(1, Ordering::SeqCst);
                        bytes.fetch_sub(size, Ordering::SeqCst);
                        seat.shrink(1, u64::from(size));
                    }
                }
                messages.fetch_sub(kept.len() as u32, Ordering::SeqCst);
                bytes.fetch_sub(kept.iter().sum(), Ordering::SeqCst);
            });
        }
    });
    assert_eq!(sums(&accounts), [Sums::default(); 2], "all is given back");
}

#[test]
fn bans_are_of_addresses_and_of_none_that_is_exempt() {
    let bans = BanTerms {
        failures_max: 2,
        failure_window_ms: 1_000,
        ban_ms: 500,
        ban_max_ms: 5_000,
        exempt: vec![Network::parse("10.0.0.9").unwrap()],
    };
    let accounts = accounts(Terms::of(&Limits::default()).with_bans(bans).with_listeners(terms(0).listeners));
    let now = Time::from_millis(9);
    let ip = |number| address(number).ip();
    assert_eq!([0; 9].map(|_| accounts.fail(ip(9), now)), [None; 9]);
    assert_eq!([0, 1].map(|_| accounts.fail(ip(1), now)), [None, Some(500)]);
    assert_eq!([1, 2, 9].map(|number| accounts.is_banned(ip(number), now)), [true, false, false]);
    assert_eq!(accounts.seat(peer(1, 0), now).err(), Some(SharedLimit::Ban));
    let mut proxied = accounts.seat(peer(1, 1), now).expect("a proxy's own address says nothing");
    assert_eq!(proxied.address(peer(1, 1)), None);
    assert_eq!(proxied.introduce(address(1), now).err(), Some(SharedLimit::Ban));
    let mut proxied = accounts.seat(peer(1, 1), now).unwrap();
    assert_eq!((proxied.introduce(address(2), now), accounts.census(now).banned), (Ok(()), 1));
    let later = now.after_ms(500);
    assert!(accounts.seat(peer(1, 0), later).is_ok() && accounts.census(later).banned == 0);
}

#[test]
fn a_ban_of_a_network_of_ipv6_is_none_of_an_address_in_it_that_is_exempt() {
    let exempt = vec![Network::parse("2001:db8::1").unwrap()];
    let bans = BanTerms { failures_max: 1, failure_window_ms: 1_000, ban_ms: 500, ban_max_ms: 500, exempt };
    let accounts = accounts(Terms::of(&Limits::default()).with_bans(bans));
    let now = Time::from_millis(9);
    let [own, guesser] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<IpAddr>().unwrap());
    assert_eq!((accounts.fail(own, now), accounts.fail(guesser, now)), (None, Some(500)));
    assert_eq!([own, guesser].map(|address| accounts.is_banned(address, now)), [false, true]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "shards, played by threads")]
fn threads_that_come_and_go_lose_no_seat_and_exceed_no_bound() {
    const THREADS: u32 = 4;
    let accounts = accounts(terms(64));
    let at_once: Vec<AtomicU32> = (0..6).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (accounts, at_once) = (&accounts, &at_once);
            scope.spawn(move || {
                let mut random = Random::from_seed(u64::from(thread));
                let mut here: Vec<(u64, Seat)> = Vec::new();
                for step in 0..100_000 {
                    let number = random.below(6);
                    if random.chance(1, 2) && here.len() < 8 {
                        let Ok(seat) = accounts.seat(peer(number, 7), Time::from_millis(step)) else { continue };
                        let counted = at_once[number as usize].fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(counted <= ADDRESS_MAX, "{counted} connections from one address");
                        here.push((number, seat));
                    } else if !here.is_empty() {
                        let (number, seat) = here.swap_remove(random.index(here.len()));
                        at_once[number as usize].fetch_sub(1, Ordering::SeqCst);
                        drop(seat);
                    }
                }
                for (number, seat) in here {
                    at_once[number as usize].fetch_sub(1, Ordering::SeqCst);
                    drop(seat);
                }
            });
        }
    });
    accounts.check(0, (0, 0));
    assert_eq!(sums(&accounts), [Sums::default(); 2], "all is given back");
    assert_eq!(accounts.census(Time::ZERO).uncounted, 0, "six addresses find their places among 64");
}
