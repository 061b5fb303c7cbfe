//! Search for STACK records (see `pagefile/cfi.py`).
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::io::Write;
use std::mem;

use memchr::{memchr, memmem, memrchr};

use crate::bounds::Dropped;
use crate::numbers::{Fields, fields, hexadecimal, is_space};

const START: &[u8] = b"\nSTACK ";
const ADDRESS_END: i128 = 1 << 32;

/// Records that were found: key, size and kind (1 for an INIT record) of each, and the length of its text.
#[derive(Default)]
pub struct Records {
    pub keys: Vec<u32>,
    pub sizes: Vec<u32>,
    pub kinds: Vec<u8>,
    pub lengths: Vec<u32>,
    pub text: Vec<u8>,
}

/// Scanner of a text that is fed piece by piece.
pub struct StackScanner {
    max_record: usize,
    max_records: usize,
    /// Line that has not ended yet, with the newline before it.
    tail: Vec<u8>,
    /// Packed text of the INIT record that has not ended yet, its address and size, and the address of its last line.
    record: Vec<u8>,
    range: Option<(i128, i128)>,
    last: i128,
    count: usize,
    found: Records,
    pub dropped: Dropped,
}

impl StackScanner {
    pub fn new(max_record: usize, max_records: usize) -> Self {
        StackScanner {
            max_record,
            max_records,
            tail: b"\n".to_vec(),
            record: Vec::new(),
            range: None,
            last: 0,
            count: 0,
            found: Records::default(),
            dropped: Dropped::default(),
        }
    }

    /// Scan the next piece of text, and return the records that have ended.
    pub fn feed(&mut self, chunk: &[u8]) -> Records {
        let mut text = mem::take(&mut self.tail);
        text.extend_from_slice(chunk);
        let end = memrchr(b'\n', &text).unwrap_or(0);
        self.scan(&text[..end]);
        text.drain(..end);
        // A line that is longer is dropped, however long it is.
        text.truncate(2 * self.max_record);
        self.tail = text;
        mem::take(&mut self.found)
    }

    /// Scan the rest of the text, and return the last records.
    pub fn finish(&mut self) -> Records {
        let text = mem::take(&mut self.tail);
        self.scan(&text);
        self.close();
        mem::take(&mut self.found)
    }

    /// Scan complete lines, each with the newline before it.
    fn scan(&mut self, text: &[u8]) {
        let finder = memmem::Finder::new(START);
        let mut place = 0;
        while let Some(rest) = text.get(place..) {
            // Most lines are one after the other.
            let Some(begin) = (if rest.starts_with(START) { Some(0) } else { finder.find(rest) }) else { return };
            let line = rest.get(begin + START.len()..).unwrap_or_default();
            let line = line.get(..memchr(b'\n', line).unwrap_or(line.len())).unwrap_or_default();
            place += begin + START.len() + line.len();
            if memchr(b'\r', line).is_some() {
                self.add(&line.iter().copied().filter(|byte| *byte != b'\r').collect::<Vec<u8>>());
            } else {
                self.add(line);
            }
        }
    }

    /// Add a line without its first word. Lines that are no records do not count.
    fn add(&mut self, line: &[u8]) {
        let mut words = fields(line);
        let (Some(kind), Some(word), Some(rest)) = (words.next(), words.next(), rest(&words)) else { return };
        if kind == b"CFI" && word != b"INIT" {
            self.change(word, rest);
            return;
        }
        self.close();
        if kind == b"CFI" {
            self.open(rest);
        } else if kind == b"WIN" {
            let mut words = fields(rest);
            if let (Some(address), Some(size), Some(_)) = (number(words.next()), number(words.next()), words.next()) {
                let text = [b"STACK ", line].concat();
                self.store(address, size, Cow::Owned(text), 0);
            }
        }
    }

    fn change(&mut self, word: &[u8], rules: &[u8]) {
        let (Some(address), true) = (hexadecimal(word), self.range.is_some()) else { return };
        let step = address - self.last;
        if step.abs() >= ADDRESS_END {
            return;
        }
        self.last = address;
        // An endless record would fill the memory. Cut off, it is still too long, and dropped.
        if self.record.len() <= self.max_record {
            let sign = if step < 0 { "-" } else { "" };
            // Writing to memory does not fail.
            let _ = write!(self.record, "\n{sign}{:x} ", step.unsigned_abs());
            self.record.extend_from_slice(rules);
        }
    }

    fn open(&mut self, text: &[u8]) {
        let mut words = fields(text);
        if let (Some(address), Some(size), Some(rules)) = (number(words.next()), number(words.next()), rest(&words)) {
            self.range = Some((address, size));
            self.last = address;
            let _ = write!(self.record, "{size:x} ");
            self.record.extend_from_slice(rules);
        }
    }

    /// End the record that has not ended yet. Changes without an INIT record do not count.
    fn close(&mut self) {
        let mut record = mem::take(&mut self.record);
        if let Some((address, size)) = self.range.take() {
            self.store(address, size, Cow::Borrowed(&record), 1);
        }
        record.clear();
        self.record = record;
    }

    fn store(&mut self, address: i128, size: i128, text: Cow<'_, [u8]>, kind: u8) {
        if size == 0 {
            return;
        }
        let (max_record, max_records) = (self.max_record, self.max_records);
        let Ok(key) = u32::try_from(address) else {
            self.dropped.add(1, || "STACK past 4 GiB".to_owned());
            return;
        };
        if text.len() > max_record {
            self.dropped.add(1, || format!("STACK record of more than {max_record} bytes"));
        } else if self.count >= max_records {
            self.dropped.add(1, || format!("STACK record after the first {max_records}"));
        } else {
            self.count += 1;
            self.found.keys.push(key);
            self.found.sizes.push(u32::try_from(size).unwrap_or(u32::MAX));
            self.found.kinds.push(kind);
            self.found.lengths.push(text.len() as u32);
            self.found.text.extend_from_slice(&text);
        }
    }
}

/// Return the text after the words that were read; None if there is none.
fn rest<'a>(words: &Fields<'a>) -> Option<&'a [u8]> {
    let begin = words.rest.iter().position(|byte| !is_space(*byte))?;
    words.rest.get(begin..)
}

/// Return a number without a sign; None for another word.
fn number(word: Option<&[u8]>) -> Option<i128> {
    let word = word.filter(|word| word.iter().all(u8::is_ascii_alphanumeric))?;
    hexadecimal(word)
}
