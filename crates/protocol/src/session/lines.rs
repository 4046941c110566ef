//! Cutting received bytes into lines, in bounded memory.

use bytes::{Buf as _, Bytes, BytesMut};

/// Why a line was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It has more octets than allowed, its end included.
    #[error("the line is longer than {0} octets")]
    TooLong(usize),
    /// It has a NUL.
    #[error("the line has a NUL octet")]
    Nul,
    /// It is not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
}

/// Received bytes, until they are taken out as lines.
///
/// Of a line longer than allowed no more is kept than is allowed; the rest is dropped as it
/// comes. An empty buffer holds no memory.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: BytesMut,
    /// How far the buffer has been searched for a line end.
    searched: usize,
    /// Whether we are within a line that is too long.
    skipping: bool,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next line without its end, if it is there whole. It is UTF-8 without NUL and, its end
    /// included, at most `limit` octets long.
    pub(super) fn next(&mut self, limit: usize) -> Option<Result<Bytes, LineError>> {
        let Some(end) = self.line_end() else {
            self.skip_what_is_too_long(limit);
            return None;
        };
        let too_long = std::mem::take(&mut self.skipping) || end >= limit;
        let line = self.take(end);
        Some(if too_long {
            Err(LineError::TooLong(limit))
        } else {
            check(line)
        })
    }

    /// Takes the next line if it is empty.
    pub(super) fn take_empty(&mut self) -> bool {
        let end = match self.buffer.as_ref() {
            _ if self.skipping => return false,
            [b'\n', ..] => 0,
            [b'\r', b'\n', ..] => 1,
            _ => return false,
        };
        self.take(end);
        true
    }

    fn line_end(&mut self) -> Option<usize> {
        match memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            Some(at) => Some(self.searched + at),
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    fn skip_what_is_too_long(&mut self, limit: usize) {
        if self.skipping || self.buffer.len() >= limit {
            self.clear();
            self.skipping = true;
        }
    }

    /// Takes the line that ends with the LF at `end`, and gives it without LF or CRLF.
    fn take(&mut self, end: usize) -> Bytes {
        let mut line = self.buffer.split_to(end).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        line
    }
}

fn check(line: Bytes) -> Result<Bytes, LineError> {
    if memchr::memchr(0, &line).is_some() {
        Err(LineError::Nul)
    } else if std::str::from_utf8(&line).is_err() {
        Err(LineError::NotUtf8)
    } else {
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]], limit: usize) -> Vec<Result<Vec<u8>, LineError>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            while let Some(line) = lines.next(limit) {
                found.push(line.map(|line| line.to_vec()));
            }
        }
        found
    }

    #[test]
    fn crlf_and_bare_lf_end_a_line() {
        let expected = [Ok(b"a".to_vec()), Ok(b"".to_vec()), Ok(b"b\rc".to_vec())];
        assert_eq!(lines(&[b"a\r\n\nb\rc\nrest"], 100), expected);
        assert_eq!(
            lines(&[b"a\r", b"\n", b"\nb", b"\rc", b"\nre"], 100),
            expected
        );
    }

    #[test]
    fn a_long_line_is_dropped_as_it_comes() {
        let mut lines = Lines::default();
        for _ in 0..10_000 {
            lines.push(&[b'x'; 1000]);
            assert!(lines.next(8192).is_none());
            assert!(lines.len() < 8192);
        }
        lines.push(b"\nnext\n");
        assert_eq!(lines.next(8192), Some(Err(LineError::TooLong(8192))));
        assert_eq!(lines.next(8192), Some(Ok(Bytes::from_static(b"next"))));
        assert_eq!(lines.buffer.capacity(), 0);
    }

    #[test]
    fn the_limit_counts_the_line_end_however_the_bytes_come() {
        for chunks in [
            &[&b"abc\r\nabcd\r\n"[..]][..],
            &[b"ab", b"c\r", b"\nabcd", b"\r\n"],
        ] {
            let expected = [Ok(b"abc".to_vec()), Err(LineError::TooLong(5))];
            assert_eq!(lines(chunks, 5), expected);
        }
    }

    #[test]
    fn nul_and_broken_utf8_are_named() {
        let expected = [
            Err(LineError::Nul),
            Err(LineError::NotUtf8),
            Ok(b"ok".to_vec()),
        ];
        assert_eq!(lines(&[b"a\0\n\xff\xfe\r\nok\n"], 100), expected);
    }

    #[test]
    fn only_an_empty_line_is_taken() {
        let mut lines = Lines::default();
        for (bytes, taken) in [
            (&b"\r"[..], false),
            (b"\n", true),
            (b"\nNOOP\n", true),
            (b"", false),
        ] {
            lines.push(bytes);
            assert_eq!(lines.take_empty(), taken);
        }
        assert_eq!(lines.next(100), Some(Ok(Bytes::from_static(b"NOOP"))));
    }
}
