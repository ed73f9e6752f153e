//! Decides which addresses a webhook may connect to, by the resolved address of each connection.
//!
//! Guards: link-local and cloud-metadata addresses are forbidden unless the operator allows them, in every form of an IPv4
//! address inside an IPv6 one. With `network = "public"` private and loopback addresses are forbidden too. A name is judged
//! by the addresses of this very connection, so it cannot change between check and use. Not here: the literal forms of a
//! URL (`0x7f.1`, `2130706433`), which the URL parser turns into plain addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The addresses that the operator allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// `network = "public"`.
    pub public_only: bool,
    /// `allow_link_local = true`.
    pub allow_link_local: bool,
}

/// Why an address is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Link-local, or a cloud's metadata service, which holds the secrets of a machine.
    #[error(
        "the address is link-local or a cloud's metadata service; `allow_link_local = true` would allow it"
    )]
    LinkLocal,
    /// Not on the public internet.
    #[error("the address is not public, and `network = \"public\"` is set")]
    NotPublic,
}

impl NetworkPolicy {
    /// Whether `address` may be connected to.
    pub fn judge(self, address: IpAddr) -> Result<(), Forbidden> {
        let embedded = local_nat64(address);
        let address = unwrapped(address);
        if is_link_local_or_metadata(address) || embedded.into_iter().any(is_link_local_or_metadata) {
            return if self.allow_link_local { Ok(()) } else { Err(Forbidden::LinkLocal) };
        }
        if self.public_only && !is_public(address) {
            return Err(Forbidden::NotPublic);
        }
        Ok(())
    }

    /// Judges a URL whose host is an address. A host name is judged when it is resolved.
    pub fn judge_literal(self, url: &reqwest::Url) -> Result<(), Forbidden> {
        let host = url.host_str().unwrap_or_default();
        match host.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => self.judge(address),
            Err(_) => Ok(()),
        }
    }
}

/// The system's resolver without the forbidden addresses.
#[derive(Clone, Copy, Debug)]
pub struct CheckedResolver(pub NetworkPolicy);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let network = self.0;
        Box::pin(async move {
            // The connector fills in the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (mut allowed, mut forbidden) = (Vec::new(), None);
            for address in found {
                match network.judge(address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(why) => forbidden = Some(why),
                }
            }
            match forbidden {
                Some(why) if allowed.is_empty() => Err(why.into()),
                _ => {
                    Ok(Box::new(allowed.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send> as Addrs)
                }
            }
        })
    }
}

/// The IPv4 address inside an IPv6 one, if there is one: the address that the connection reaches in the end.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        // `::` and `::1` hold no IPv4 address.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        // Mapped (RFC 4291), compatible (the same, deprecated), translated (RFC 2765); NAT64, well-known (RFC 6052) and
        // local (RFC 8215); 6to4 (RFC 3056); ISATAP (RFC 5214) behind any prefix.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => v4(high, low),
        // Teredo (RFC 4380) carries the client's address inverted.
        [0x2001, 0, _, _, _, _, high, low] => v4(!high, !low),
        _ => address,
    }
}

/// The addresses that an address of the local NAT64 prefix (RFC 8215) may mean, one for each length of the prefix that its
/// operator may have chosen: /48, /56, /64 (RFC 6052, section 2.2, skips bits 64 to 71). [`unwrapped`] handles /96.
fn local_nat64(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else { return Vec::new() };
    let bytes = v6.octets();
    if !bytes.starts_with(&[0, 0x64, 0xff, 0x9b, 0, 1]) {
        return Vec::new();
    }
    // Any four octets in a row, without the skipped one.
    let skipped: Vec<u8> = bytes[6..8].iter().chain(&bytes[9..13]).copied().collect();
    let form = |four: &[u8]| IpAddr::V4(Ipv4Addr::new(four[0], four[1], four[2], four[3]));
    skipped.windows(4).map(form).collect()
}

fn is_link_local_or_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                // Alibaba Cloud, Azure's wire server, Oracle Cloud.
                || [[100, 100, 100, 200], [168, 63, 129, 16], [192, 0, 0, 192]].contains(&v4.octets())
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                // Amazon (instances; containers), Google, Oracle and Scaleway over IPv6.
                || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)
                || v6 == Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)
                || v6 == Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)
                || v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || v6 == Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

/// Whether an address is globally reachable, by the IANA special-purpose registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let special = match a {
                0 | 10 | 127 | 224..=255 => true,
                100 => (64..128).contains(&b),
                169 => b == 254,
                172 => (16..32).contains(&b),
                192 => b == 168 || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99),
                198 => b == 18 || b == 19 || (b == 51 && c == 100),
                203 => b == 0 && c == 113,
                _ => false,
            };
            !special
        }
        IpAddr::V6(v6) => match v6.segments() {
            // Documentation, benchmarking and overlay ranges inside the global block.
            [0x2001, 2 | 0x10..=0x3f | 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
            [first, ..] => (0x2000..=0x3fff).contains(&first),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: NetworkPolicy = NetworkPolicy { public_only: false, allow_link_local: false };
    const PUBLIC: NetworkPolicy = NetworkPolicy { public_only: true, allow_link_local: false };

    fn judged(network: NetworkPolicy, host: &str) -> Result<(), Forbidden> {
        let url = reqwest::Url::parse(&format!("http://{host}/hook")).unwrap();
        network.judge_literal(&url)
    }

    /// Hosts in many spellings, with the verdicts under `any` and under `public`.
    const LINK_LOCAL: &[&str] = &[
        "169.254.169.254",
        "169.254.0.1",
        "169.254.255.255",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "0251.0376.0251.0376",
        "025177524776",
        "169.254.43518",
        "169.16689662",
        "0xa9.254.0251.0xfe",
        "169.254.169.254.",
        "100.100.100.200",
        "0x646464c8",
        "168.63.129.16",
        "192.0.0.192",
        "[fe80::1]",
        "[FE80::1]",
        "[febf::1]",
        "[fe80:0:0:0:0:0:0:1]",
        "[fd00:ec2::254]",
        "[fd00:0ec2:0:0:0:0:0:0254]",
        "[fd20:ce::254]",
        "[fd00:ec2::23]",
        "[fd00:c1::a9fe:a9fe]",
        "[fd00:42::42]",
        "[64:ff9b:1:a9fe:a9:fe00::]",
        "[64:ff9b:1:00a9:fe:a9fe::]",
        "[64:ff9b:1:0:a9:fea9:fe00:0]",
        "[64:ff9b:1:6464:64:c800::]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[::ffff:0:169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::169.254.169.254]",
        "[64:ff9b:1:2:3:4:a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:1:2:3:4:5601:5601]",
        "[2001:db8::5efe:169.254.169.254]",
        "[2001:db8::200:5efe:169.254.169.254]",
        "[::ffff:100.100.100.200]",
        "[64:ff9b::100.100.100.200]",
    ];
    const PRIVATE: &[&str] = &[
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "10.255.255.255",
        "0xa000001",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "0300.0250.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[fc00::1]",
        "[fdff::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[2001:2::1]",
        "[3fff::1]",
        "[100::1]",
        "[5f00::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:c0a8:101::]",
        "[2001:0:1:2:3:4:80ff:fffe]",
    ];
    const GLOBAL: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "0x08080808",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "169.253.255.255",
        "169.255.0.1",
        "192.1.0.1",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.255",
        "[2606:4700::1111]",
        "[2001:4860:4860::8888]",
        "[::ffff:8.8.8.8]",
        "[64:ff9b::8.8.8.8]",
        "[2002:808:808::1]",
        "hooks.example.com",
    ];

    #[test]
    fn link_local_and_metadata_are_refused_in_every_spelling() {
        for host in LINK_LOCAL {
            assert_eq!(judged(ANY, host), Err(Forbidden::LinkLocal), "{host}");
            assert_eq!(judged(PUBLIC, host), Err(Forbidden::LinkLocal), "{host}");
        }
    }

    #[test]
    fn private_and_loopback_are_allowed_unless_public_is_set() {
        for host in PRIVATE {
            assert_eq!(judged(ANY, host), Ok(()), "{host}");
            assert_eq!(judged(PUBLIC, host), Err(Forbidden::NotPublic), "{host}");
        }
    }

    #[test]
    fn public_addresses_and_names_pass() {
        for host in GLOBAL {
            assert_eq!(judged(ANY, host), Ok(()), "{host}");
            assert_eq!(judged(PUBLIC, host), Ok(()), "{host}");
        }
    }

    #[test]
    fn link_local_can_be_allowed() {
        let network = NetworkPolicy { allow_link_local: true, ..ANY };
        for host in LINK_LOCAL {
            assert_eq!(judged(network, host), Ok(()), "{host}");
        }
        assert_eq!(
            judged(NetworkPolicy { public_only: true, ..network }, "10.0.0.1"),
            Err(Forbidden::NotPublic)
        );
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let resolve = |network| CheckedResolver(network).resolve("localhost".parse().unwrap());
        assert!(resolve(ANY).await.unwrap().all(|a| a.ip().is_loopback()));
        let refused = resolve(PUBLIC).await.err().unwrap();
        assert_eq!(refused.downcast_ref(), Some(&Forbidden::NotPublic));
    }
}
