//! Parses option values that are numbers or addresses.
//!
//! Guards: the error says what a valid value is. Not here: times (`when`).

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

/// A whole number of at least `least`, and at most `most` if that is given.
pub(super) fn whole<T>(
    least: T,
    most: Option<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| *number >= least);
        number.filter(|number| most.is_none_or(|most| *number <= most)).ok_or_else(|| match most {
            Some(most) => format!("write a whole number from {least} to {most}"),
            None => format!("write a whole number of at least {least}"),
        })
    }
}

/// An address and port to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        // A port alone, or a name, most likely means this machine.
        let port = text.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(8788_u16);
        format!("write an address and a port, as in `127.0.0.1:{port}`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_answered_with_those_that_are() {
        let (limit, days) = (whole(1_u32, None), whole(1_u16, Some(366)));
        assert_eq!((limit("1"), days("366")), (Ok(1), Ok(366)));
        for wrong in ["0", "-1", "ten", "", "1.5", "4294967296"] {
            assert_eq!(limit(wrong).unwrap_err(), "write a whole number of at least 1", "{wrong}");
        }
        assert_eq!(days("367").unwrap_err(), "write a whole number from 1 to 366");
    }

    #[test]
    fn half_an_address_is_answered_with_a_whole_one() {
        assert_eq!(address("[::1]:0"), Ok("[::1]:0".parse().unwrap()));
        for (half, port) in [("9000", 9000), ("localhost:9000", 9000), (":9000", 9000), ("127.0.0.1", 8788)] {
            let whole = format!("write an address and a port, as in `127.0.0.1:{port}`");
            assert_eq!(address(half).unwrap_err(), whole);
        }
    }
}
