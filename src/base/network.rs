//! A network of IP addresses, as operators write it: `10.0.0.0/8`, `::1/128`, or one address.
//!
//! An IPv4 address that a socket of IPv6 reports in its mapped form (`::ffff:10.0.0.1`) is the IPv4 address, on both sides of
//! the question: a rule for `10.0.0.0/8` holds for it, and no network of IPv6 contains it, not even `::/0`.

use core::fmt;
use core::net::IpAddr;

use thiserror::Error;

/// Bits of an IPv4 address.
const IPV4_BITS: u8 = 32;
/// Bits of an IPv6 address.
const IPV6_BITS: u8 = 128;
/// Bits of an IPv6 address that stand before the mapped IPv4 address.
const MAPPED_BITS: u8 = IPV6_BITS - IPV4_BITS;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Its first address; an IPv4 address is never in its mapped form.
    first: IpAddr,
    /// How many bits its addresses share; behind them `first` has no bit set.
    prefix_bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// What stands before the slash, or all of it.
    #[error("an address in numbers is missing")]
    NoAddress,
    /// What stands behind the slash.
    #[error("behind the slash stands how many bits count, 0 to {maximum}")]
    NoPrefix {
        /// The bits of such an address.
        maximum: u8,
    },
    /// It is ambiguous whether the address or the prefix is wrong.
    #[error("bits are set behind the first {prefix_bits}; {network} is the network of that address")]
    HostBits {
        /// The bits that count.
        prefix_bits: u8,
        /// What the address lies in.
        network: Network,
    },
}

impl Network {
    /// Reads `ADDRESS/BITS` or `ADDRESS`.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok().ok_or(NetworkError::NoAddress)?;
        let maximum = bits(address);
        let prefix_bits = match prefix {
            None => maximum,
            Some(digits) => parse_prefix(digits, maximum).ok_or(NetworkError::NoPrefix { maximum })?,
        };
        let first = masked(address, prefix_bits);
        if first != address {
            let network = Self { first, prefix_bits }.canonical();
            return Err(NetworkError::HostBits { prefix_bits, network });
        }
        Ok(Self { first, prefix_bits }.canonical())
    }

    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.prefix_bits) == self.first
    }

    /// A network of mapped addresses is the one of their IPv4 addresses.
    fn canonical(self) -> Self {
        match (self.first.to_canonical(), self.prefix_bits.checked_sub(MAPPED_BITS)) {
            (first @ IpAddr::V4(_), Some(prefix_bits)) if self.first.is_ipv6() => Self { first, prefix_bits },
            (IpAddr::V4(_) | IpAddr::V6(_), _) => self,
        }
    }
}

/// As [`Network::parse`] reads it: one address without a slash.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix_bits == bits(self.first) {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}/{}", self.first, self.prefix_bits)
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => IPV4_BITS,
        IpAddr::V6(_) => IPV6_BITS,
    }
}

/// Plain digits, written in one way only.
fn parse_prefix(digits: &str, maximum: u8) -> Option<u8> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|prefix_bits| is_plain && *prefix_bits <= maximum)
}

/// The address with all bits behind the first `prefix_bits` cleared.
fn masked(address: IpAddr, prefix_bits: u8) -> IpAddr {
    debug_assert!(prefix_bits <= bits(address), "an address has no more bits");
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(u32::from(IPV4_BITS - prefix_bits)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(u32::from(IPV6_BITS - prefix_bits)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn contains(text: &str, address: &str) -> bool {
        network(text).contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_contains_the_addresses_that_share_its_bits() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
            ("192.168.4.0/22", ["192.168.4.0", "192.168.7.255"], ["192.168.3.255", "192.168.8.0"]),
            ("192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1"]),
            ("128.0.0.0/1", ["128.0.0.0", "255.255.255.255"], ["127.255.255.255", "0.0.0.0"]),
            ("fd00::/8", ["fd00::", "fdff:ffff::1"], ["fc00::1", "fe00::"]),
            ("2001:db8::/33", ["2001:db8::1", "2001:db8:7fff::"], ["2001:db8:8000::", "2001:db9::"]),
            ("::1/128", ["::1", "0:0::1"], ["::", "::2"]),
        ] {
            assert!(inside.iter().all(|address| contains(text, address)), "{text} contains {inside:?}");
            assert!(!outside.iter().any(|address| contains(text, address)), "{text} contains none of {outside:?}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!contains("10.0.0.0/8", "::ffff:11.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!contains("::/0", "::ffff:10.1.2.3") && !contains("::/0", "10.1.2.3"));
        assert!(!contains("::fffe:0:0/95", "10.1.2.3"), "a network of IPv6 stays one");
        assert_eq!(network("::ffff:10.0.0.0/104"), network("10.0.0.0/8"));
        assert_eq!(network("::ffff:0:0/96"), network("0.0.0.0/0"));
        assert_eq!(network("::ffff:10.1.2.3"), network("10.1.2.3/32"));
    }

    #[test]
    fn bits_behind_the_prefix_are_refused_with_the_network_that_was_meant() {
        let meant = |text| match Network::parse(text) {
            Err(NetworkError::HostBits { network, .. }) => network.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(meant("10.0.0.1/8"), "10.0.0.0/8");
        assert_eq!(meant("10.0.0.1/31"), "10.0.0.0/31");
        assert_eq!(meant("1.0.0.0/0"), "0.0.0.0/0");
        assert_eq!(meant("fd00::1/64"), "fd00::/64");
        assert_eq!(meant("::ffff:10.1.2.3/104"), "10.0.0.0/8");
        let told = Network::parse("10.0.0.1/8").unwrap_err().to_string();
        assert_eq!(told, "bits are set behind the first 8; 10.0.0.0/8 is the network of that address");
    }

    #[test]
    fn a_text_that_is_no_network_says_what_is_missing() {
        for text in
            ["", "/8", "localhost", "10.0.0/8", "10.0.0.0:80", "010.0.0.0/8", " 10.0.0.0/8", "[::1]", "fe80::1%eth0"]
        {
            assert_eq!(Network::parse(text), Err(NetworkError::NoAddress), "{text}");
        }
        for prefix in ["", "33", "256", "+8", "-1", "08", "00", "8 ", "8/8", "255.0.0.0", "99999999999999999999"] {
            let text = format!("0.0.0.0/{prefix}");
            assert_eq!(Network::parse(&text), Err(NetworkError::NoPrefix { maximum: 32 }), "{text}");
        }
        assert_eq!(Network::parse("::/129"), Err(NetworkError::NoPrefix { maximum: 128 }));
    }

    #[test]
    fn a_network_is_read_back_as_it_was_written() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "10.1.2.3", "::/0", "fd00::/8", "::1", "2001:db8::/127"] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(network("10.1.2.3/32").to_string(), "10.1.2.3");
    }

    /// Bit by bit, against the shifts above.
    #[test]
    fn every_prefix_agrees_with_a_comparison_of_bits() {
        let mut random = Random::from_seed(0x6e65_7477);
        for run in 0..4_000_u32 {
            let prefix_bits = u8::try_from(run % 129).unwrap();
            let one = (u128::from(random.below(u64::MAX)) << 64 | u128::from(random.below(u64::MAX))) | 1 << 127;
            let other = one ^ (1 << random.below(127));
            let shares = (0..u32::from(prefix_bits)).all(|bit| (one ^ other) & (1 << (127 - bit)) == 0);
            let network = Network { first: masked(IpAddr::V6(one.into()), prefix_bits), prefix_bits };
            assert!(network.contains(IpAddr::V6(one.into())), "{network}");
            assert_eq!(network.contains(IpAddr::V6(other.into())), shares, "{network}");
            assert_eq!(Network::parse(&network.to_string()), Ok(network));
        }
    }
}
