//! Values with the id of a schema in a Schema Registry in front.

use bytes::{BufMut, Bytes, BytesMut};

/// How many octets stand in front of the content.
const HEAD: usize = 5;

/// A value that is framed with a Schema Registry's id: a zero octet, the id in four octets, most
/// significant first, and the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The schema's id in its registry.
    pub id: u32,
    /// What stands behind it: the content; in Protobuf, the indexes of the message type first.
    pub content: Bytes,
}

impl Frame {
    /// Recognises a framed value; none where it is no frame.
    #[must_use]
    pub fn parse(value: &Bytes) -> Option<Self> {
        let [0, id @ ..] = value.first_chunk::<HEAD>()? else {
            return None;
        };
        Some(Self {
            id: u32::from_be_bytes(*id),
            content: value.slice(HEAD..),
        })
    }

    /// The same content behind another id. It is copied: what was read may be shared with others.
    #[must_use]
    pub fn with_id(&self, id: u32) -> Bytes {
        let mut value = BytesMut::with_capacity(HEAD + self.content.len());
        value.put_u8(0);
        value.put_u32(id);
        value.extend_from_slice(&self.content);
        value.freeze()
    }

    /// The message behind the indexes that Protobuf has: their number and each of them as
    /// zig-zag varints, where a single zero stands for the first message. None where they are cut
    /// off.
    #[must_use]
    pub fn protobuf_message(&self) -> Option<Bytes> {
        let mut rest = &self.content[..];
        let count = varint(&mut rest)? >> 1;
        for _ in 0..count {
            varint(&mut rest)?;
        }
        Some(self.content.slice_ref(rest))
    }
}

/// Takes a varint; none where it does not end within ten octets.
fn varint(octets: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_recognised() {
        let value = Bytes::from_static(b"\0\0\0\x01\x02abc");
        let frame = Frame::parse(&value).expect("a frame");
        assert_eq!((frame.id, &frame.content[..]), (258, &b"abc"[..]));
        for other in [&b""[..], b"\0\0\0\0", b"\x01\0\0\0\x01abc", b"{}"] {
            assert_eq!(Frame::parse(&Bytes::from_static(other)), None);
        }
        assert!(Frame::parse(&Bytes::from_static(b"\0\0\0\0\x07")).is_some());
    }

    #[test]
    fn another_id_changes_nothing_else() {
        let value = Bytes::from_static(b"\0\0\0\x01\x02\x04\x02\0abc");
        let frame = Frame::parse(&value).expect("a frame");
        assert_eq!(frame.with_id(258), value);
        let other = frame.with_id(u32::MAX);
        assert_eq!(&other[..], b"\0\xff\xff\xff\xff\x04\x02\0abc");
        assert_eq!(
            Frame::parse(&other).map(|it| it.content),
            Some(frame.content)
        );
    }

    #[test]
    fn message_indexes_are_passed_over() {
        let message = |content: &'static [u8]| {
            let content = Bytes::from_static(content);
            Frame { id: 1, content }.protobuf_message()
        };
        assert_eq!(message(b"\0abc").as_deref(), Some(&b"abc"[..]));
        assert_eq!(message(b"\x04\x02\0abc").as_deref(), Some(&b"abc"[..]));
        assert_eq!(message(b""), None);
        assert_eq!(message(b"\x04\x02"), None);
        assert_eq!(message(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), None);
    }
}
