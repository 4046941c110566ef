//! Checksums of joined bytes from the checksums of their parts, without the bytes.
//!
//! A CRC is a remainder of a division of polynomials over GF(2), so what stands `n` bits before
//! the end of a message counts for its own remainder times x to the power of `n`. That power is
//! a product of squares which are known beforehand, so that this takes a fraction of a
//! microsecond for a part of any length.

/// The polynomial of CRC-32C (RFC 3720, appendix B.4), lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// x to the power of 0, in the same order.
const ONE: u32 = 1 << 31;

/// x to the power of 2^0, 2^1, 2^2 …
const SQUARES: [u32; 64] = squares();

/// The CRC-32C of two parts, the second of which has `length` bytes.
pub(crate) fn join(first: u32, second: u32, length: usize) -> u32 {
    multiply(power_of_bytes(length as u64), first) ^ second
}

const fn squares() -> [u32; 64] {
    let mut squares = [ONE >> 1; 64];
    let mut index = 1;
    while index < squares.len() {
        squares[index] = multiply(squares[index - 1], squares[index - 1]);
        index += 1;
    }
    squares
}

/// x to the power of eight times `bytes`.
fn power_of_bytes(bytes: u64) -> u32 {
    let bits = SQUARES.iter().skip(3).enumerate();
    let wanted = bits.filter(|(index, _)| (bytes >> index) & 1 == 1);
    wanted.fold(ONE, |power, (_, square)| multiply(power, *square))
}

/// The product, without what the polynomial divides.
const fn multiply(factor: u32, mut other: u32) -> u32 {
    let mut product = 0;
    let mut bit = ONE;
    while bit != 0 {
        if factor & bit != 0 {
            product ^= other;
        }
        let carry = other & 1;
        other >>= 1;
        if carry != 0 {
            other ^= POLYNOMIAL;
        }
        bit >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use crc32c::crc32c;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_if_both_parts_had_been_read(
            bytes in proptest::collection::vec(any::<u8>(), 0..5_000),
            at in any::<proptest::sample::Index>(),
        ) {
            let (first, second) = bytes.split_at(at.index(bytes.len() + 1));
            let joined = join(crc32c(first), crc32c(second), second.len());
            prop_assert_eq!(joined, crc32c(&bytes));
        }

        #[test]
        fn as_the_crate_has_it_for_any_length(
            first in any::<u32>(),
            second in any::<u32>(),
            length in 1_usize..1 << 40,
        ) {
            let theirs = crc32c::crc32c_combine(first, second, length);
            prop_assert_eq!(join(first, second, length), theirs);
        }
    }
}
