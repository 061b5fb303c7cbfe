//! Units of the DWARF of a file, and references from one to another.

use std::ops;

use gimli::{
    AbbreviationsCacheStrategy, AttributeValue, Dwarf, DwarfPackageSections, DwarfSections, EndianSlice, RunTimeEndian,
    Section, SectionId, Unit, UnitOffset, UnitRef, UnitSectionOffset, constants as dw,
};

use crate::code::Code;
use crate::failure::{Failure, Result};
use crate::image::Image;
use crate::part::Part;
use crate::ranges::Range;

/// Part of a section.
pub type Slice<'d> = EndianSlice<'d, RunTimeEndian>;

/// Sections that functions and lines do not need; locations are among the largest of all.
const UNUSED: [SectionId; 8] = [
    SectionId::DebugAranges,
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugMacinfo,
    SectionId::DebugMacro,
    SectionId::DebugNames,
    SectionId::DebugPubNames,
    SectionId::DebugTypes,
];

/// Content of the DWARF sections of a file and of the two files that can belong to it.
pub struct DebugSections {
    endian: RunTimeEndian,
    main: DwarfSections<Vec<u8>>,
    supplementary: Option<DwarfSections<Vec<u8>>>,
    package: Option<DwarfPackageSections<Vec<u8>>>,
}

impl DebugSections {
    /// Read the sections of a file, of its supplementary file (dwz) and of its package (dwp).
    pub fn read(main: &Image<'_>, supplementary: Option<&Image<'_>>, package: Option<&Image<'_>>) -> Result<Self> {
        let load = |image: &Image<'_>| DwarfSections::load(|id| read_section(image, id));
        // The index of a package gives a part of each section, so none can be left out.
        let load_package =
            |image: &Image<'_>| DwarfPackageSections::load(|id| image.section(id.dwo_name().unwrap_or(id.name())));
        Ok(DebugSections {
            endian: main.endian(),
            main: load(main)?,
            supplementary: supplementary.map(load).transpose()?,
            package: package.map(load_package).transpose()?,
        })
    }
}

fn read_section(image: &Image<'_>, id: SectionId) -> Result<Vec<u8>> {
    if UNUSED.contains(&id) { Ok(Vec::new()) } else { image.section(id.name()) }
}

/// Place of an entry: its unit, by number, and its offset in the unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub unit: usize,
    pub offset: UnitOffset,
}

/// One unit, and the offset in `.debug_info` where it starts.
struct Member<'d> {
    start: usize,
    dwarf: usize,
    unit: Unit<Slice<'d>>,
}

/// Where to read a unit: its entries can be in a package, while its lines are in the file itself.
#[derive(Clone, Copy)]
pub struct Source {
    pub entries: usize,
    pub lines: usize,
}

/// Units of all files of a module, numbered: those of the file itself, of the supplementary file, of the package.
pub struct Units<'d> {
    dwarfs: Vec<Dwarf<Slice<'d>>>,
    members: Vec<Member<'d>>,
    main: ops::Range<usize>,
    supplementary: ops::Range<usize>,
    sources: Vec<Source>,
}

impl<'d> Units<'d> {
    /// Read the headers of all units.
    pub fn load(sections: &'d DebugSections) -> Result<Self> {
        let slice = |content: &'d Vec<u8>| EndianSlice::new(content.as_slice(), sections.endian);
        let mut units =
            Units { dwarfs: Vec::new(), members: Vec::new(), main: 0..0, supplementary: 0..0, sources: Vec::new() };
        let main = sections.main.borrow_with_sup(sections.supplementary.as_ref(), slice);
        let has_entries = !main.debug_info.reader().is_empty();
        units.main = units.add(main);
        if let Some(supplementary) = &sections.supplementary {
            units.supplementary = units.add(supplementary.borrow(slice));
        }
        units.sources = units.main.clone().map(|unit| Source { entries: unit, lines: unit }).collect();
        if let Some(package) = &sections.package {
            units.add_package(&package.borrow(slice, EndianSlice::new(&[], sections.endian))?);
        }
        if has_entries && units.main.is_empty() {
            return Err(Failure::new("no unit of .debug_info can be read"));
        }
        Ok(units)
    }

    /// Return where to read each unit of the file itself.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Add the units that a part needs to it, and those with an unknown place.
    pub fn choose(&self, mut part: Part, code: &Code) -> Part {
        for source in &self.sources {
            let Some(unit) = self.get(source.lines) else { continue };
            let mut ranges = live_ranges(unit, code).peekable();
            if ranges.peek().is_none() && is_whole(unit) {
                part.add(source.lines);
            }
            ranges.for_each(|range| part.add_range(source.lines, range));
        }
        part.complete();
        part
    }

    /// Return the unit with a number.
    pub fn get(&self, number: usize) -> Option<UnitRef<'_, Slice<'d>>> {
        let member = self.members.get(number)?;
        Some(UnitRef::new(self.dwarfs.get(member.dwarf)?, &member.unit))
    }

    /// Return the place that an attribute of a unit refers to.
    pub fn resolve(&self, from: usize, reference: AttributeValue<Slice<'d>>) -> Option<Place> {
        match reference {
            AttributeValue::UnitRef(offset) => Some(Place { unit: from, offset }),
            AttributeValue::DebugInfoRef(offset) => self.find(self.neighbours(from), offset.0),
            AttributeValue::DebugInfoRefSup(offset) => self.find(self.supplementary.clone(), offset.0),
            _ => None,
        }
    }

    /// Return the units that share a `.debug_info` with a unit; those of a package are on their own.
    fn neighbours(&self, unit: usize) -> ops::Range<usize> {
        let shared = [&self.main, &self.supplementary].into_iter().find(|range| range.contains(&unit));
        shared.cloned().unwrap_or(unit..unit + 1)
    }

    fn find(&self, range: ops::Range<usize>, offset: usize) -> Option<Place> {
        let first = range.start;
        let members = self.members.get(range)?;
        let before = members.partition_point(|member| member.start <= offset).checked_sub(1)?;
        let offset = UnitOffset(offset - members.get(before)?.start);
        Some(Place { unit: first + before, offset })
    }

    /// Add the units of a file. Those that cannot be read are left out, the others still have their symbols.
    fn add(&mut self, mut dwarf: Dwarf<Slice<'d>>) -> ops::Range<usize> {
        let first = self.members.len();
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let UnitSectionOffset(start) = header.offset();
            if let Ok(unit) = dwarf.unit(header) {
                self.members.push(Member { start, dwarf: self.dwarfs.len(), unit });
            }
        }
        self.dwarfs.push(dwarf);
        first..self.members.len()
    }

    /// Add the units of a package whose skeletons are in the file.
    fn add_package(&mut self, package: &gimli::DwarfPackage<Slice<'d>>) {
        for skeleton in self.main.clone() {
            if let Some((dwarf, unit)) = self.split_unit(package, skeleton) {
                if let Some(source) = self.sources.get_mut(skeleton) {
                    source.entries = self.members.len();
                }
                self.members.push(Member { start: 0, dwarf: self.dwarfs.len(), unit });
                self.dwarfs.push(dwarf);
            }
        }
    }

    fn split_unit(
        &self,
        package: &gimli::DwarfPackage<Slice<'d>>,
        skeleton: usize,
    ) -> Option<(Dwarf<Slice<'d>>, Unit<Slice<'d>>)> {
        let skeleton = self.get(skeleton)?;
        let dwarf = package.find_cu(skeleton.dwo_id?, skeleton.dwarf).ok()??;
        let header = dwarf.units().next().ok()??;
        let mut unit = dwarf.unit(header).ok()?;
        unit.copy_relocated_attributes(skeleton.unit);
        Some((dwarf, unit))
    }
}

/// Return the ranges of a unit that have code.
fn live_ranges<'d>(unit: UnitRef<'_, Slice<'d>>, code: &Code) -> impl Iterator<Item = Range> {
    let mut ranges = unit.unit_ranges().ok();
    let next = move || ranges.as_mut()?.next().ok()?;
    std::iter::from_fn(next).filter_map(|range| code.live(range.begin, range.end))
}

/// Return whether a unit is that of a source file, and not a part that others have in common.
fn is_whole(unit: UnitRef<'_, Slice<'_>>) -> bool {
    let entry = unit.entries_raw(None).and_then(|mut entries| entries.read_abbreviation());
    entry.is_ok_and(|entry| entry.is_some_and(|entry| entry.tag() == dw::DW_TAG_compile_unit))
}
