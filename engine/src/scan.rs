//! Search for the records of a symbol file (see `formats/breakpad.py`).
#![forbid(unsafe_code)]

use memchr::{memchr, memchr_iter, memrchr};

use crate::bounds::{Dropped, MAX_BLOCK, MAX_EQUAL, MAX_NAME_BYTES};
use crate::text::{count_fields, is_blank};

const MAX_LINE: usize = 4 << 20;

/// Bytes of equal addresses, or of PUBLIC records inside one FUNC, that a page holds beyond its size.
const MAX_PAGE: u64 = 256 << 10;

/// Bytes from the first word of a FUNC or PUBLIC record to the end of its last number.
const MAX_NUMBERS: usize = 256;

/// Bytes kept of one line: enough to see that its name is too long.
const MAX_TEXT: usize = MAX_NAME_BYTES + MAX_NUMBERS;

/// Digits of a number that counts.
const MAX_DIGITS: usize = 32;

/// Words of an INLINE record without a call file and with one range.
const OLD_WORDS: usize = 6;

/// Bytes of the shortest record.
const LEAST_RECORD: usize = b"\nFILE 0".len();

/// Why a text is not converted.
#[derive(Debug)]
pub enum Refusal {
    Malformed(String),
    TooLarge(String),
    /// The process may not have as much memory.
    Memory,
}

/// Bytes that steps with small allocations need together. An allocation that fails ends the process, so they begin
/// only where as much is free.
const MARGIN: usize = 16 << 20;

/// Refuse to go on without a margin of memory.
pub fn check_margin() -> Result<(), Refusal> {
    Vec::<u8>::new().try_reserve_exact(MARGIN).map_err(|_| Refusal::Memory)
}

/// Return a vector with room for as many items.
fn with_room<T>(count: usize) -> Result<Vec<T>, Refusal> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).map_err(|_| Refusal::Memory)?;
    Ok(items)
}

/// Records of one section: the key of each, its place in the text, and the bytes that a FUNC covers.
#[derive(Default)]
pub struct Table {
    pub keys: Vec<u32>,
    pub starts: Vec<u64>,
    pub lengths: Vec<u32>,
    pub sizes: Vec<u32>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    fn append(&mut self, key: u32, start: u64, length: usize, size: u32) {
        self.keys.push(key);
        self.starts.push(start);
        self.lengths.push(length as u32);
        self.sizes.push(size);
    }

    /// Make room for more records, so that `append` allocates nothing.
    fn reserve(&mut self, count: usize) -> Result<(), Refusal> {
        let keys = self.keys.try_reserve(count);
        let others = self.lengths.try_reserve(count).and(self.sizes.try_reserve(count));
        keys.and(others).and(self.starts.try_reserve(count)).map_err(|_| Refusal::Memory)
    }

    /// Sort by key; equal keys stay in the order of the file.
    fn sort(&mut self) -> Result<(), Refusal> {
        if self.keys.is_sorted() {
            return Ok(());
        }
        let mut order: Vec<u64> = with_room(self.len())?;
        // The position as lower half keeps the order of equal keys, without the memory of a stable sort.
        order.extend(self.keys.iter().zip(0u64..).map(|(key, i)| u64::from(*key) << 32 | i));
        order.sort_unstable();
        let mut places = with_room(order.len())?;
        places.extend(order.into_iter().map(|item| item as u32));
        self.keep(&places)
    }

    /// Keep the first `count` of equal keys of a sorted table. Return how many records are left out.
    fn keep_first(&mut self, count: usize) -> Result<usize, Refusal> {
        let keys = &self.keys;
        let kept = find_kept(keys.len(), |i| i < count || keys[i - count] != keys[i])?;
        self.keep_some(kept)
    }

    /// Keep the last of equal keys; the table must be sorted.
    fn keep_last(&mut self) -> Result<usize, Refusal> {
        let keys = &self.keys;
        let kept = find_kept(keys.len(), |i| keys.get(i + 1) != Some(&keys[i]))?;
        self.keep_some(kept)
    }

    fn keep_some(&mut self, kept: Option<Vec<u32>>) -> Result<usize, Refusal> {
        let before = self.len();
        if let Some(places) = kept {
            self.keep(&places)?;
        }
        Ok(before - self.len())
    }

    fn keep(&mut self, places: &[u32]) -> Result<(), Refusal> {
        pick(&mut self.keys, places)?;
        pick(&mut self.starts, places)?;
        pick(&mut self.lengths, places)?;
        pick(&mut self.sizes, places)
    }

    /// Return the range of records of each page, which has `page_size` bytes of text or a little more.
    pub fn cuts(&self, page_size: u64) -> Vec<(usize, usize)> {
        let mut cuts = Vec::new();
        let mut begin = 0;
        while begin < self.len() {
            let mut end = self.fill(begin, page_size);
            let mut reach = (begin..end).map(|i| self.reach(i)).max().unwrap_or(0);
            let mut added = 0;
            while end < self.len() && added < MAX_PAGE {
                if self.keys[end] != self.keys[end - 1] && (self.sizes[end] != 0 || u64::from(self.keys[end]) >= reach)
                {
                    break;
                }
                reach = reach.max(self.reach(end));
                added += u64::from(self.lengths[end]);
                end += 1;
            }
            cuts.push((begin, end));
            begin = end;
        }
        cuts
    }

    fn reach(&self, i: usize) -> u64 {
        u64::from(self.keys[i]) + u64::from(self.sizes[i])
    }

    /// Return the end of the records from `begin` on that have `page_size` bytes of text together.
    fn fill(&self, begin: usize, page_size: u64) -> usize {
        let mut size = 0;
        for i in begin..self.len() {
            size += u64::from(self.lengths[i]);
            if size >= page_size {
                return i + 1;
            }
        }
        self.len()
    }
}

/// Return the places that are kept; None where all are.
fn find_kept(count: usize, is_kept: impl Fn(usize) -> bool) -> Result<Option<Vec<u32>>, Refusal> {
    if (0..count).all(&is_kept) {
        return Ok(None);
    }
    let mut places = with_room(count)?;
    places.extend((0..count).filter(|i| is_kept(*i)).map(|i| i as u32));
    Ok(Some(places))
}

/// Replace a column by its items at some places.
fn pick<T: Copy>(column: &mut Vec<T>, places: &[u32]) -> Result<(), Refusal> {
    let mut picked = with_room(places.len())?;
    picked.extend(places.iter().map(|i| column[*i as usize]));
    *column = picked;
    Ok(())
}

/// Search in text that is given piece by piece; offsets count from the start of the text.
pub struct Scanner {
    pub symbols: Table,
    pub files: Table,
    pub origins: Table,
    pub dropped: Dropped,
    /// Text of the first piece with a line in it: the MODULE record is there.
    pub head: Option<Vec<u8>>,
    /// Whether FILE or INLINE_ORIGIN records lie among the FUNC blocks.
    pub mixed: bool,
    /// Whether the first INLINE record has no call file; None before it.
    pub has_old_calls: Option<bool>,
    /// Start of the first STACK record.
    pub end: Option<u64>,
    max_records: usize,
    /// Line that has not ended yet, with the newline before it, and its start in the text plus one.
    tail: Vec<u8>,
    base: u64,
    /// Start of the FUNC block that has not ended yet.
    open: Option<u64>,
}

impl Scanner {
    pub fn new(max_records: usize) -> Self {
        Scanner {
            symbols: Table::default(),
            files: Table::default(),
            origins: Table::default(),
            dropped: Dropped::default(),
            head: None,
            mixed: false,
            has_old_calls: None,
            end: None,
            max_records,
            tail: vec![b'\n'],
            base: 0,
            open: None,
        }
    }

    /// Return the bytes of text up to the first STACK record.
    pub fn length(&self) -> u64 {
        self.end.unwrap_or(self.base.saturating_sub(1))
    }

    /// Scan the next piece of text.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        let mut text = std::mem::take(&mut self.tail);
        // The tail has one newline, at its start. It may have megabytes, so it is not searched again.
        let last_newline = memrchr(b'\n', piece).map_or(0, |at| text.len() + at);
        text.extend_from_slice(piece);
        if text.len() - last_newline > MAX_LINE {
            let reason = format!("symbol file has a line of more than {MAX_LINE} bytes");
            return Err(Refusal::Malformed(reason));
        }
        self.scan(&text, last_newline)?;
        text.drain(..last_newline);
        self.tail = text;
        self.refuse_too_many()
    }

    /// Sort the records.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        let tail = std::mem::take(&mut self.tail);
        let last_line_ended = tail == b"\n";
        self.scan(&tail, tail.len())?;
        self.refuse_too_many()?;
        if self.end.is_none() {
            self.close(self.length().saturating_sub(u64::from(last_line_ended)));
        }
        self.symbols.sort()?;
        let left_out = self.symbols.keep_first(MAX_EQUAL)?;
        let reason = || format!("symbol after the first {MAX_EQUAL} of one address");
        self.dropped.add(left_out as u64, reason);
        for names in [&mut self.files, &mut self.origins] {
            names.sort()?;
            names.keep_last()?;
        }
        Ok(())
    }

    fn refuse_too_many(&self) -> Result<(), Refusal> {
        let most = self.symbols.len().max(self.files.len()).max(self.origins.len());
        if most > self.max_records {
            let reason = format!("symbol file has more than {} records of one kind", self.max_records);
            return Err(Refusal::TooLarge(reason));
        }
        Ok(())
    }

    /// Add the records of the text up to `end`: complete lines, each with the newline before it.
    fn scan(&mut self, text: &[u8], end: usize) -> Result<(), Refusal> {
        let text = &text[..end];
        check_margin()?;
        for table in [&mut self.symbols, &mut self.files, &mut self.origins] {
            table.reserve(end / LEAST_RECORD + 1)?;
        }
        if self.head.is_none() && !is_blank(text) {
            self.head = Some(text.to_vec());
        }
        if self.end.is_none() {
            let mut newlines = memchr_iter(b'\n', text).peekable();
            while let Some(newline) = newlines.next() {
                // Nearly all lines are line records, which begin with a digit.
                match text.get(newline + 1) {
                    Some(b'F' | b'I' | b'P' | b'S') => {}
                    _ => continue,
                }
                let line = &text[newline + 1..newlines.peek().copied().unwrap_or(end)];
                // The base counts from the newline before the text, the places of records from its start.
                let start = self.base + newline as u64;
                if self.add(line, start) {
                    break;
                }
            }
        }
        self.base += end as u64;
        Ok(())
    }

    /// Add the record of a line. Return whether it is a STACK record, which ends the scan.
    fn add(&mut self, line: &[u8], start: u64) -> bool {
        if let Some(rest) = line.strip_prefix(b"INLINE ") {
            if self.has_old_calls.is_none() {
                let words = 1 + count_fields(rest);
                self.has_old_calls = Some(words >= OLD_WORDS && words & 1 == 0);
            }
        } else if let Some(rest) = line.strip_prefix(b"INLINE_ORIGIN ") {
            self.add_name(line, rest, start, false);
        } else if let Some(rest) = line.strip_prefix(b"FILE ") {
            self.add_name(line, rest, start, true);
        } else if let Some(rest) = line.strip_prefix(b"FUNC ") {
            self.close(start.saturating_sub(1));
            match parse_func(rest).filter(|(_, _, end)| line.len() - rest.len() + end < MAX_NUMBERS) {
                Some((address, size, _)) => self.add_func(start, address, size),
                None => self.drop_unreadable(rest, "FUNC"),
            }
        } else if let Some(rest) = line.strip_prefix(b"PUBLIC ") {
            self.close(start.saturating_sub(1));
            match parse_public(rest).filter(|(_, end)| line.len() - rest.len() + end < MAX_NUMBERS) {
                Some((address, _)) => self.add_public(start, address, line.len()),
                None => self.drop_unreadable(rest, "PUBLIC"),
            }
        } else if line.starts_with(b"STACK ") {
            let end = start.saturating_sub(1);
            self.close(end);
            self.end = Some(end);
            return true;
        }
        false
    }

    fn add_name(&mut self, line: &[u8], rest: &[u8], start: u64, is_file: bool) {
        let Some((number, name_at)) = parse_name(rest) else { return };
        if self.symbols.len() > 0 {
            self.mixed = true;
        }
        let Ok(number) = u32::try_from(number) else {
            self.dropped.add(1, || "FILE or INLINE_ORIGIN number past 2**32".to_owned());
            return;
        };
        let names = if is_file { &mut self.files } else { &mut self.origins };
        let at = line.len() - rest.len() + name_at;
        names.append(number, start + at as u64, (line.len() - at).min(MAX_TEXT), 0);
    }

    fn add_func(&mut self, start: u64, address: u128, size: u128) {
        match u32::try_from(address) {
            Err(_) => self.dropped.add(1, || "FUNC past 4 GiB".to_owned()),
            Ok(_) if size == 0 => self.dropped.add(1, || "FUNC of zero size".to_owned()),
            Ok(key) => {
                self.symbols.append(key, start, 0, u32::try_from(size).unwrap_or(u32::MAX));
                self.open = Some(start);
            }
        }
    }

    fn add_public(&mut self, start: u64, address: u128, length: usize) {
        match u32::try_from(address) {
            Ok(key) => self.symbols.append(key, start, length.min(MAX_TEXT), 0),
            Err(_) => self.dropped.add(1, || "PUBLIC past 4 GiB".to_owned()),
        }
    }

    fn drop_unreadable(&mut self, rest: &[u8], word: &str) {
        let reason = || match has_prefix(rest) {
            true => "FUNC or PUBLIC with a 0x prefix".to_owned(),
            false => format!("{word} unreadable"),
        };
        self.dropped.add(1, reason);
    }

    /// End the FUNC block that is open, if any; it is the last symbol of the table.
    fn close(&mut self, end: u64) {
        if let (Some(open), Some(length)) = (self.open.take(), self.symbols.lengths.last_mut()) {
            // One byte more than the limit, so that conversion sees that the block is too long.
            *length = end.saturating_sub(open).min(MAX_BLOCK as u64 + 1) as u32;
        }
    }
}

fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// Return where the number at the start of a record begins: after blanks and an `m`.
fn skip_multiple(rest: &[u8]) -> usize {
    let at = skip_blanks(rest, 0);
    if rest.get(at) == Some(&b'm') {
        let after = skip_blanks(rest, at + 1);
        if after > at + 1 {
            return after;
        }
    }
    at
}

/// Return a hexadecimal number of up to MAX_DIGITS digits at a place, and its end.
fn hex_at(rest: &[u8], at: usize) -> Option<(u128, usize)> {
    let mut number = 0u128;
    let mut end = at;
    while let Some(digit) = rest.get(end).and_then(|byte| char::from(*byte).to_digit(16)) {
        if end - at == MAX_DIGITS {
            return None;
        }
        number = number << 4 | u128::from(digit);
        end += 1;
    }
    (end > at).then_some((number, end))
}

/// Return a hexadecimal number and where the blanks after it end; None without blanks.
fn hex_and_blanks(rest: &[u8], at: usize) -> Option<(u128, usize, usize)> {
    let (number, end) = hex_at(rest, at)?;
    let next = skip_blanks(rest, end);
    (next > end).then_some((number, end, next))
}

/// Return address, size and where the size ends.
fn parse_func(rest: &[u8]) -> Option<(u128, u128, usize)> {
    let (address, _, next) = hex_and_blanks(rest, skip_multiple(rest))?;
    let (size, end, next) = hex_and_blanks(rest, next)?;
    rest.get(next)?.is_ascii_hexdigit().then_some((address, size, end))
}

/// Return the address and where it ends.
fn parse_public(rest: &[u8]) -> Option<(u128, usize)> {
    let (address, end, next) = hex_and_blanks(rest, skip_multiple(rest))?;
    rest.get(next)?.is_ascii_hexdigit().then_some((address, end))
}

/// Return the number of a FILE or INLINE_ORIGIN record, and where its name begins.
fn parse_name(rest: &[u8]) -> Option<(u128, usize)> {
    let at = skip_blanks(rest, 0);
    let mut number = 0u128;
    let mut end = at;
    while let Some(digit @ b'0'..=b'9') = rest.get(end) {
        if end - at == MAX_DIGITS {
            return None;
        }
        number = number * 10 + u128::from(digit - b'0');
        end += 1;
    }
    if end == at || !matches!(rest.get(end), None | Some(b' ' | b'\t' | b'\r')) {
        return None;
    }
    Some((number, skip_blanks(rest, end)))
}

/// Return whether a number of a FUNC or PUBLIC record begins with 0x.
fn has_prefix(rest: &[u8]) -> bool {
    let at = skip_multiple(rest);
    let is_prefixed = |at: usize| rest.get(at) == Some(&b'0') && matches!(rest.get(at + 1), Some(b'x' | b'X'));
    is_prefixed(at) || hex_and_blanks(rest, at).is_some_and(|(_, _, next)| is_prefixed(next))
}

/// Return a block without its first line and the lines that do not count, or nothing where all count.
pub fn without_names(block: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(block.len());
    let mut begin = 0;
    while begin < block.len() {
        let end = memchr(b'\n', &block[begin + 1..]).map_or(block.len(), |at| begin + 1 + at);
        let line = &block[begin..end];
        if !line.starts_with(b"\nFILE ") && !line.starts_with(b"\nINLINE_ORIGIN ") {
            kept.extend_from_slice(line);
        }
        begin = end;
    }
    kept
}
