//! Runs of line records (see `pagefile/line_runs.py`).
#![forbid(unsafe_code)]

use memchr::{memchr, memchr_iter, memmem};

use crate::numbers::fields;

pub const RUN: usize = 16;

/// Return a block with joined line records. A block with unusual lines stays as it is.
pub fn join(block: &[u8]) -> Option<Vec<u8>> {
    let inlines = memmem::rfind(block, b"\nINLINE ").map_or(0, |at| at + 1);
    let begin = memchr(b'\n', &block[inlines..])? + inlines + 1;
    let lines = &block[begin..];
    let count = memchr_iter(b'\n', lines).count() + 1;
    if lines.is_empty() || memchr_iter(b' ', lines).count() != 3 * count {
        return None;
    }
    let mut joined = block[..begin].to_vec();
    let mut found = fields(lines);
    let mut end = None;
    for i in 0..count {
        let [address, size, line, file] = [found.next()?, found.next()?, found.next()?, found.next()?];
        let (start, length) = (number(address)?, number(size)?);
        let is_run = i % RUN != 0 && end == Some(start);
        end = Some(start.checked_add(length)?);
        if !is_run {
            if i > 0 {
                joined.push(b'\n');
            }
            joined.extend_from_slice(address);
        }
        for field in [size, line, file] {
            joined.push(b' ');
            joined.extend_from_slice(field);
        }
    }
    found.next().is_none().then_some(joined)
}

/// Return a hexadecimal number of up to 8 digits.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| Some(number << 4 | char::from(*byte).to_digit(16)?))
}
