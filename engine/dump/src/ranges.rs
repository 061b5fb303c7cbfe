//! Ranges of addresses.

/// Addresses from `start` up to, and without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    pub start: u64,
    pub end: u64,
}

impl Range {
    /// Return the addresses that two ranges have in common.
    pub fn intersect(self, other: Range) -> Option<Range> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(Range { start, end })
    }

    /// Return the number of addresses.
    pub fn size(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// Return ranges that do not touch each other, in order.
pub fn join(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// Return whether an address is in one of the ranges, which are joined.
pub fn contains(ranges: &[Range], address: u64) -> bool {
    let before = ranges.partition_point(|range| range.start <= address).checked_sub(1);
    before.and_then(|before| ranges.get(before)).is_some_and(|range| address < range.end)
}
