//! Lines on their way to the other side.

use bytes::{Bytes, BytesMut};

use crate::text::{format_data_line, format_status, needs_escape};
use crate::{DataLine, Reply, Status};

/// Bytes to send, until they are taken.
#[derive(Debug, Default)]
pub(super) struct Output(BytesMut);

impl Output {
    pub(super) fn line(&mut self, line: &str) {
        self.0.extend_from_slice(line.as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    pub(super) fn status(&mut self, status: &Status) {
        self.line(&format_status(status));
    }

    pub(super) fn reply(&mut self, reply: &Reply) {
        if let Reply::Data(lines, _) = reply {
            self.begin_data();
            lines.iter().for_each(|line| self.data_line(line));
        }
        self.status(reply.status());
    }

    pub(super) fn begin_data(&mut self) {
        self.line("220 DATA");
    }

    pub(super) fn data_line(&mut self, line: &DataLine) {
        self.line(&format_data_line(line));
    }

    /// One event, which is JSON: a line end in it can only be white space.
    pub(super) fn event_line(&mut self, event: &str) {
        if needs_escape(event) {
            self.0.extend_from_slice(b"=");
        }
        let mut rest = event.as_bytes();
        while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
            self.0.extend_from_slice(&rest[..at]);
            self.0.extend_from_slice(b" ");
            rest = &rest[at + 1..];
        }
        self.0.extend_from_slice(rest);
        self.0.extend_from_slice(b"\r\n");
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.0).freeze()
    }
}
