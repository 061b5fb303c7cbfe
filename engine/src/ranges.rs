//! Parsed form of a FUNC block (see `pagefile/func_ranges.py`).
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::collections::{BTreeMap, BinaryHeap};

use crate::numbers::MAX_FIELD;
use crate::numbers::{Fields, decimal, fields, hexadecimal};

/// Largest line number that is shown.
const MAX_LINE_NUMBER: i128 = (1 << 32) - 1;

/// Place in source code: the number of a FILE record (-1: none) and a line (0: unknown).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    pub file: i128,
    pub line: u32,
}

pub const NOWHERE: Site = Site { file: -1, line: 0 };

/// Module offsets [start, end) of a line record, or of an inlined call. Fields are in the order of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    pub start: i128,
    pub end: i128,
    pub site: Site,
    pub origin: i128,
    pub depth: i64,
}

/// Return the place in two fields; None where they are no numbers.
pub fn site_of(file: &[u8], line: &[u8]) -> Option<Site> {
    let number = decimal(line)?;
    let file = decimal(file)?;
    let line = if 0 < number && number <= MAX_LINE_NUMBER { number as u32 } else { 0 };
    Some(Site { file, line })
}

/// Call `take` with each line record in the fields of a run, until one cannot be read.
pub fn line_ranges(run: Fields<'_>, mut take: impl FnMut(Range)) {
    let (mut count, mut longest) = (0usize, 0usize);
    for field in run.clone() {
        count += 1;
        longest = longest.max(field.len());
    }
    if count % 3 != 1 || longest > MAX_FIELD {
        return;
    }
    let mut fields = run;
    let Some(mut end) = fields.next().and_then(hexadecimal) else { return };
    while let (Some(size), Some(line), Some(file)) = (fields.next(), fields.next(), fields.next()) {
        let start = end;
        let Some(size) = hexadecimal(size) else { return };
        end += size;
        let Some(site) = site_of(file, line) else { return };
        take(Range { start, end, site, origin: -1, depth: -1 });
    }
}

/// Return the depth that an INLINE record begins with, and the rest; None for a depth not spelt as writers do.
///
/// Depths that no chain of calls can reach are all alike.
pub fn split_depth(record: &[u8]) -> Option<(i64, &[u8])> {
    let (depth, rest) = match memchr::memchr(b' ', record) {
        Some(at) => (record.get(..at)?, record.get(at + 1..)?),
        None => (record, &record[record.len()..]),
    };
    let digits = depth.strip_prefix(b"-").unwrap_or(depth);
    let is_plain = match digits {
        [b'0'] => depth.len() == 1,
        [b'1'..=b'9', others @ ..] => others.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !is_plain || depth.len() > MAX_FIELD {
        return None;
    }
    let number = decimal(depth)?.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Some((number as i64, rest))
}

/// Call `take` with each range of an INLINE record, which lacks its first word.
pub fn inline_ranges(record: &[u8], mut take: impl FnMut(Range)) {
    let Some((depth, rest)) = split_depth(record) else { return };
    let mut fields = fields(rest);
    let (Some(line), Some(file), Some(origin)) = (fields.next(), fields.next(), fields.next()) else { return };
    let (Some(site), Some(origin)) = (site_of(file, line), decimal(origin)) else { return };
    while let (Some(address), Some(size)) = (fields.next(), fields.next()) {
        if let (Some(start), Some(size)) = (hexadecimal(address), hexadecimal(size)) {
            take(Range { start, end: start + size, site, origin, depth });
        }
    }
}

/// Return the lines of a block after its first one.
pub fn records(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = memchr::memchr(b'\n', text).and_then(|at| text.get(at + 1..));
    std::iter::from_fn(move || {
        let text = rest?;
        match memchr::memchr(b'\n', text) {
            Some(at) => {
                rest = text.get(at + 1..);
                text.get(..at)
            }
            None => rest.take(),
        }
    })
}

/// Index of ranges by offset. Where ranges overlap, the last one given counts.
struct Cover {
    pieces: Vec<(i128, Range)>,
}

impl Cover {
    fn new(ranges: &[Range]) -> Self {
        let pieces = if are_in_order(ranges) {
            ranges.iter().map(|range| (range.start, *range)).collect()
        } else {
            pieces(ranges)
        };
        Cover { pieces }
    }

    fn at(&self, offset: i128) -> Option<&Range> {
        let piece = self.pieces.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        self.pieces.get(piece).map(|(_, range)| range).filter(|range| offset < range.end)
    }
}

/// Return whether ranges are sorted and do not overlap.
fn are_in_order(ranges: &[Range]) -> bool {
    ranges.windows(2).all(|pair| pair[0].end <= pair[1].start)
}

/// Return the start of each piece and the range that counts in it, in order.
fn pieces(ranges: &[Range]) -> Vec<(i128, Range)> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|i| ranges[*i].start);
    let mut edges: Vec<i128> = ranges.iter().flat_map(|range| [range.start, range.end]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut order = order.into_iter().peekable();
    // Positions of the ranges that are open at the edge, the last given first.
    let mut open = BinaryHeap::new();
    let mut pieces = Vec::with_capacity(edges.len());
    for edge in edges {
        while let Some(i) = order.next_if(|i| ranges[*i].start <= edge) {
            open.push(i);
        }
        while open.peek().is_some_and(|i| ranges[*i].end <= edge) {
            open.pop();
        }
        if let Some(i) = open.peek() {
            pieces.push((edge, ranges[*i]));
        }
    }
    pieces
}

/// Records of the block [start, end). Those of size 0, or that start outside the block, are ignored.
pub struct ParsedBlock {
    start: i128,
    pub lines: Vec<Range>,
    /// Index of lines that overlap; others are their own index.
    line_cover: Option<Cover>,
    inlines: Vec<Range>,
    /// Index of each depth. Offsets in gaps, for which most blocks are parsed, do not need it.
    depths: OnceCell<Vec<Cover>>,
    outer: Vec<Range>,
    /// Largest end of the outer calls up to each one.
    outer_ends: Vec<i128>,
    calls_have_content: bool,
    boundaries: Option<Vec<i128>>,
}

impl ParsedBlock {
    pub fn new(text: &[u8], start: i128, end: i128) -> Self {
        let lines = lines(text, start, end);
        let inlines = inlines(text, start, end);
        let mut outer: Vec<Range> = inlines.iter().filter(|range| range.depth == 0).copied().collect();
        outer.sort_unstable();
        let outer_ends = outer
            .iter()
            .scan(i128::MIN, |largest, range| {
                *largest = range.end.max(*largest);
                Some(*largest)
            })
            .collect();
        ParsedBlock {
            start,
            line_cover: (!are_in_order(&lines)).then(|| Cover::new(&lines)),
            depths: OnceCell::new(),
            calls_have_content: have_content(&inlines, &lines),
            lines,
            inlines,
            outer,
            outer_ends,
            boundaries: None,
        }
    }

    /// Return the line record that covers `offset`; of several, the one that starts last.
    pub fn line_at(&self, offset: i128) -> Option<&Range> {
        match &self.line_cover {
            Some(cover) => cover.at(offset),
            None => last_up_to(&self.lines, offset).and_then(|i| self.lines.get(i)).filter(|line| offset < line.end),
        }
    }

    /// Return the inlined calls that cover `offset`, outermost first, up to a depth without one.
    pub fn calls_at(&self, offset: i128) -> Vec<Range> {
        self.depths().iter().map_while(|cover| cover.at(offset).copied()).collect()
    }

    fn depths(&self) -> &[Cover] {
        self.depths.get_or_init(|| depths(&self.inlines))
    }

    /// Return the place of an offset that neither a line nor an inlined call covers; None where it is unknown.
    pub fn site_in_gap(&self, offset: i128) -> Option<Site> {
        let line = last_up_to(&self.lines, offset);
        let call = last_up_to(&self.outer, offset);
        let mut before = line.and_then(|i| self.lines.get(i));
        if let Some(call) = call {
            if !self.calls_have_content {
                before = before.max(self.outer.get(call));
            } else if before.is_none_or(|line| self.outer_ends.get(call).is_some_and(|end| line.end <= *end)) {
                return None;
            }
        }
        Some(before.map_or(NOWHERE, |range| range.site))
    }

    /// Return the last offset up to `offset` where a line or call starts, or returns to its caller.
    pub fn boundary(&mut self, offset: i128) -> i128 {
        let boundaries = match self.boundaries.take() {
            Some(boundaries) => boundaries,
            None => self.find_boundaries(),
        };
        let place = boundaries.partition_point(|edge| *edge <= offset);
        let boundary = place.checked_sub(1).and_then(|i| boundaries.get(i)).copied().unwrap_or(self.start);
        self.boundaries = Some(boundaries);
        boundary
    }

    fn find_boundaries(&self) -> Vec<i128> {
        let mut places: Vec<i128> = self.lines.iter().map(|line| line.start).collect();
        if self.calls_have_content {
            places.extend(self.inlines.iter().map(|call| call.end));
        }
        places.sort_unstable();
        let records = self.lines.iter().chain(&self.inlines);
        let mut edges: Vec<i128> = records.flat_map(|record| [record.start, record.end]).collect();
        edges.sort_unstable();
        edges.dedup();
        edges.retain(|edge| places.binary_search(edge).is_ok() || self.is_in_call(*edge));
        edges
    }

    fn is_in_call(&self, offset: i128) -> bool {
        self.depths().first().is_some_and(|cover| cover.at(offset).is_some())
    }
}

/// Return the last of sorted ranges that starts up to `offset`.
fn last_up_to(ranges: &[Range], offset: i128) -> Option<usize> {
    ranges.partition_point(|range| range.start <= offset).checked_sub(1)
}

fn is_inside(range: &Range, start: i128, end: i128) -> bool {
    start <= range.start && range.start < range.end.min(end)
}

/// Return the line records in order, cut at the end of the block.
fn lines(text: &[u8], start: i128, end: i128) -> Vec<Range> {
    let mut lines = Vec::new();
    for record in records(text) {
        // Not needed for the result: an INLINE record is no run, because its first field is no number.
        if record.starts_with(b"INLINE ") {
            continue;
        }
        line_ranges(fields(record), |line| {
            if is_inside(&line, start, end) {
                lines.push(Range { end: line.end.min(end), ..line });
            }
        });
    }
    lines.sort_unstable();
    lines
}

/// Return the ranges of inlined calls, in the order of the text.
fn inlines(text: &[u8], start: i128, end: i128) -> Vec<Range> {
    let mut inlines = Vec::new();
    for record in records(text).filter_map(|record| record.strip_prefix(b"INLINE ")) {
        inline_ranges(record, |call| {
            if is_inside(&call, start, end) {
                inlines.push(call);
            }
        });
    }
    inlines
}

/// Return the index of each depth from 0 on, up to the first depth without calls.
fn depths(inlines: &[Range]) -> Vec<Cover> {
    let mut by_depth: BTreeMap<i64, Vec<Range>> = BTreeMap::new();
    for call in inlines {
        by_depth.entry(call.depth).or_default().push(*call);
    }
    (0..).map_while(|depth| by_depth.get(&depth)).map(|calls| Cover::new(calls)).collect()
}

/// Return whether any inlined call contains a line or another call.
fn have_content(inlines: &[Range], lines: &[Range]) -> bool {
    inlines.iter().any(|call| {
        let last = lines.partition_point(|line| line.start < call.end).checked_sub(1);
        call.depth != 0 || last.and_then(|i| lines.get(i)).is_some_and(|line| line.end > call.start)
    })
}
