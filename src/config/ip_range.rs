//! Ranges of IP addresses: one address, or a network such as `10.0.0.0/8`.
//!
//! Guards: an IPv4 address that a dual-stack socket reports as IPv6 matches IPv4 ranges. Not here: who uses them.

use std::net::IpAddr;

use super::section::ValueError;

/// One address, or all with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    address: IpAddr,
    bits: u8,
}

impl IpRange {
    pub(super) fn read(text: &str) -> Result<Self, ValueError> {
        let wrong = || {
            ValueError::new(
                format!("`{text}` is no IP address and no network"),
                "for example `127.0.0.1` or `172.16.0.0/12`",
            )
        };
        let (address, bits) = text.split_once('/').map_or((text, None), |(left, right)| (left, Some(right)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let unused = width - u32::from(self.bits);
            // A shift by the whole width would overflow; with no bits every address matches.
            a.checked_shr(unused).unwrap_or(0) == b.checked_shr(unused).unwrap_or(0)
        };
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_their_addresses_and_no_others() {
        let has =
            |range: &str, address: &str| IpRange::read(range).unwrap().contains(address.parse().unwrap());
        for (range, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "::ffff:127.0.0.1"),
            ("172.16.0.0/12", "172.31.255.255"),
            ("0.0.0.0/0", "203.0.113.9"),
            ("fd00::/8", "fdff::1"),
            ("::/0", "2001:db8::1"),
        ] {
            assert!(has(range, address), "{range} {address}");
        }
        for (range, address) in [
            ("127.0.0.1", "127.0.0.2"),
            ("172.16.0.0/12", "172.32.0.0"),
            ("::/0", "127.0.0.1"),
            ("fd00::/8", "fe00::1"),
        ] {
            assert!(!has(range, address), "{range} {address}");
        }
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "::/129"] {
            assert!(IpRange::read(wrong).is_err(), "{wrong}");
        }
    }
}
