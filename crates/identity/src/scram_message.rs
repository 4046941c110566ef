//! The shape of a SCRAM client's messages (RFC 5802, section 7), checked before rsasl reads
//! them: its parser takes the length of each attribute for granted and panics on shorter ones.

/// Whether this can be a client-first-message: `n,,n=user,r=nonce`.
pub(crate) fn is_client_first(message: &[u8]) -> bool {
    let mut parts = message.split(|octet| *octet == b',');
    let (flag, authzid) = (parts.next(), parts.next());
    let flag_is_known = match flag {
        Some(b"n" | b"y") => true,
        Some(flag) => flag.len() > 2 && flag.starts_with(b"p="),
        None => false,
    };
    let authzid_is_whole = authzid.is_some_and(|part| part.is_empty() || part.starts_with(b"a="));
    let nonce_is_there = message.windows(3).any(|window| window == b",r=");
    flag_is_known && authzid_is_whole && nonce_is_there && parts.all(is_attribute)
}

/// Whether this can be a client-final-message: `c=biws,r=nonce,p=proof`.
pub(crate) fn is_client_final(message: &[u8]) -> bool {
    let mut parts = message.split(|octet| *octet == b',');
    let last = message.rsplit(|octet| *octet == b',').next();
    parts.all(is_attribute) && last.is_some_and(|part| part.starts_with(b"p="))
}

/// One letter and `=`.
fn is_attribute(part: &[u8]) -> bool {
    matches!(part, [letter, b'=', ..] if letter.is_ascii_alphabetic())
}

/// The user name that a saslname stands for: `=2C` is a comma and `=3D` an equals sign. None for
/// any other `=`.
pub(crate) fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        match part.get(..2)? {
            "2C" => out.push(','),
            "3D" => out.push('='),
            _ => return None,
        }
        out.push_str(&part[2..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_messages_from_junk() {
        for good in [
            "n,,n=user,r=x",
            "y,a=user,n=user,r=x",
            "p=tls-exporter,,n=u,r=x,e=1",
        ] {
            assert!(is_client_first(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ",",
            ",,",
            "n,,",
            "n,,n",
            "n,,n=u",
            "n,x,n=u,r=x",
            "n,,n=u,r=x,",
            "n,,,r=x",
        ] {
            assert!(!is_client_first(bad.as_bytes()), "{bad}");
        }
        assert!(is_client_final(b"c=biws,r=x,p=y"));
        for bad in [
            "",
            "c",
            "c=biws,r=x",
            "c=biws,r=x,p=y,",
            "c=biws,,p=y",
            "c=biws,r=x,p=y,x",
        ] {
            assert!(!is_client_final(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn unescapes_names() {
        assert_eq!(unescape("a=2Cb=3Dc").as_deref(), Some("a,b=c"));
        assert_eq!(unescape("alice").as_deref(), Some("alice"));
        for bad in ["a=", "a=2", "a=2c", "=é"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
