//! Networks of IP addresses, as `10.0.0.0/8` writes them.

use core::fmt;
use core::net::IpAddr;

/// What is wrong with the text of a network.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// Neither an address nor an address with a length.
    #[error("it is no address like 10.1.2.3 or 2001:db8::1, and no network like 10.0.0.0/8")]
    Address,
    /// There is a slash, and no length of a network behind it.
    #[error("behind the slash stands a number from 0 to {maximum}")]
    Length {
        /// The bits of an address.
        maximum: u8,
    },
    /// A network's address has no bits behind its length: somebody meant another network, or one address.
    #[error("bits are set behind the first {length}: the network is {network}/{length}")]
    HostBits {
        /// The length that was written.
        length: u8,
        /// The address of that network.
        network: IpAddr,
    },
}

/// All addresses that begin with the same bits. An IPv4 address that is written as one of IPv6 is that IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// No bits are set behind `length`.
    address: IpAddr,
    /// length ≤ bits of an address
    length: u8,
}

impl Network {
    /// Reads `ADDRESS/LENGTH`, or an address that stands for itself alone.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().or(Err(NetworkError::Address))?;
        let maximum = bits(written);
        let length = match length {
            None => maximum,
            Some(digits) => parse_length(digits, maximum).ok_or(NetworkError::Length { maximum })?,
        };
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`; with fewer bits than the mark has, it is a network of IPv6.
        let canonical = written.to_canonical();
        let (address, length) = match length.checked_sub(maximum - bits(canonical)) {
            Some(length) => (canonical, length),
            None => (written, length),
        };
        let network = first(address, length);
        if network != address {
            return Err(NetworkError::HostBits { length, network });
        }
        Ok(Self { address, length })
    }

    /// Whether the address is one of these.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && first(address, self.length) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == bits(self.address) {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.length)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Digits alone: `+8` and `08` are written by nobody who means a length.
fn parse_length(digits: &str, maximum: u8) -> Option<u8> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|length| is_plain && *length <= maximum)
}

/// The first address of the network of this length that `address` is in.
fn first(address: IpAddr, length: u8) -> IpAddr {
    debug_assert!(length <= bits(address), "no network is longer than an address");
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        Network::parse(network).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.2"),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.2"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "ffff::", "1.2.3.4"),
        ] {
            assert!(contains(network, inside) && !contains(network, outside), "{network}");
        }
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_that_address() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1") && !contains("::/0", "::ffff:10.1.1.1"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.1.1") && !contains("::ffff:10.0.0.0/104", "11.1.1.1"));
        assert_eq!(Network::parse("::ffff:10.0.0.0/104"), Network::parse("10.0.0.0/8"));
    }

    #[test]
    fn what_is_no_network_says_why() {
        for text in ["", "10.0.0", "10.0.0.0.0", "localhost", "/8", "10.0.0.0/8/8 ", " 10.0.0.0/8", "10.0.0.1:80"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
        for text in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert_eq!(Network::parse(text), Err(NetworkError::Length { maximum: 32 }), "{text}");
        }
        assert_eq!(Network::parse("::/129"), Err(NetworkError::Length { maximum: 128 }));
        let error = Network::parse("10.1.0.0/8").unwrap_err().to_string();
        assert!(error.ends_with("the network is 10.0.0.0/8"), "{error}");
        assert!(Network::parse("::ffff:10.0.0.0/90").is_err(), "the mark itself has bits behind the ninetieth");
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "::1", "0.0.0.0/0", "::/0"] {
            assert_eq!(Network::parse(text).unwrap().to_string(), text);
        }
    }
}
