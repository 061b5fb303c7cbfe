//! Pages of a symbol file, cut out of its text (see `pagefile/convert.py`).
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::io;

use crate::bounds::{Dropped, MAX_BLOCK, bounded_block, bounded_head, bounded_name, without_calls};
use crate::packed::{Line, pack};
use crate::paths::clean_path;
use crate::runs::join;
use crate::scan::{Scanner, Table, without_names};
use crate::spool::Spool;

/// Bytes between two texts that are cheaper to read than to skip.
const GAP: u64 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Symbols,
    Files,
    Origins,
}

/// Records of one page: those from `begin` to `end` of a table.
pub struct Cut {
    pub section: Section,
    begin: usize,
    end: usize,
}

/// Scanned text and the pages that it is cut into.
pub struct Pages {
    pub scanner: Scanner,
    pub spool: Spool,
    pub cuts: Vec<Cut>,
}

/// Room for one page at a time.
#[derive(Default)]
pub struct Room {
    lines: Vec<Line>,
    texts: Vec<u8>,
    lengths: Vec<u32>,
    pub page: Vec<u8>,
}

impl Pages {
    pub fn new(scanner: Scanner, spool: Spool, page_size: u64) -> Self {
        let mut cuts = Vec::new();
        for section in [Section::Symbols, Section::Files, Section::Origins] {
            let ranges = table(&scanner, section).cuts(page_size);
            cuts.extend(ranges.into_iter().map(|(begin, end)| Cut { section, begin, end }));
        }
        Pages { scanner, spool, cuts }
    }

    pub fn first_key(&self, cut: &Cut) -> u32 {
        table(&self.scanner, cut.section).keys[cut.begin]
    }

    /// Return the bytes of text that a page is made of.
    pub fn text_bytes(&self, cut: &Cut) -> u64 {
        table(&self.scanner, cut.section).lengths[cut.begin..cut.end].iter().map(|length| u64::from(*length)).sum()
    }

    /// Make a page in `room.page`, not compressed.
    pub fn build(&self, cut: &Cut, room: &mut Room, dropped: &mut Dropped) -> io::Result<()> {
        let table = table(&self.scanner, cut.section);
        let (starts, lengths) = (&table.starts[cut.begin..cut.end], &table.lengths[cut.begin..cut.end]);
        room.texts.clear();
        room.lengths.clear();
        let low = starts.iter().copied().min().unwrap_or(0);
        let ends = starts.iter().zip(lengths).map(|(start, length)| start + u64::from(*length));
        let high = ends.max().unwrap_or(0);
        let is_together = high - low <= self.text_bytes(cut) + GAP * starts.len() as u64;
        let whole = if is_together { self.spool.read(low, (high - low) as usize)? } else { Cow::Borrowed(&[][..]) };
        for (start, length) in starts.iter().zip(lengths) {
            let length = *length as usize;
            let before = room.texts.len();
            if is_together {
                let at = (start - low) as usize;
                self.add(cut.section, &whole[at..at + length], room, dropped);
            } else {
                self.add(cut.section, &self.spool.read(*start, length)?, room, dropped);
            }
            room.lengths.push((room.texts.len() - before) as u32);
        }
        encode(&table.keys[cut.begin..cut.end], room);
        Ok(())
    }

    fn add(&self, section: Section, text: &[u8], room: &mut Room, dropped: &mut Dropped) {
        match section {
            Section::Symbols => self.add_symbol(text, room, dropped),
            Section::Files => room.texts.extend_from_slice(&clean_path(&bounded_name(text, dropped))),
            Section::Origins => room.texts.extend_from_slice(&bounded_name(text, dropped)),
        }
    }

    fn add_symbol(&self, text: &[u8], room: &mut Room, dropped: &mut Dropped) {
        if text.starts_with(b"PUBLIC") {
            room.texts.extend_from_slice(&bounded_head(text, dropped));
            return;
        }
        let mut block = Cow::Borrowed(text);
        if text.len() <= MAX_BLOCK {
            if self.scanner.mixed {
                block = Cow::Owned(without_names(text));
            }
            if self.scanner.has_old_calls == Some(true) {
                block = without_calls(block, dropped);
            }
        }
        let block = bounded_block(block, dropped);
        match pack(&block, &mut room.lines).or_else(|| join(&block)) {
            Some(record) => room.texts.extend_from_slice(&record),
            None => room.texts.extend_from_slice(&block),
        }
    }
}

fn table(scanner: &Scanner, section: Section) -> &Table {
    match section {
        Section::Symbols => &scanner.symbols,
        Section::Files => &scanner.files,
        Section::Origins => &scanner.origins,
    }
}

/// Write the layout of a page (see `pagefile/page.py`).
fn encode(keys: &[u32], room: &mut Room) {
    let Room { texts, lengths, page, .. } = room;
    let deltas = || keys.windows(2).map(|pair| pair[1] - pair[0]);
    let key_width = width(deltas().max().unwrap_or(0));
    let length_width = width(lengths.iter().copied().max().unwrap_or(0));
    page.clear();
    page.extend_from_slice(&(keys.len() as u32).to_le_bytes());
    page.extend_from_slice(&keys.first().copied().unwrap_or(0).to_le_bytes());
    page.extend_from_slice(&[key_width as u8, length_width as u8]);
    deltas().for_each(|delta| page.extend_from_slice(&delta.to_le_bytes()[..key_width]));
    lengths.iter().for_each(|length| page.extend_from_slice(&length.to_le_bytes()[..length_width]));
    page.extend_from_slice(texts);
}

/// Return the smallest width in bytes that numbers up to the largest have room in.
fn width(largest: u32) -> usize {
    match largest {
        0..0x100 => 1,
        0x100..0x10000 => 2,
        _ => 4,
    }
}
