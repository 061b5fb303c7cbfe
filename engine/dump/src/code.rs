//! Addresses with code.

use crate::ranges::Range;

/// Ranges of the sections with code. Linkers leave entries of code that they removed, at addresses without code.
pub struct Code(Vec<Range>);

impl Code {
    /// Return the ranges of sections with code, which are in order.
    pub fn new(ranges: Vec<Range>) -> Self {
        Code(ranges)
    }

    /// Return whether an address has code; without sections, every address but those of removed code.
    pub fn contains(&self, address: u64) -> bool {
        if self.0.is_empty() {
            return address != 0 && address < u64::from(u32::MAX) - 1;
        }
        let before = self.0.partition_point(|range| range.start <= address).checked_sub(1);
        before.and_then(|before| self.0.get(before)).is_some_and(|range| address < range.end)
    }

    /// Return a range that begins in code and is not empty.
    pub fn live(&self, start: u64, end: u64) -> Option<Range> {
        (start < end && self.contains(start)).then_some(Range { start, end })
    }
}
