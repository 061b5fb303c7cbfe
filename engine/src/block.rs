//! Lookup of an offset in one FUNC block (see `pagefile/func_record.py`, which explains the format).
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use memchr::{memchr, memmem, memrchr};

use crate::errors::MalformedPage;
use crate::numbers::{DIGITS, decimal, fields, hexadecimal, long_hexadecimal, trim};
use crate::packed::{self, Calls};
use crate::ranges::{NOWHERE, ParsedBlock, Range, Site, site_of, split_depth};

pub const ADDRESS_SPACE: i128 = 1 << 32;

/// Lookups in one block that read its text.
pub const TEXT_LOOKUPS: u32 = 4;

/// Longest run of line records that is searched as text.
const MAX_RUN_TEXT: usize = 1024;

/// The longest block whose line records are searched as text.
const MAX_SEARCHED_TEXT: usize = 128 << 10;

const INLINE: &[u8] = b"\nINLINE ";

/// Function at an offset and the calls inlined there, with names by number (see `func_record.Hit`).
#[derive(Clone, Debug)]
pub struct Hit<'a> {
    /// Name as it is in the page; empty for an unknown one.
    pub function: &'a [u8],
    pub entry: i128,
    pub size: i128,
    /// Place of the offset, then the place of each call, the deepest first.
    pub sites: Vec<Site>,
    pub origins: Vec<i128>,
}

impl<'a> Hit<'a> {
    /// Return a function without names of files and inlined calls.
    fn of_function(function: &'a [u8], entry: i128, size: i128) -> Self {
        Hit { function, entry, size, sites: vec![NOWHERE], origins: Vec::new() }
    }

    /// Return the hit of a place and of the calls around it, outermost first.
    fn new(function: &'a [u8], entry: i128, size: i128, site: Site, calls: &[Range]) -> Self {
        let mut sites = Vec::with_capacity(1 + calls.len());
        sites.push(site);
        sites.extend(calls.iter().rev().map(|call| call.site));
        let origins = calls.iter().rev().map(|call| call.origin).collect();
        Hit { function, entry, size, sites, origins }
    }

    /// Return the hit of an offset in a packed block whose line records are in order.
    ///
    /// `Err` where that does not decide: for a malformed block, or an offset without a line record.
    pub fn of_packed(record: &'a [u8], address: u32, offset: u32, has_places: bool) -> Result<Option<Self>, Undecided> {
        let mut calls = CoveringCalls { offset: offset.into(), first: address.into(), ..Default::default() };
        let found = packed::search(record, address.into(), offset.into(), &mut calls).ok_or(Undecided)?;
        let start = i128::from(address);
        let end = (start + i128::from(found.size)).min(ADDRESS_SPACE);
        if i128::from(offset) >= end {
            return Ok(None);
        }
        let line = found.line.ok_or(Undecided)?;
        let function = trim(found.name);
        if !has_places {
            return Ok(Some(Hit::of_function(function, start, end - start)));
        }
        let site = Site { file: line.file.into(), line: line.line as u32 };
        Ok(Some(Hit::new(function, start, end - start, site, &calls.by_depth.chain())))
    }

    pub fn public(record: &'a [u8]) -> Result<Self, MalformedPage> {
        let head = head(record, 1)?;
        Ok(Hit::of_function(head.name, head.address, 0))
    }
}

/// Mark of a packed block that has to be searched as text.
pub struct Undecided;

/// The last call of each depth that covers an offset.
#[derive(Default)]
struct CoveringCalls {
    offset: u64,
    first: u64,
    by_depth: ByDepth,
    /// The call whose ranges come next; None after one of them has covered the offset.
    call: Option<Range>,
}

impl Calls for CoveringCalls {
    fn call(&mut self, depth: u64, line: u64, file: u64, origin: u64) {
        let site = Site { file: file.into(), line: line as u32 };
        self.call = Some(Range { start: 0, end: 0, site, origin: origin.into(), depth: depth as i64 });
    }

    fn range(&mut self, start: u64, size: u64) {
        if self.first <= start
            && start <= self.offset
            && self.offset - start < size
            && let Some(call) = self.call.take()
        {
            self.by_depth.insert(call.depth, Range { start: start.into(), end: (start + size).into(), ..call });
        }
    }
}

/// First fields of a FUNC or PUBLIC record; `size` is 0 for a PUBLIC record.
struct Head<'a> {
    address: i128,
    size: i128,
    name: &'a [u8],
}

fn head(record: &[u8], numbers: usize) -> Result<Head<'_>, MalformedPage> {
    let malformed = || MalformedPage::record(record);
    let mut words = fields(record);
    words.next();
    let after_kind = words.clone();
    if words.next() != Some(b"m") {
        words = after_kind;
    }
    let mut number = || words.next().and_then(long_hexadecimal).ok_or_else(malformed);
    let address = number()?;
    let size = if numbers > 1 { number()? } else { 0 };
    if !(0..ADDRESS_SPACE).contains(&address) {
        return Err(malformed());
    }
    words.next();
    Ok(Head { address, size, name: trim(words.rest) })
}

/// FUNC record with its lines and inlined calls.
pub struct Block<'a> {
    text: &'a [u8],
    function: &'a [u8],
    pub start: i128,
    pub end: i128,
    lookups: u32,
    parsed: Option<Box<ParsedBlock>>,
}

impl<'a> Block<'a> {
    pub fn new(text: &'a [u8]) -> Result<Self, MalformedPage> {
        let line = text.get(..memchr(b'\n', text).unwrap_or(text.len())).unwrap_or(text);
        let head = head(line, 2)?;
        let end = (head.address + head.size).min(ADDRESS_SPACE);
        Ok(Block { text, function: head.name, start: head.address, end, lookups: 0, parsed: None })
    }

    /// Return whether the block has line records.
    pub fn has_lines(&mut self) -> bool {
        !self.parsed().lines.is_empty()
    }

    /// Return the function alone.
    pub fn without_places(&self) -> Hit<'a> {
        Hit::of_function(self.function, self.start, self.end - self.start)
    }

    /// Return the hit of an offset in the block; None in a gap after an inlined call.
    pub fn locate(&mut self, offset: i128) -> Option<Hit<'a>> {
        self.lookups = self.lookups.saturating_add(1);
        let is_first = self.lookups <= TEXT_LOOKUPS;
        let mut calls = if is_first { self.calls_at(offset) } else { self.parsed().calls_at(offset) };
        let site = match self.site_at(offset) {
            Some(site) => site,
            None => match calls.pop() {
                Some(call) => call.site,
                None => self.parsed().site_in_gap(offset)?,
            },
        };
        Some(Hit::new(self.function, self.start, self.end - self.start, site, &calls))
    }

    /// Return the last boundary up to `offset`. A PUBLIC record before it is hidden.
    pub fn boundary(&mut self, offset: i128) -> i128 {
        self.parsed().boundary(offset)
    }

    fn parsed(&mut self) -> &mut ParsedBlock {
        let (text, start, end) = (self.text, self.start, self.end);
        self.parsed.get_or_insert_with(|| Box::new(ParsedBlock::new(text, start, end)))
    }

    /// Return the inlined calls that cover `offset`, outermost first, from the text.
    fn calls_at(&self, offset: i128) -> Vec<Range> {
        // The last record of each depth that covers the offset.
        let mut by_depth = ByDepth::default();
        let plain = u64::try_from(offset).ok().zip(u64::try_from(self.start).ok());
        let mut rest = self.text;
        while let Some(at) = next_inline(rest) {
            rest = rest.get(at..).unwrap_or_default();
            let (end, may_cover) = match plain {
                Some((offset, start)) => scan_plain(rest, offset, start),
                None => (0, true),
            };
            let end = end + memchr(b'\n', rest.get(end..).unwrap_or_default()).unwrap_or(rest.len() - end);
            let (record, after) = rest.split_at(end);
            if may_cover && let Some((depth, call)) = self.covering(record, offset) {
                by_depth.insert(depth, call);
            }
            rest = after;
        }
        by_depth.chain()
    }

    /// Return the depth of an INLINE record, and its first range that covers `offset`.
    fn covering(&self, record: &[u8], offset: i128) -> Option<(i64, Range)> {
        let (depth, rest) = split_depth(record)?;
        let mut words = fields(rest);
        let (line, file, origin) = (words.next()?, words.next()?, words.next()?);
        while let (Some(address), Some(size)) = (words.next(), words.next()) {
            let Some(start) = hexadecimal(address) else { continue };
            if start > offset || start < self.start {
                continue;
            }
            let Some(size) = hexadecimal(size) else { continue };
            let end = start + size;
            if offset < end {
                let range = Range { start, end, site: site_of(file, line)?, origin: decimal(origin)?, depth };
                return Some((depth, range));
            }
        }
        None
    }

    fn site_at(&mut self, offset: i128) -> Option<Site> {
        if self.text.len() <= MAX_SEARCHED_TEXT {
            let (begin, end) = self.bisect(offset).unwrap_or((0, 0));
            if end - begin <= MAX_RUN_TEXT
                && let Some(site) = self.site_in(self.text.get(begin..end).unwrap_or_default(), offset)
            {
                return Some(site);
            }
        }
        self.parsed().line_at(offset).map(|line| line.site)
    }

    /// Return the place of `offset` in a run of line records.
    fn site_in(&self, run: &[u8], offset: i128) -> Option<Site> {
        let is_long = |field: &[u8]| field.len() > crate::numbers::MAX_FIELD;
        if fields(run).any(is_long) {
            return None;
        }
        let mut words = fields(run);
        let mut end = hexadecimal(words.next()?)?;
        loop {
            let (size, line, file) = (words.next()?, words.next()?, words.next()?);
            let start = end;
            end += hexadecimal(size)?;
            if offset < end {
                return if start >= self.start { site_of(file, line) } else { None };
            }
        }
    }

    /// Return begin and end of the last line record up to `offset`.
    ///
    /// For records in another order than INLINE first and lines sorted the result may be wrong; callers check
    /// that it covers the offset. It is wrong in the same way as that of the Python form.
    fn bisect(&self, offset: i128) -> Option<(usize, usize)> {
        let text = self.text;
        let mut found = (0, 0);
        let mut low = memchr(b'\n', text).map_or(text.len(), |at| at + 1);
        let mut high = text.len();
        while low < high {
            let before = text.get(low..(low + high) / 2)?;
            let begin = memrchr(b'\n', before).map_or(low, |at| low + at + 1);
            let rest = text.get(begin..)?;
            let record = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len()))?;
            let end = begin + record.len();
            if record.starts_with(b"INLINE ") || first_number(record)? <= offset {
                found = (begin, end);
                low = end + 1;
            } else {
                high = begin;
            }
        }
        Some(found)
    }
}

/// Return the number that a record begins with, up to the first space.
fn first_number(record: &[u8]) -> Option<i128> {
    let field = record.get(..memchr(b' ', record).unwrap_or(record.len()))?;
    long_hexadecimal(trim(field))
}

/// Depths that take no memory of their own.
const USUAL_DEPTHS: usize = 8;

/// Call of each depth.
#[derive(Default)]
struct ByDepth {
    usual: [Option<Range>; USUAL_DEPTHS],
    deep: BTreeMap<i64, Range>,
}

impl ByDepth {
    fn insert(&mut self, depth: i64, call: Range) {
        match usize::try_from(depth).ok().and_then(|depth| self.usual.get_mut(depth)) {
            Some(place) => *place = Some(call),
            None => {
                self.deep.insert(depth, call);
            }
        }
    }

    /// Return the calls of all depths from 0 on, up to the first depth without one.
    fn chain(&self) -> Vec<Range> {
        let usual = self.usual.iter().map(Option::as_ref);
        let deep = (USUAL_DEPTHS as i64..).map(|depth| self.deep.get(&depth));
        usual.chain(deep).map_while(|call| call.copied()).collect()
    }
}

/// Return where the next INLINE record of a text begins, after its first word. The text begins before a newline.
fn next_inline(text: &[u8]) -> Option<usize> {
    // Most INLINE records follow on each other, and no record of another kind has an "I" in real files.
    if text.starts_with(INLINE) {
        return Some(INLINE.len());
    }
    memmem::find(text, INLINE).map(|at| at + INLINE.len())
}

/// Read an INLINE record whose fields have single spaces between them, and return how far it was read, and whether
/// one of its ranges may cover `offset`.
///
/// The record ends after that place, too, for one in another form, which may cover the offset.
fn scan_plain(record: &[u8], offset: u64, first: u64) -> (usize, bool) {
    let mut bytes = record.iter().enumerate();
    // Depth, line, file, origin.
    for _ in 0..4 {
        match bytes.find(|(_, byte)| **byte == b' ' || **byte == b'\n') {
            Some((_, b' ')) => {}
            _ => return (0, true),
        }
    }
    let (mut start, mut number, mut digits, mut is_size) = (0u64, 0u64, 0u32, false);
    for (i, byte) in bytes {
        let digit = DIGITS[*byte as usize];
        if digit != 0xff {
            number = number << 4 | u64::from(digit);
            digits += 1;
            continue;
        }
        if digits == 0 || digits > 15 || !matches!(*byte, b' ' | b'\n') {
            return (i, true);
        }
        if is_size && first <= start && start <= offset && offset < start + number {
            return (i, true);
        }
        if *byte == b'\n' {
            return (i, false);
        }
        (start, number, digits, is_size) = (number, 0, 0, !is_size);
    }
    (record.len(), true)
}
