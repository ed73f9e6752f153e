//! Explains why TLS with a server failed, and what the operator can do.
//!
//! Guards: each failure that an operator can fix names the next step. A text may hold names from the server's certificate,
//! never the URL. Not here: failures below and above TLS (`net::describe`).

use std::error::Error as StdError;

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error, InvalidMessage};

use crate::time::Timestamp;

/// The most names of a certificate that a text lists.
const NAMES: usize = 3;

/// The longest DNS name, in bytes.
const LONGEST_NAME: usize = 253;

/// The reason, if the error or one of its causes is a TLS error.
pub(super) fn tls_reason(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<Error>() {
            return Some(reason(tls));
        }
        // An I/O error does not return the error that it wraps from `source`.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(refused) => format!("the server's certificate {}", refusal(refused)),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server's answer is not TLS; check the port, or write `http://` if no TLS is meant".to_owned()
        }
        other => format!("TLS failed: {other}"),
    }
}

fn refusal(refused: &CertificateError) -> String {
    match refused {
        CertificateError::UnknownIssuer => "has an unknown issuer; name the CA in `ca_file`".to_owned(),
        CertificateError::Other(other) if is_ca_as_server(other) => {
            "is self-signed, or a CA's own; name it in `ca_file`".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = listed(presented);
            format!("does not hold the URL's host name{names}; use a name that it holds, or replace it")
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("expired at {}; renew it on the server, or correct this machine's clock", at(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("is not valid before {}; check this machine's clock", at(*not_before))
        }
        other => format!("is refused: {other}"),
    }
}

fn is_ca_as_server(other: &rustls::OtherError) -> bool {
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// The first names of a certificate, from texts such as `DnsName("crm.example.com")`. The server chose them.
fn listed(presented: &[String]) -> String {
    let names: Vec<&str> = presented.iter().filter_map(|text| host_name(text)).take(NAMES + 1).collect();
    match names.as_slice() {
        [] => String::new(),
        [first @ .., _] if names.len() > NAMES => format!(" (it is for {}, ...)", first.join(", ")),
        all => format!(" (it is for {})", all.join(", ")),
    }
}

fn host_name(text: &str) -> Option<&str> {
    let dns = text.strip_prefix("DnsName(\"").and_then(|rest| rest.strip_suffix("\")"));
    let name = dns.or_else(|| text.strip_prefix("IpAddress(")?.strip_suffix(')'))?;
    (name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic())).then_some(name)
}

fn at(time: UnixTime) -> String {
    let ms = i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000);
    Timestamp::from_ms(ms).rfc3339()
}
