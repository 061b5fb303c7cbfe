//! Rendering of a frame as the part of its JSON that is cached (see `symbolication/api/answer.py`).
#![forbid(unsafe_code)]

use std::io::Write;

use crate::block::Hit;
use crate::names::{NO_NAME, NameId, NameSection, Names, decode, push_escaped};

/// Version of the API.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V4,
    V5,
}

impl Version {
    /// Return the version of a name, the current one for an unknown name.
    pub fn named(name: &str) -> Self {
        if name == "v4" { Version::V4 } else { Version::V5 }
    }
}

/// Name of a function or an inlined call without one.
const UNKNOWN: &[u8] = b"<unknown>";

/// A hit apart from its page. Its parts are in `Symbols`.
struct Symbol {
    offset: u32,
    is_found: bool,
    entry: i128,
    size: i128,
    /// Start and end of the function's name, the inside of a JSON string.
    function: (usize, usize),
    /// Start and end of the places: that of the offset, then that of each call, the deepest first.
    places: (usize, usize),
}

/// File, line, and name of the call that is at this place.
type Place = (NameId, u32, NameId);

/// Hits of a search, with names by id. One memory for all: a small one for each would take as long as a lookup.
#[derive(Default)]
pub struct Symbols {
    symbols: Vec<Symbol>,
    texts: Vec<u8>,
    places: Vec<Place>,
}

impl Symbols {
    /// Add an offset without a symbol.
    pub fn push_none(&mut self, offset: u32) {
        self.symbols.push(Symbol { offset, is_found: false, entry: 0, size: 0, function: (0, 0), places: (0, 0) });
    }

    /// Add a hit. `name` returns the id of a number.
    pub fn push(&mut self, offset: u32, hit: &Hit<'_>, mut name: impl FnMut(NameSection, i128) -> NameId) {
        let (text, place) = (self.texts.len(), self.places.len());
        if hit.function.is_empty() {
            self.texts.extend_from_slice(UNKNOWN);
        } else {
            push_escaped(&mut self.texts, &decode(hit.function));
        }
        let mut origins = hit.origins.iter();
        for site in &hit.sites {
            let file = name(NameSection::Files, site.file);
            let origin = origins.next().map_or(NO_NAME, |number| name(NameSection::Origins, *number));
            self.places.push((file, site.line, origin));
        }
        self.symbols.push(Symbol {
            offset,
            is_found: true,
            entry: hit.entry,
            size: hit.size,
            function: (text, self.texts.len()),
            places: (place, self.places.len()),
        });
    }

    /// Return the number of hits.
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Append the fragment of the i-th hit to `out`, and return its offset.
    pub fn render(&self, i: usize, version: Version, names: &Names, out: &mut Vec<u8>) -> u32 {
        let Some(symbol) = self.symbols.get(i) else { return 0 };
        let function = self.texts.get(symbol.function.0..symbol.function.1).unwrap_or_default();
        let places = self.places.get(symbol.places.0..symbol.places.1).unwrap_or_default();
        match (version, symbol.is_found) {
            (Version::V4, false) => push_hex(out, b"\"", i128::from(symbol.offset)),
            (Version::V4, true) => {
                out.push(b'"');
                out.extend_from_slice(function);
            }
            (Version::V5, false) => {
                push_hex(out, b"\"module_offset\":\"", i128::from(symbol.offset));
                out.extend_from_slice(b"\"}");
            }
            (Version::V5, true) => push_symbol(out, symbol, function, places, names),
        }
        symbol.offset
    }
}

fn push_symbol(out: &mut Vec<u8>, symbol: &Symbol, function: &[u8], places: &[Place], names: &Names) {
    let offset = i128::from(symbol.offset);
    push_hex(out, b"\"module_offset\":\"", offset);
    out.extend_from_slice(b"\",\"function\":\"");
    out.extend_from_slice(function);
    push_hex(out, b"\",\"function_offset\":\"", offset - symbol.entry);
    if symbol.size != 0 {
        push_hex(out, b"\",\"function_size\":\"", symbol.size);
    }
    out.push(b'"');
    // The outermost place is that of the frame; the others are those of the inlined calls, the deepest first.
    if let Some((place, inner)) = places.split_last() {
        push_place(out, *place, names);
        push_inlines(out, inner, names);
    }
    out.push(b'}');
}

fn push_inlines(out: &mut Vec<u8>, places: &[Place], names: &Names) {
    if places.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"inlines\":[");
    for (i, place) in places.iter().enumerate() {
        if i != 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"function\":\"");
        let name = names.get(place.2);
        out.extend_from_slice(if name.is_empty() { UNKNOWN } else { name });
        out.push(b'"');
        push_place(out, *place, names);
        out.push(b'}');
    }
    out.push(b']');
}

fn push_place(out: &mut Vec<u8>, (file, line, _): Place, names: &Names) {
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

/// Append a number's digits.
pub fn push_digits<const BASE: u32>(out: &mut Vec<u8>, mut number: u32) {
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
