//! The compressions of record batches.

use std::io::{self, Read, Write};

use bytes::Bytes;

/// The most that one batch may unpack to: a small batch must not fill the memory.
const MAX_UNPACKED: u64 = 128 << 20;

/// What a batch's attributes say in their lowest three bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    /// The codec of a batch with these attributes.
    pub(crate) fn of(attributes: i16) -> io::Result<Self> {
        match attributes & 7 {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            other => Err(invalid(format!("unknown compression {other}"))),
        }
    }

    /// Unpacks a batch's records. What is not packed is not copied.
    pub(crate) fn unpack(self, packed: &Bytes) -> io::Result<Bytes> {
        match self {
            Self::None => Ok(packed.clone()),
            Self::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(&packed[..])),
            Self::Snappy => snappy(packed),
            Self::Lz4 => read_bounded(lz4::Decoder::new(&packed[..])?),
            Self::Zstd => read_bounded(zstd::stream::read::Decoder::new(&packed[..])?),
        }
    }
}

/// Packs records with LZ4, as a frame that every Kafka client reads.
pub(crate) fn pack_lz4(records: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = lz4::EncoderBuilder::new()
        .level(1)
        .block_mode(lz4::BlockMode::Independent)
        .checksum(lz4::ContentChecksum::NoChecksum)
        .build(Vec::with_capacity(records.len() / 2))?;
    encoder.write_all(records)?;
    let (packed, result) = encoder.finish();
    result.map(|()| packed)
}

fn read_bounded(reader: impl Read) -> io::Result<Bytes> {
    let mut unpacked = Vec::new();
    reader.take(MAX_UNPACKED + 1).read_to_end(&mut unpacked)?;
    check_size(unpacked.len())?;
    Ok(unpacked.into())
}

/// Snappy as Java's xerial library frames it, or one bare block as other clients write it.
fn snappy(packed: &[u8]) -> io::Result<Bytes> {
    const MAGIC: &[u8] = b"\x82SNAPPY\0";
    /// Two version numbers follow the magic bytes.
    const VERSIONS: usize = 8;

    let Some(framed) = packed.strip_prefix(MAGIC) else {
        let mut unpacked = Vec::new();
        unpack_block(packed, &mut unpacked)?;
        return Ok(unpacked.into());
    };
    let truncated = || invalid("a truncated snappy frame".to_owned());
    let mut rest = framed.get(VERSIONS..).ok_or_else(truncated)?;
    let mut unpacked = Vec::new();
    while let Some((size, blocks)) = rest.split_first_chunk() {
        let size = u32::from_be_bytes(*size) as usize;
        let (block, next) = blocks.split_at_checked(size).ok_or_else(truncated)?;
        unpack_block(block, &mut unpacked)?;
        rest = next;
    }
    Ok(unpacked.into())
}

fn unpack_block(block: &[u8], unpacked: &mut Vec<u8>) -> io::Result<()> {
    let begin = unpacked.len();
    let end = begin + snap::raw::decompress_len(block).map_err(io::Error::other)?;
    check_size(end)?;
    unpacked.resize(end, 0);
    snap::raw::Decoder::new()
        .decompress(block, &mut unpacked[begin..])
        .map_err(io::Error::other)?;
    Ok(())
}

fn check_size(size: usize) -> io::Result<()> {
    if size as u64 > MAX_UNPACKED {
        return Err(invalid(format!(
            "a batch that unpacks to more than {MAX_UNPACKED} bytes"
        )));
    }
    Ok(())
}

fn invalid(cause: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lz4_there_and_back() {
        let text = b"event ".repeat(20_000);
        let packed = Bytes::from(pack_lz4(&text).expect("packs"));
        assert!(packed.len() < text.len() / 10);
        assert_eq!(Compression::Lz4.unpack(&packed).expect("unpacks"), text);
    }

    #[test]
    fn gzip_and_zstd_are_unpacked() {
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gzip.write_all(b"one event").expect("packs");
        let gzip = Bytes::from(gzip.finish().expect("packs"));
        assert_eq!(
            Compression::Gzip.unpack(&gzip).expect("unpacks"),
            "one event"
        );
        let zstd = Bytes::from(zstd::encode_all(&b"one event"[..], 1).expect("packs"));
        assert_eq!(
            Compression::Zstd.unpack(&zstd).expect("unpacks"),
            "one event"
        );
    }

    #[test]
    fn snappy_with_and_without_frames() {
        let block = |text: &[u8]| snap::raw::Encoder::new().compress_vec(text).expect("packs");
        let bare = Bytes::from(block(b"one event"));
        assert_eq!(
            Compression::Snappy.unpack(&bare).expect("bare"),
            "one event"
        );
        let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
        for part in [&b"one "[..], b"event"] {
            let packed = block(part);
            framed.extend((packed.len() as u32).to_be_bytes());
            framed.extend(packed);
        }
        let framed = Bytes::from(framed);
        assert_eq!(
            Compression::Snappy.unpack(&framed).expect("framed"),
            "one event"
        );
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let huge = vec![0; usize::try_from(MAX_UNPACKED).expect("fits") + 1];
        let packed = Bytes::from(zstd::encode_all(&huge[..], 1).expect("packs"));
        let error = Compression::Zstd.unpack(&packed).expect_err("too large");
        assert!(
            error.to_string().contains("unpacks to more than"),
            "{error}"
        );
    }

    #[test]
    fn damage_is_an_error() {
        for codec in [
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            codec
                .unpack(&Bytes::from_static(b"\x82SNAPPY\0\0"))
                .expect_err("no such stream");
        }
        Compression::of(7).expect_err("no such codec");
    }
}
