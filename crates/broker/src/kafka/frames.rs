//! A request as the pieces of memory it lies in, written without being joined.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Pieces of memory, one behind the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames {
    pieces: VecDeque<Bytes>,
    remaining: usize,
}

impl Frames {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.remaining += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(crate) fn push_front(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.remaining += piece.len();
            self.pieces.push_front(piece);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.remaining
    }
}

impl From<Bytes> for Frames {
    fn from(piece: Bytes) -> Self {
        let mut frames = Self::default();
        frames.push(piece);
        frames
    }
}

impl Buf for Frames {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.len().min(self.pieces.len());
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "advanced beyond the end");
        self.remaining -= count;
        while let Some(front) = self.pieces.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one() {
        let mut frames = Frames::from(Bytes::from_static(b"lo, "));
        frames.push(Bytes::new());
        frames.push(Bytes::from_static(b"world"));
        frames.push_front(Bytes::from_static(b"hel"));
        assert_eq!(frames.len(), 12);
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(frames.chunks_vectored(&mut slices), 3);
        frames.advance(5);
        assert_eq!(&frames.copy_to_bytes(7)[..], b", world");
        assert_eq!(frames.chunk(), b"");
    }
}
