//! Bytes into lines.

use bytes::BytesMut;

/// Lines of up to this many octets are taken: well above any event that a server lets in.
pub(crate) const MAX_LINE: usize = 32 * 1024 * 1024;

/// Splits what arrives into lines. A line ends with CRLF or a bare LF.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// What has arrived and was not taken. Bytes are read to its end.
    pub(crate) buffer: BytesMut,
    /// How much of it is known to have no line end.
    searched: usize,
}

/// Why what arrives is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("a line is longer than {MAX_LINE} octets")]
    TooLong,
    #[error("a line is no UTF-8")]
    Utf8,
}

impl Lines {
    /// The next line without its end; none when it has not arrived as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<String>, LineError> {
        let unsearched = &self.buffer[self.searched..];
        let Some(at) = unsearched.iter().position(|&octet| octet == b'\n') else {
            self.searched = self.buffer.len();
            return match self.searched > MAX_LINE {
                true => Err(LineError::TooLong),
                false => Ok(None),
            };
        };
        let line = self.buffer.split_to(self.searched + at + 1);
        self.searched = 0;
        let line = &line[..line.len() - 1];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(line) => Ok(Some(line.to_owned())),
            Err(_) => Err(LineError::Utf8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_pieces() {
        let mut lines = Lines::default();
        lines.buffer.extend_from_slice(b"220 fna");
        assert_eq!(lines.next(), Ok(None));
        lines.buffer.extend_from_slice(b"a FNAA\r");
        assert_eq!(lines.next(), Ok(None));
        lines.buffer.extend_from_slice(b"\n\nx\r\r\n");
        assert_eq!(lines.next(), Ok(Some("220 fnaa FNAA".to_owned())));
        assert_eq!(lines.next(), Ok(Some(String::new())));
        assert_eq!(lines.next(), Ok(Some("x\r".to_owned())));
        assert_eq!(lines.next(), Ok(None));
    }

    #[test]
    fn what_is_no_line() {
        let mut lines = Lines::default();
        lines.buffer.extend_from_slice(b"\xff\n");
        assert_eq!(lines.next(), Err(LineError::Utf8));
        lines.buffer.resize(MAX_LINE + 1, b'x');
        assert_eq!(lines.next(), Err(LineError::TooLong));
    }
}
