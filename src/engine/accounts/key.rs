//! Whose account it is, as a hash that nobody outside can choose.

use core::net::IpAddr;

use crate::base::hash::Seed;

/// What a key begins with: an address is never a user.
const ADDRESS: u8 = 1;
const AT_LISTENER: u8 = 2;
const USER: u8 = 3;

/// The account of an address, in the whole broker.
pub fn of_address(seed: Seed, address: IpAddr) -> u64 {
    of(seed, ADDRESS, 0, network(address))
}

/// The account of an address with one listener.
pub fn of_address_at(seed: Seed, listener: u16, address: IpAddr) -> u64 {
    of(seed, AT_LISTENER, listener, network(address))
}

/// The account of a user.
pub fn of_user(seed: Seed, name: &str) -> u64 {
    of(seed, USER, 0, seed.hash_bytes(name.as_bytes()).to_le_bytes())
}

fn of(seed: Seed, scope: u8, listener: u16, what: [u8; 8]) -> u64 {
    let mut key = [scope; 11];
    key[1..3].copy_from_slice(&listener.to_le_bytes());
    key[3..].copy_from_slice(&what);
    seed.hash_bytes(&key)
}

/// The address, where it is one of IPv4. Of IPv6 one client has a whole network, so the first 64 bits are what is counted.
fn network(address: IpAddr) -> [u8; 8] {
    match address.to_canonical() {
        // No address of IPv6 that anybody has begins so: 0000::/8 is not given out.
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [0, 4, 0, 0, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let mut first = [0; 8];
            first.copy_from_slice(&address.octets()[..8]);
            first
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_is_its_network_and_a_mapped_one_is_ipv4() {
        let seed = Seed::new(1);
        let of = |text: &str| of_address(seed, text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn addresses_listeners_and_users_are_kept_apart() {
        let (seed, address) = (Seed::new(1), "192.0.2.1".parse().unwrap());
        let keys = [
            of_address(seed, address),
            of_address_at(seed, 0, address),
            of_address_at(seed, 1, address),
            of_user(seed, "192.0.2.1"),
            of_user(seed, ""),
            of_address(Seed::new(2), address),
        ];
        for (number, key) in keys.iter().enumerate() {
            assert!(!keys[..number].contains(key), "{number}");
        }
    }
}
