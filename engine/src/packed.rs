//! Packed form of a FUNC block (see `pagefile/packed.py`).
#![forbid(unsafe_code)]

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

use crate::bounds::MAX_BLOCK;
use crate::runs::RUN;

pub const PACKED: u8 = 1;

/// Files that are remembered while a block is packed or expanded.
const SLOTS: usize = 14;

/// Bytes of the longest number.
const MAX_VARINT: usize = 10;

/// Line record; the numbers have 32 bits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub start: u64,
    pub size: u64,
    pub line: u64,
    pub file: u64,
}

impl Line {
    pub fn end(&self) -> u64 {
        self.start + self.size
    }
}

/// Files with their last lines, the one used first first.
#[derive(Default)]
struct Places {
    files: [(u64, u64); SLOTS],
    count: usize,
}

impl Places {
    fn encode(&mut self, file: u64, line: u64) -> (usize, Place) {
        match self.files[..self.count].iter().position(|(known, _)| *known == file) {
            Some(slot) => {
                let before = self.files[slot].1;
                self.use_slot(slot, line);
                (slot, Place::Near(zigzag(line as i64 - before as i64)))
            }
            None => {
                self.insert(file, line);
                (SLOTS, Place::New(file, line))
            }
        }
    }

    fn decode(&mut self, slot: u64, numbers: &mut Varints<'_>) -> Option<(u64, u64)> {
        if slot == SLOTS as u64 {
            let (file, line) = (numbers.u32()?, numbers.u32()?);
            self.insert(file, line);
            return Some((file, line));
        }
        let slot = usize::try_from(slot).ok()?;
        let (file, before) = *self.files[..self.count].get(slot)?;
        let line = moved(before, numbers.next()?)?;
        self.use_slot(slot, line);
        Some((file, line))
    }

    fn use_slot(&mut self, slot: usize, line: u64) {
        self.files[..=slot].rotate_right(1);
        self.files[0].1 = line;
    }

    fn insert(&mut self, file: u64, line: u64) {
        self.count = (self.count + 1).min(SLOTS);
        self.files[..self.count].rotate_right(1);
        self.files[0] = (file, line);
    }
}

enum Place {
    Near(u64),
    New(u64, u64),
}

impl Place {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Place::Near(difference) => put(out, *difference),
            Place::New(file, line) => {
                put(out, *file);
                put(out, *line);
            }
        }
    }
}

/// Return the packed form of a FUNC block; None for one that is not written as writers do.
///
/// `lines` is room for the line records; its content is replaced.
pub fn pack(block: &[u8], lines: &mut Vec<Line>) -> Option<Vec<u8>> {
    let block = without_returns(block);
    let head_end = memchr(b'\n', &block).unwrap_or(block.len());
    let (head, mut records) = block.split_at(head_end);
    let mut text = Text(head.strip_prefix(b"FUNC ")?);
    let is_multiple = text.skip(b"m ");
    let address = text.hex(b' ')?;
    let size = text.hex(b' ')?;
    let parameters = text.hex(b' ')?;
    let name = text.0;

    // Line records are packed first, because the ranges of inlined calls refer to them.
    let mut calls = 0;
    let inlines = records;
    while let Some(rest) = records.strip_prefix(b"\nINLINE ") {
        calls += 1;
        records = &rest[memchr(b'\n', rest).unwrap_or(rest.len())..];
    }
    let inlines = &inlines[..inlines.len() - records.len()];
    parse_lines(records, lines)?;

    let mut out = Vec::with_capacity(32 + name.len() + 4 * lines.len() + 12 * calls);
    out.push(PACKED);
    put(&mut out, size);
    put(&mut out, parameters << 1 | u64::from(is_multiple));
    out.extend_from_slice(name);
    out.push(b'\n');
    put(&mut out, lines.len() as u64);
    put(&mut out, calls as u64);
    let mut places = Places::default();
    pack_lines(lines, address, &mut places, &mut out);
    pack_inlines(inlines, lines, address, &mut places, &mut out)?;
    Some(out)
}

/// Return the block without carriage returns at line ends.
fn without_returns(block: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\r', block).is_none() {
        return Cow::Borrowed(block);
    }
    let mut kept = Vec::with_capacity(block.len());
    for (i, byte) in block.iter().enumerate() {
        if *byte != b'\r' || !matches!(block.get(i + 1), None | Some(b'\n')) {
            kept.push(*byte);
        }
    }
    Cow::Owned(kept)
}

fn parse_lines(records: &[u8], lines: &mut Vec<Line>) -> Option<()> {
    lines.clear();
    let mut text = Text(records);
    while !text.0.is_empty() {
        if !text.skip(b"\n") {
            return None;
        }
        let (start, size) = (text.hex(b' ')?, text.hex(b' ')?);
        let (line, file) = (text.decimal(b' ')?, text.last_decimal()?);
        if start + size > u64::from(u32::MAX) {
            return None;
        }
        lines.push(Line { start, size, line, file });
    }
    Some(())
}

fn pack_lines(lines: &[Line], address: u64, places: &mut Places, out: &mut Vec<u8>) {
    let mut end = address;
    for line in lines {
        let (slot, place) = places.encode(line.file, line.line);
        put(out, (slot as u64) << 1 | u64::from(line.start != end));
        if line.start != end {
            put(out, zigzag(line.start as i64 - end as i64));
        }
        put(out, line.size);
        place.write(out);
        end = line.end();
    }
}

fn pack_inlines(inlines: &[u8], lines: &[Line], address: u64, places: &mut Places, out: &mut Vec<u8>) -> Option<()> {
    let is_ordered = lines.windows(2).all(|pair| pair[0].start < pair[1].start && pair[0].end() < pair[1].end());
    let lines = if is_ordered { lines } else { &[] };
    let (mut depth, mut origin, mut following, mut before) = (-1i64, 0i64, 0usize, address);
    let mut text = Text(inlines);
    while text.skip(b"\nINLINE ") {
        let new_depth = text.decimal(b' ')? as i64;
        let (line, file) = (text.decimal(b' ')?, text.decimal(b' ')?);
        let new_origin = text.decimal(b' ')? as i64;
        let record_end = memchr(b'\n', text.0).unwrap_or(text.0.len());
        let (record, rest) = text.0.split_at(record_end);
        let count = memchr_iter(b' ', record).count() / 2 + 1;
        put(out, zigzag(new_depth - depth) << 1 | u64::from(count > 1));
        if count > 1 {
            put(out, count as u64);
        }
        let (slot, place) = places.encode(file, line);
        put(out, slot as u64);
        place.write(out);
        put(out, zigzag(new_origin - origin));
        (depth, origin) = (new_depth, new_origin);
        let mut outer = None;
        let mut fields = Text(record);
        for i in 0..count {
            let start = fields.hex(b' ')?;
            let size = if i + 1 < count { fields.hex(b' ')? } else { fields.last_hex()? };
            let first = lines.binary_search_by_key(&start, |line| line.start);
            let last = lines.binary_search_by_key(&(start + size), Line::end);
            match (first, last) {
                (Ok(first), Ok(last)) if first <= last => {
                    put(out, zigzag(first as i64 - following as i64) << 1);
                    put(out, (last - first) as u64);
                    following = last + 1;
                    outer = outer.or(Some(first));
                }
                _ => {
                    put(out, zigzag(start as i64 - before as i64) << 1 | 1);
                    put(out, size);
                }
            }
            before = start;
        }
        following = outer.unwrap_or(following);
        text.0 = rest;
    }
    text.0.is_empty().then_some(())
}

/// Text of a block that is read from its start.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn skip(&mut self, prefix: &[u8]) -> bool {
        match self.0.strip_prefix(prefix) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// Read a hexadecimal number as writers spell it, and the byte after it.
    fn hex(&mut self, after: u8) -> Option<u64> {
        let number = self.last_hex_digits()?;
        self.skip(&[after]).then_some(number)
    }

    /// Read a hexadecimal number that ends the text.
    fn last_hex(&mut self) -> Option<u64> {
        let number = self.last_hex_digits()?;
        self.0.is_empty().then_some(number)
    }

    fn last_hex_digits(&mut self) -> Option<u64> {
        let mut number = 0;
        let mut count = 0;
        for byte in self.0 {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => break,
            };
            number = number << 4 | u64::from(digit);
            count += 1;
            if count > 8 {
                return None;
            }
        }
        self.take(count, number)
    }

    /// Read a decimal number as writers spell it, and the byte after it.
    fn decimal(&mut self, after: u8) -> Option<u64> {
        let number = self.decimal_digits()?;
        self.skip(&[after]).then_some(number)
    }

    /// Read a decimal number that ends the line.
    fn last_decimal(&mut self) -> Option<u64> {
        let number = self.decimal_digits()?;
        matches!(self.0.first(), None | Some(b'\n')).then_some(number)
    }

    fn decimal_digits(&mut self) -> Option<u64> {
        let mut number = 0;
        let mut count = 0;
        for byte in self.0 {
            let b'0'..=b'9' = byte else { break };
            number = number * 10 + u64::from(byte - b'0');
            count += 1;
            if count > 9 {
                return None;
            }
        }
        self.take(count, number)
    }

    /// Leave `count` digits behind. None without a digit, and for leading zeros.
    fn take(&mut self, count: usize, number: u64) -> Option<u64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        if count == 0 || (count > 1 && digits.first() == Some(&b'0')) {
            return None;
        }
        self.0 = rest;
        Some(number)
    }
}

/// Numbers of a packed block; an error is None.
struct Varints<'a> {
    rest: &'a [u8],
}

impl Varints<'_> {
    fn next(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for i in 0..MAX_VARINT {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            // The tenth byte has room for one bit.
            if i == MAX_VARINT - 1 && *byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Read a number of 32 bits at most.
    fn u32(&mut self) -> Option<u64> {
        self.next().filter(|number| *number <= u64::from(u32::MAX))
    }
}

/// Head of a packed block, and the numbers after it.
struct Opened<'a> {
    size: u64,
    parameters: u64,
    name: &'a [u8],
    numbers: Varints<'a>,
}

fn open(record: &[u8]) -> Option<Opened<'_>> {
    if record.len() > MAX_BLOCK {
        return None;
    }
    let mut numbers = Varints { rest: record.strip_prefix(&[PACKED])? };
    let (size, parameters) = (numbers.u32()?, numbers.next()?);
    if parameters >> 1 > u64::from(u32::MAX) {
        return None;
    }
    let name_end = memchr(b'\n', numbers.rest)?;
    let (name, rest) = numbers.rest.split_at(name_end);
    numbers.rest = &rest[1..];
    Some(Opened { size, parameters, name, numbers })
}

/// Receiver of inlined calls: each call, then each of its ranges.
pub trait Calls {
    fn call(&mut self, depth: u64, line: u64, file: u64, origin: u64);
    fn range(&mut self, start: u64, size: u64);
}

/// Return the text of a packed FUNC block, with joined line records; None for a malformed one.
pub fn expand(record: &[u8], address: u64) -> Option<Vec<u8>> {
    let Opened { size, parameters, name, mut numbers } = open(record)?;
    let mut text = Vec::with_capacity(8 * record.len());
    text.extend_from_slice(if parameters & 1 == 1 { b"FUNC m " } else { b"FUNC " });
    put_hex(&mut text, address);
    text.push(b' ');
    put_hex(&mut text, size);
    text.push(b' ');
    put_hex(&mut text, parameters >> 1);
    text.push(b' ');
    text.extend_from_slice(name);
    let (line_count, inline_count) = (numbers.next()?, numbers.next()?);
    let mut places = Places::default();
    let lines = read_lines(&mut numbers, line_count, address, &mut places)?;
    read_inlines(&mut numbers, inline_count, &lines, address, &mut places, &mut text)?;
    expand_lines(&lines, &mut text);
    numbers.rest.is_empty().then_some(text)
}

/// What a packed block has about one offset.
pub struct Searched<'a> {
    pub name: &'a [u8],
    pub size: u64,
    /// Line record of the offset; None without one, and for records that are not in order.
    pub line: Option<Line>,
}

/// Read a packed block and pass its inlined calls to `calls`; None for a malformed one.
pub fn search<'a>(record: &'a [u8], address: u64, offset: u64, calls: &mut impl Calls) -> Option<Searched<'a>> {
    let Opened { size, name, mut numbers, .. } = open(record)?;
    let (line_count, inline_count) = (numbers.next()?, numbers.next()?);
    let mut places = Places::default();
    let lines = read_lines(&mut numbers, line_count, address, &mut places)?;
    read_inlines(&mut numbers, inline_count, &lines, address, &mut places, calls)?;
    numbers.rest.is_empty().then(|| Searched { name, size, line: line_at(&lines, address, offset) })
}

/// Return the line record that covers `offset`; None unless all records ascend from `address` without overlap.
fn line_at(lines: &[Line], address: u64, offset: u64) -> Option<Line> {
    let mut end = address;
    for line in lines {
        if line.start < end || line.size == 0 {
            return None;
        }
        end = line.end();
    }
    let before = lines.partition_point(|line| line.start <= offset);
    lines.get(before.checked_sub(1)?).copied().filter(|line| offset < line.end())
}

fn read_lines(numbers: &mut Varints<'_>, count: u64, address: u64, places: &mut Places) -> Option<Vec<Line>> {
    // Each takes three bytes at least.
    let mut lines = Vec::with_capacity((numbers.rest.len() / 3).min(usize::try_from(count).ok()?));
    let mut end = address;
    for _ in 0..count {
        let word = numbers.next()?;
        let start = if word & 1 == 1 { moved(end, numbers.next()?)? } else { end };
        let size = numbers.u32()?;
        let (file, line) = places.decode(word >> 1, numbers)?;
        if start > u64::from(u32::MAX) {
            return None;
        }
        end = start + size;
        lines.push(Line { start, size, line, file });
    }
    Some(lines)
}

fn read_inlines(
    numbers: &mut Varints<'_>,
    count: u64,
    lines: &[Line],
    address: u64,
    places: &mut Places,
    calls: &mut impl Calls,
) -> Option<()> {
    let (mut depth, mut origin, mut following, mut before) = (-1i64, 0u64, 0u64, address);
    for _ in 0..count {
        let word = numbers.next()?;
        depth = depth.checked_add(signed(word >> 1)).filter(|depth| (0..1 << 32).contains(depth))?;
        let ranges = if word & 1 == 1 { numbers.next()? } else { 1 };
        let slot = numbers.next()?;
        let (file, line) = places.decode(slot, numbers)?;
        origin = moved(origin, numbers.next()?)?;
        calls.call(depth as u64, line, file, origin);
        let mut outer = None;
        for _ in 0..ranges {
            let (word, length) = (numbers.next()?, numbers.next()?);
            let (start, size) = if word & 1 == 1 {
                (moved(before, word >> 1)?, length)
            } else {
                let first = usize::try_from(moved(following, word >> 1)?).ok()?;
                let last = first.checked_add(usize::try_from(length).ok()?)?;
                let start = lines.get(first)?.start;
                following = last as u64 + 1;
                outer = outer.or(Some(first as u64));
                (start, lines.get(last)?.end().checked_sub(start)?)
            };
            if size > u64::from(u32::MAX) {
                return None;
            }
            calls.range(start, size);
            before = start;
        }
        following = outer.unwrap_or(following);
    }
    Some(())
}

impl Calls for Vec<u8> {
    fn call(&mut self, depth: u64, line: u64, file: u64, origin: u64) {
        self.extend_from_slice(b"\nINLINE ");
        for (i, number) in [depth, line, file, origin].into_iter().enumerate() {
            if i > 0 {
                self.push(b' ');
            }
            put_decimal(self, number);
        }
    }

    fn range(&mut self, start: u64, size: u64) {
        self.push(b' ');
        put_hex(self, start);
        self.push(b' ');
        put_hex(self, size);
    }
}

fn expand_lines(lines: &[Line], text: &mut Vec<u8>) {
    let mut end = None;
    for (i, line) in lines.iter().enumerate() {
        if end != Some(line.start) || i % RUN == 0 {
            text.push(b'\n');
            put_hex(text, line.start);
        }
        text.push(b' ');
        put_hex(text, line.size);
        text.push(b' ');
        put_decimal(text, line.line);
        text.push(b' ');
        put_decimal(text, line.file);
        end = Some(line.end());
    }
}

/// Append a number as varint.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub fn put_hex(out: &mut Vec<u8>, number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let count = (67 - (number | 1).leading_zeros()) / 4;
    for i in (0..count).rev() {
        out.push(DIGITS[(number >> (4 * i) & 15) as usize]);
    }
}

fn put_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn signed(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Return a 32-bit number moved by a zigzag-coded difference; None where it has more bits.
fn moved(number: u64, difference: u64) -> Option<u64> {
    let sum = (number as i64).checked_add(signed(difference))?;
    u64::try_from(sum).ok().filter(|sum| *sum <= u64::from(u32::MAX))
}
