//! Runs of line records (see `pagefile/line_runs.py`).
#![forbid(unsafe_code)]

use memchr::{memchr, memchr_iter, memmem};

use crate::numbers::fields;
use crate::packed::put_hex;

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

/// Append a block to `out`, with each line record on a line of its own, and without carriage returns at line ends.
pub fn split(block: &[u8], out: &mut Vec<u8>) {
    for (i, line) in block.split(|byte| *byte == b'\n').enumerate() {
        if i > 0 {
            out.push(b'\n');
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = out.len();
        if i == 0 || split_run(line, out).is_none() {
            out.truncate(end);
            out.extend_from_slice(line);
        }
    }
}

/// Append the line records of a run; None for any other line.
fn split_run(line: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut fields = line.split(|byte| *byte == b' ').peekable();
    let mut address = u64::from(number(fields.next()?)?);
    fields.peek()?;
    let mut is_first = true;
    while let Some(size) = fields.next() {
        if !is_first {
            out.push(b'\n');
        }
        is_first = false;
        put_hex(out, address);
        address += u64::from(number(size)?);
        for field in [size, fields.next()?, fields.next()?] {
            out.push(b' ');
            out.extend_from_slice(field);
        }
    }
    Some(())
}

/// Return a hexadecimal number of up to 8 digits.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| Some(number << 4 | char::from(*byte).to_digit(16)?))
}
