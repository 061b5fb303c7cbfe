//! Functions of a unit, with their inlined calls.

use gimli::{Abbreviation, AttributeValue, EntriesRaw, UnitOffset, UnitRef, constants as dw};

use crate::attributes::{Attributes, is_c, skip_to_sibling};
use crate::code::Code;
use crate::failure::Result;
use crate::lines::LineTable;
use crate::names::EntryNames;
use crate::ranges::Range;
use crate::records::{Call, Function};
use crate::units::Slice;

/// Function whose entry is not at its end yet.
struct Open {
    function: Function,
    depth: isize,
    /// Depths of the entries of the inlined calls around the next entry.
    calls: Vec<isize>,
}

/// Reader of one unit.
pub struct FunctionReader<'r, 'u, 'd> {
    number: usize,
    unit: UnitRef<'u, Slice<'d>>,
    /// Whether the language is C or C++.
    is_c: bool,
    code: &'r Code,
    lines: &'r LineTable,
    names: &'r mut EntryNames<'u, 'd>,
    /// Depth of the outermost function around the next entry, with or without code.
    outermost: Option<isize>,
    /// Functions with code around the next entry; languages other than C have functions in functions.
    open: Vec<Open>,
    functions: Vec<Function>,
}

impl<'r, 'u, 'd> FunctionReader<'r, 'u, 'd> {
    /// Return a reader of the entries of a unit, which has a number among all units.
    pub fn new(
        number: usize,
        unit: UnitRef<'u, Slice<'d>>,
        code: &'r Code,
        lines: &'r LineTable,
        names: &'r mut EntryNames<'u, 'd>,
    ) -> Self {
        let is_c = is_c(unit);
        FunctionReader {
            number,
            unit,
            is_c,
            code,
            lines,
            names,
            outermost: None,
            open: Vec::new(),
            functions: Vec::new(),
        }
    }

    /// Return the functions of the unit; of a broken unit, those before the error.
    pub fn read(mut self) -> Vec<Function> {
        let _ = self.read_entries();
        self.close(isize::MIN);
        self.functions
    }

    fn read_entries(&mut self) -> Result<()> {
        let mut entries = self.unit.entries_raw(None)?;
        // `entries` counts from 0 again after each jump.
        let mut base = 0;
        while !entries.is_empty() {
            let depth = base + entries.next_depth();
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            self.close(depth);
            if let Some(next) = self.read_entry(&mut entries, abbreviation, depth)? {
                entries = self.unit.entries_raw(Some(next))?;
                base = depth;
            }
        }
        Ok(())
    }

    /// Read an entry. Return the next one to read if that is not the one after it.
    fn read_entry(
        &mut self,
        entries: &mut EntriesRaw<'_, Slice<'d>>,
        abbreviation: &Abbreviation,
        depth: isize,
    ) -> Result<Option<UnitOffset>> {
        let start = entries.next_offset();
        let next = match abbreviation.tag() {
            dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine => {
                self.outermost = self.outermost.or(Some(depth));
                let attributes = Attributes::read(self.unit, entries, abbreviation)?;
                let ranges = self.ranges(&attributes);
                if ranges.is_empty() {
                    attributes.next.filter(|_| attributes.is_declaration)
                } else {
                    self.add(abbreviation.tag(), depth, &attributes, ranges);
                    None
                }
            }
            tag if self.is_without_code(tag) => skip_to_sibling(entries, abbreviation)?,
            _ => {
                entries.skip_attributes(abbreviation.attributes())?;
                None
            }
        };
        // A broken file could send the reader back.
        Ok(next.filter(|next| next.0 > start.0))
    }

    /// Return whether no entry inside one with a tag can have code.
    fn is_without_code(&self, tag: gimli::DwTag) -> bool {
        match tag {
            dw::DW_TAG_array_type | dw::DW_TAG_enumeration_type | dw::DW_TAG_subroutine_type => true,
            // In C and C++, types outside of functions have declarations only.
            dw::DW_TAG_class_type | dw::DW_TAG_structure_type | dw::DW_TAG_union_type => {
                self.is_c && self.outermost.is_none()
            }
            _ => false,
        }
    }

    /// Return the ranges of an entry that have code. Broken ones are left out.
    fn ranges(&self, attributes: &Attributes<'d>) -> Vec<Range> {
        if let Some(ranges) = attributes.ranges {
            return self.listed_ranges(ranges);
        }
        let Some(low) = attributes.low else { return Vec::new() };
        self.code.live(low, self.end(low, attributes.high).unwrap_or(low)).into_iter().collect()
    }

    fn listed_ranges(&self, ranges: AttributeValue<Slice<'d>>) -> Vec<Range> {
        let mut live = Vec::new();
        if let Ok(Some(mut ranges)) = self.unit.attr_ranges(ranges) {
            while let Ok(Some(range)) = ranges.next() {
                live.extend(self.code.live(range.begin, range.end));
            }
        }
        live
    }

    /// Return the end of a range, which an entry has as an address or as a size.
    fn end(&self, low: u64, high: Option<AttributeValue<Slice<'d>>>) -> Option<u64> {
        let high = high?;
        match self.unit.attr_address(high) {
            Ok(Some(address)) => Some(address),
            _ => low.checked_add(high.udata_value()?),
        }
    }

    fn add(&mut self, tag: gimli::DwTag, depth: isize, attributes: &Attributes<'d>, ranges: Vec<Range>) {
        let name = self.names.name(self.number, &attributes.names);
        if tag == dw::DW_TAG_subprogram {
            let function = Function { name, ranges, calls: Vec::new() };
            self.open.push(Open { function, depth, calls: Vec::new() });
        } else if let Some(open) = self.open.last_mut() {
            let file = self.lines.file(attributes.call_file);
            let call = Call { depth: open.calls.len() as u32, line: attributes.call_line, file, name, ranges };
            open.function.calls.push(call);
            open.calls.push(depth);
        }
    }

    /// Close the functions and calls that an entry of a depth is not inside of.
    fn close(&mut self, depth: isize) {
        self.outermost = self.outermost.filter(|outermost| *outermost < depth);
        while let Some(open) = self.open.pop_if(|open| open.depth >= depth) {
            self.functions.push(open.function);
        }
        if let Some(open) = self.open.last_mut() {
            while open.calls.pop_if(|call| *call >= depth).is_some() {}
        }
    }
}
