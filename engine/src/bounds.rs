//! Bounds on the records of a symbol (see `pagefile/bounds.py`).
#![forbid(unsafe_code)]

use std::borrow::Cow;

use memchr::{memchr, memmem};

use crate::numbers::trim;
use crate::text::{count_fields, split_fields};

pub const MAX_BLOCK: usize = 4 << 20;
const MAX_WORDS: usize = 1 << 20;
const MAX_DEPTH: u64 = 256;
pub const MAX_NAME_BYTES: usize = 8 << 10;
pub const MAX_EQUAL: usize = 256;
const LEAST_DEEP: usize = MAX_DEPTH as usize * b"\nINLINE 0 0 0 0 0 1".len();
const UNKNOWN: &[u8] = b"<unknown>";

/// Number of records left out, by reason, in the order in which the reasons came up.
#[derive(Default, Clone)]
pub struct Dropped(pub Vec<(String, u64)>);

impl Dropped {
    pub fn add(&mut self, count: u64, reason: impl FnOnce() -> String) {
        if count > 0 {
            let reason = reason();
            match self.0.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, total)) => *total += count,
                None => self.0.push((reason, count)),
            }
        }
    }

    pub fn merge(&mut self, other: Dropped) {
        for (reason, count) in other.0 {
            self.add(count, || reason);
        }
    }
}

/// Return a FUNC block within the bounds; records that it loses are counted in `dropped`.
pub fn bounded_block<'a>(mut block: Cow<'a, [u8]>, dropped: &mut Dropped) -> Cow<'a, [u8]> {
    if block.len() > MAX_BLOCK || (block.len() > 2 * MAX_WORDS && count_fields(&block) > MAX_WORDS) {
        dropped.add(1, || format!("lines of a FUNC of more than {MAX_BLOCK} bytes or {MAX_WORDS} words"));
        let end = memchr(b'\n', &block).unwrap_or(block.len());
        block = Cow::Owned(block[..end].to_vec());
    }
    if block.len() > LEAST_DEEP && memmem::find(&block, b"\nINLINE 256 ").is_some() {
        let (kept, count) = without_inlines(&block, is_deep);
        dropped.add(count, || format!("INLINE of a depth of {MAX_DEPTH} or more"));
        block = Cow::Owned(kept);
    }
    let end = memchr(b'\n', &block).unwrap_or(block.len());
    if end > MAX_NAME_BYTES {
        let mut head = bounded_head(&block[..end], dropped).into_owned();
        head.extend_from_slice(&block[end..]);
        block = Cow::Owned(head);
    }
    block
}

/// Return a FUNC or PUBLIC line within the bounds.
pub fn bounded_head<'a>(line: &'a [u8], dropped: &mut Dropped) -> Cow<'a, [u8]> {
    if line.len() <= MAX_NAME_BYTES {
        return Cow::Borrowed(line);
    }
    let is_public = line.starts_with(b"PUBLIC");
    let numbers = if is_public { 1 } else { 2 };
    let mut fields = split_fields(line, numbers + 2);
    if fields.get(1) == Some(&&b"m"[..]) {
        fields = split_fields(line, numbers + 3);
        fields.remove(0);
    }
    let mut head = if is_public { b"PUBLIC".to_vec() } else { b"FUNC".to_vec() };
    for field in fields.iter().skip(1).take(numbers) {
        head.push(b' ');
        head.extend_from_slice(plain_hex(field).as_bytes());
    }
    head.extend_from_slice(b" 0 ");
    let name = fields.get(numbers + 2).map_or(&b""[..], |name| trim(name));
    let name = String::from_utf8_lossy(name);
    let name = if name.is_empty() { UNKNOWN } else { name.as_bytes() };
    head.extend_from_slice(&bounded_name(name, dropped));
    Cow::Owned(head)
}

/// Return a hexadecimal number as `%x` prints it.
fn plain_hex(digits: &[u8]) -> String {
    let text = String::from_utf8_lossy(digits).to_ascii_lowercase();
    let plain = text.trim_start_matches('0');
    if plain.is_empty() { "0".to_owned() } else { plain.to_owned() }
}

/// Return a name cut at MAX_NAME_BYTES, between two characters.
pub fn bounded_name<'a>(name: &'a [u8], dropped: &mut Dropped) -> Cow<'a, [u8]> {
    if name.len() <= MAX_NAME_BYTES {
        return Cow::Borrowed(name);
    }
    dropped.add(1, || format!("end of a name of more than {MAX_NAME_BYTES} bytes"));
    let mut end = MAX_NAME_BYTES;
    while end > 0 && name[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    Cow::Borrowed(&name[..end])
}

/// Return a FUNC block without its INLINE records.
pub fn without_calls<'a>(block: Cow<'a, [u8]>, dropped: &mut Dropped) -> Cow<'a, [u8]> {
    let (kept, count) = without_inlines(&block, |_| true);
    if count == 0 {
        return block;
    }
    dropped.add(count, || "INLINE without a call file, as early writers have it".to_owned());
    Cow::Owned(kept)
}

fn is_deep(rest: &[u8]) -> bool {
    let depth = &rest[..memchr(b' ', rest).unwrap_or(rest.len())];
    let is_number = !depth.is_empty() && depth.iter().all(u8::is_ascii_digit);
    let number = depth.iter().take(18).fold(0u64, |number, byte| number * 10 + u64::from(byte.wrapping_sub(b'0')));
    is_number && number >= MAX_DEPTH
}

/// Return a block without the INLINE records that `is_left_out` is true for, and their number.
fn without_inlines(block: &[u8], is_left_out: impl Fn(&[u8]) -> bool) -> (Vec<u8>, u64) {
    let mut kept = Vec::with_capacity(block.len());
    let mut count = 0;
    let mut begin = 0;
    while begin < block.len() {
        let end = memchr(b'\n', &block[begin + 1..]).map_or(block.len(), |at| begin + 1 + at);
        let line = &block[begin..end];
        match line.strip_prefix(b"\nINLINE ") {
            Some(rest) if is_left_out(rest) => count += 1,
            _ => kept.extend_from_slice(line),
        }
        begin = end;
    }
    (kept, count)
}
