//! Part of a module that answers for some addresses as the whole module does.

use std::collections::BTreeSet;

use crate::ranges::Range;
use crate::symbols::SymbolTable;

/// Range that begins last before an address, and the unit that it belongs to.
type Nearest = Option<(u64, usize)>;

/// Choice of units by their ranges. Of PDB files, each function is a unit.
#[derive(Clone)]
pub struct Part {
    /// Addresses in question, in order.
    addresses: Vec<u64>,
    nearest: Vec<Nearest>,
    units: BTreeSet<usize>,
}

impl Part {
    /// Return a part for addresses in any order, without units.
    pub fn new(addresses: impl Iterator<Item = u64>) -> Self {
        Part::of(addresses.collect::<BTreeSet<u64>>().into_iter().collect())
    }

    fn of(addresses: Vec<u64>) -> Self {
        let nearest = vec![None; addresses.len()];
        Part { addresses, nearest, units: BTreeSet::new() }
    }

    /// Return the choice among ranges, each a unit of its own, for the same addresses.
    pub fn among(&self, ranges: impl Iterator<Item = Range>) -> Part {
        let mut chosen = Part::of(self.addresses.clone());
        ranges.enumerate().for_each(|(unit, range)| chosen.add_range(unit, range));
        chosen.complete();
        chosen
    }

    /// Add a unit whatever its ranges are.
    pub fn add(&mut self, unit: usize) {
        self.units.insert(unit);
    }

    /// Add a unit if one of the addresses is in a range of it.
    pub fn add_range(&mut self, unit: usize, range: Range) {
        let first = self.addresses.partition_point(|address| *address < range.start);
        if let Some(nearest) = self.nearest.get_mut(first) {
            *nearest = (*nearest).max(Some((range.start, unit)));
        }
        if self.addresses.get(first).is_some_and(|address| *address < range.end) {
            self.units.insert(unit);
        }
    }

    /// Add the unit before each address when all ranges are known: its end tells where code without a unit begins.
    pub fn complete(&mut self) {
        let mut last = None;
        for nearest in &mut self.nearest {
            *nearest = (*nearest).max(last);
            last = *nearest;
        }
        self.units.extend(self.nearest.iter().flatten().map(|(_, unit)| *unit));
    }

    /// Return whether a unit is needed.
    pub fn has(&self, unit: usize) -> bool {
        self.units.contains(&unit)
    }

    /// Return whether one of the addresses is in a range.
    pub fn touches(&self, range: Range) -> bool {
        let first = self.addresses.partition_point(|address| *address < range.start);
        self.addresses.get(first).is_some_and(|address| *address < range.end)
    }

    /// Return the addresses of the symbols that are needed: the last one before each address, after its last unit.
    pub fn symbols(&self, table: &SymbolTable<'_>) -> BTreeSet<u64> {
        let pairs = self.addresses.iter().zip(&self.nearest);
        let last = pairs.filter_map(|(address, nearest)| {
            let symbol = table.last_before(*address)?;
            (nearest.map_or(0, |(start, _)| start) <= symbol).then_some(symbol)
        });
        last.collect()
    }
}
