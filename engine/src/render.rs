//! Rendering of a frame as the part of its JSON that is cached (see `symbolication/api/answer.py`).
#![forbid(unsafe_code)]

use std::io::Write;

use crate::block::Hit;
use crate::names::{NameId, Names, decode, push_escaped};

/// Version of the API.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V4,
    V5,
}

/// Name of a function or an inlined call without one.
const UNKNOWN: &[u8] = b"<unknown>";

/// A hit apart from its page: the function as the inside of a JSON string, and names by id.
pub struct Symbol {
    function: Vec<u8>,
    entry: i128,
    size: i128,
    /// File and line of the offset, then of each call, the deepest first.
    places: Vec<(NameId, u32)>,
    origins: Vec<NameId>,
}

impl Symbol {
    /// Return the symbol of a hit. The functions return the id of a number.
    pub fn new(
        hit: &Hit<'_>,
        names: &mut Names,
        file: impl Fn(&mut Names, i128) -> NameId,
        origin: impl Fn(&mut Names, i128) -> NameId,
    ) -> Self {
        let mut function = Vec::with_capacity(hit.function.len().max(UNKNOWN.len()));
        if hit.function.is_empty() {
            function.extend_from_slice(UNKNOWN);
        } else {
            push_escaped(&mut function, &decode(hit.function));
        }
        Symbol {
            function,
            entry: hit.entry,
            size: hit.size,
            places: hit.sites.iter().map(|site| (file(names, site.file), site.line)).collect(),
            origins: hit.origins.iter().map(|number| origin(names, *number)).collect(),
        }
    }
}

/// Append the fragment of a frame to `out`; None is a frame without symbols.
pub fn fragment(out: &mut Vec<u8>, version: Version, offset: u32, symbol: Option<&Symbol>, names: &Names) {
    let offset = i128::from(offset);
    match (version, symbol) {
        (Version::V4, None) => push_hex(out, b"\"", offset),
        (Version::V4, Some(symbol)) => {
            out.push(b'"');
            out.extend_from_slice(&symbol.function);
        }
        (Version::V5, None) => {
            push_hex(out, b"\"module_offset\":\"", offset);
            out.extend_from_slice(b"\"}");
        }
        (Version::V5, Some(symbol)) => push_symbol(out, offset, symbol, names),
    }
}

fn push_symbol(out: &mut Vec<u8>, offset: i128, symbol: &Symbol, names: &Names) {
    push_hex(out, b"\"module_offset\":\"", offset);
    out.extend_from_slice(b"\",\"function\":\"");
    out.extend_from_slice(&symbol.function);
    push_hex(out, b"\",\"function_offset\":\"", offset - symbol.entry);
    if symbol.size != 0 {
        push_hex(out, b"\",\"function_size\":\"", symbol.size);
    }
    out.push(b'"');
    // The outermost place is that of the frame; the others are those of the inlined calls, the deepest first.
    if let Some((place, inner)) = symbol.places.split_last() {
        push_place(out, *place, names);
        push_inlines(out, inner, &symbol.origins, names);
    }
    out.push(b'}');
}

fn push_inlines(out: &mut Vec<u8>, places: &[(NameId, u32)], origins: &[NameId], names: &Names) {
    if places.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"inlines\":[");
    for (i, (place, origin)) in places.iter().zip(origins).enumerate() {
        if i != 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"function\":\"");
        let name = names.get(*origin);
        out.extend_from_slice(if name.is_empty() { UNKNOWN } else { name });
        out.push(b'"');
        push_place(out, *place, names);
        out.push(b'}');
    }
    out.push(b']');
}

fn push_place(out: &mut Vec<u8>, (file, line): (NameId, u32), names: &Names) {
    let file = names.get(file);
    if file.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"file\":\"");
    out.extend_from_slice(file);
    out.push(b'"');
    if line != 0 {
        out.extend_from_slice(b",\"line\":");
        push_digits::<10>(out, line);
    }
}

/// Append `start` and Python's `hex(number)`.
fn push_hex(out: &mut Vec<u8>, start: &[u8], number: i128) {
    out.extend_from_slice(start);
    out.extend_from_slice(if number < 0 { b"-0x" } else { b"0x" });
    match u32::try_from(number.unsigned_abs()) {
        Ok(number) => push_digits::<16>(out, number),
        Err(_) => {
            // Writing to a vector cannot fail.
            let _ = write!(out, "{:x}", number.unsigned_abs());
        }
    }
}

fn push_digits<const BASE: u32>(out: &mut Vec<u8>, mut number: u32) {
    let mut digits = [0; 10];
    let mut begin = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b"0123456789abcdef"[(number % BASE) as usize];
        number /= BASE;
        begin -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(begin..).unwrap_or_default());
}
