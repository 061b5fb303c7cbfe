//! Names of files and inlined functions, by number (see `lookup.name`).
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use crate::page::Page;

/// Section of a page file with names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum NameSection {
    Files = 1,
    Origins = 2,
}

/// Place of a name in `Names`.
pub type NameId = u32;

/// Name of a number without a page.
pub const NO_NAME: NameId = 0;

/// Names that the hits of a search need: each number once, and its name once it was read.
#[derive(Default)]
pub struct Names {
    ids: HashMap<(usize, i128), NameId>,
    count: NameId,
    /// Page and number of each name, from id 1 on.
    wanted: Vec<(usize, i128, NameId)>,
    /// Names that the process keeps.
    kept: Vec<(NameId, Arc<[u8]>)>,
    escaped: Vec<u8>,
    /// Start and end of each name in `escaped`.
    places: Vec<(usize, usize)>,
}

impl Names {
    /// Return the id of a number, whose name is in a page. `kept` returns the names that the process keeps.
    pub fn want(
        &mut self,
        page: Option<usize>,
        number: i128,
        kept: &mut impl FnMut(usize, i128) -> Option<Arc<[u8]>>,
    ) -> NameId {
        let Some(page) = page else { return NO_NAME };
        let next = self.count + 1;
        let id = *self.ids.entry((page, number)).or_insert(next);
        if id != next {
            return id;
        }
        self.count = next;
        match kept(page, number) {
            Some(name) => self.kept.push((id, name)),
            None => self.wanted.push((page, number, id)),
        }
        id
    }

    /// Return the numbers of the pages with the names, in order.
    pub fn pages(&mut self) -> Vec<usize> {
        self.ids.clear();
        self.wanted.sort_unstable();
        let mut pages: Vec<usize> = self.wanted.iter().map(|(page, _, _)| *page).collect();
        pages.dedup();
        self.places = vec![(0, 0); self.count as usize + 1];
        for (id, name) in std::mem::take(&mut self.kept) {
            let start = self.escaped.len();
            self.escaped.extend_from_slice(&name);
            self.set_place(id, start);
        }
        pages
    }

    /// Read the names in a page and call `keep` with each. Return the bytes of all names so far.
    pub fn read(&mut self, number: usize, page: Page<'_>, mut keep: impl FnMut(i128, &[u8])) -> usize {
        let begin = self.wanted.partition_point(|(other, _, _)| *other < number);
        let wanted = self.wanted.get(begin..).unwrap_or_default();
        let count = wanted.iter().take_while(|(other, _, _)| *other == number).count();
        for i in begin..begin + count {
            let Some((_, key, id)) = self.wanted.get(i).copied() else { break };
            let start = self.escaped.len();
            push_escaped(&mut self.escaped, strip(&decode(text_of(page, key))));
            keep(key, self.escaped.get(start..).unwrap_or_default());
            self.set_place(id, start);
        }
        self.size()
    }

    /// Return the bytes of all names so far.
    pub fn size(&self) -> usize {
        self.escaped.len()
    }

    fn set_place(&mut self, id: NameId, start: usize) {
        if let Some(place) = self.places.get_mut(id as usize) {
            *place = (start, self.escaped.len());
        }
    }

    /// Return a name as the inside of a JSON string, empty for an unknown one.
    pub fn get(&self, id: NameId) -> &[u8] {
        let (start, end) = self.places.get(id as usize).copied().unwrap_or_default();
        self.escaped.get(start..end).unwrap_or_default()
    }
}

/// Return the text of a number in a page of FILE or INLINE_ORIGIN records, empty for an unknown number.
///
/// Of several records with the same number, the last one counts.
fn text_of<'a>(page: Page<'a>, number: i128) -> &'a [u8] {
    let keys = page.keys;
    match keys.bisect_right(number, 0, keys.len()).checked_sub(1) {
        Some(at) if i128::from(keys.get(at)) == number => page.text(at),
        _ => &[],
    }
}

/// Return a name without white space at both ends, as Python's `str.strip()` does it.
fn strip(name: &str) -> &str {
    name.trim_matches(|char: char| char.is_whitespace() || ('\x1c'..='\x1f').contains(&char))
}

/// Return bytes as text, as Python's `bytes.decode(errors="replace")` does it.
pub fn decode(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(text),
    }
}

/// Append a text as the inside of a JSON string, escaped as orjson does it.
pub fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_length(rest);
        let (before, after) = rest.split_at(plain);
        out.extend_from_slice(before);
        let Some((byte, others)) = after.split_first() else { return };
        push_escape(out, *byte);
        rest = others;
    }
}

/// Return how many bytes at the start of a text need no escape.
fn plain_length(text: &[u8]) -> usize {
    let (words, _) = text.as_chunks::<8>();
    let plain = 8 * words.iter().take_while(|word| is_plain_word(u64::from_le_bytes(**word))).count();
    let rest = text.get(plain..).unwrap_or_default();
    plain + rest.iter().take_while(|byte| **byte >= 0x20 && **byte != b'"' && **byte != b'\\').count()
}

/// Return whether no byte of a word needs an escape; it may be false for some words without such a byte.
fn is_plain_word(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & HIGH == 0
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        b'\t' => out.extend_from_slice(b"\\t"),
        b'\n' => out.extend_from_slice(b"\\n"),
        0x0c => out.extend_from_slice(b"\\f"),
        b'\r' => out.extend_from_slice(b"\\r"),
        _ => {
            // Writing to a vector cannot fail.
            let _ = write!(out, "\\u{byte:04x}");
        }
    }
}
