//! Names of the entries of functions.

use std::borrow::Cow;

use gimli::{AttributeValue, UnitOffset, constants as dw};

use crate::failure::Result;
use crate::interner::{Interner, Map};
use crate::records::TextId;
use crate::units::{Place, Slice, Units};

/// References that a name is looked for through: an inlined call, its abstract entry, its declaration and so on.
const MAX_REFERENCES: u32 = 16;

/// Names that are kept at a time. More than that are found again when they are needed.
const MAX_KNOWN: usize = 1 << 20;

/// Attributes that name an entry.
#[derive(Clone, Copy, Default)]
pub struct NameAttributes<'d> {
    linkage_name: Option<AttributeValue<Slice<'d>>>,
    name: Option<AttributeValue<Slice<'d>>>,
    origin: Option<AttributeValue<Slice<'d>>>,
}

impl<'d> NameAttributes<'d> {
    /// Keep an attribute that names an entry. Return whether it is one.
    pub fn keep(&mut self, name: gimli::DwAt, value: AttributeValue<Slice<'d>>) -> bool {
        let place = match name {
            dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => &mut self.linkage_name,
            dw::DW_AT_name => &mut self.name,
            dw::DW_AT_abstract_origin | dw::DW_AT_specification => &mut self.origin,
            _ => return false,
        };
        *place = Some(value);
        true
    }
}

/// Names of entries, each found once.
pub struct EntryNames<'u, 'd> {
    units: &'u Units<'d>,
    known: Map<Place, TextId>,
    pub texts: Interner<'d>,
}

impl<'u, 'd> EntryNames<'u, 'd> {
    /// Return an empty set of names of units.
    pub fn new(units: &'u Units<'d>) -> Self {
        EntryNames { units, known: Map::default(), texts: Interner::default() }
    }

    /// Return the name of an entry: its linkage name, that of the entry it refers to, or its plain name.
    pub fn name(&mut self, unit: usize, attributes: &NameAttributes<'d>) -> TextId {
        if self.known.len() > MAX_KNOWN {
            self.known.clear();
        }
        self.find(unit, attributes, MAX_REFERENCES)
    }

    fn find(&mut self, unit: usize, attributes: &NameAttributes<'d>, references: u32) -> TextId {
        if let Some(name) = self.text(unit, attributes.linkage_name) {
            return name;
        }
        let place = attributes.origin.and_then(|origin| self.units.resolve(unit, origin));
        if let (Some(place), Some(references)) = (place, references.checked_sub(1)) {
            let name = self.at(place, references);
            if name != TextId::NONE {
                return name;
            }
        }
        self.text(unit, attributes.name).unwrap_or_default()
    }

    fn at(&mut self, place: Place, references: u32) -> TextId {
        if let Some(name) = self.known.get(&place) {
            return *name;
        }
        let attributes = self.attributes(place).unwrap_or_default();
        let name = self.find(place.unit, &attributes, references);
        self.known.insert(place, name);
        name
    }

    fn attributes(&self, place: Place) -> Result<NameAttributes<'d>> {
        let mut found = NameAttributes::default();
        let Some(unit) = self.units.get(place.unit) else { return Ok(found) };
        let mut entries = unit.entries_raw(Some(UnitOffset(place.offset.0)))?;
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(found) };
        for specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            found.keep(attribute.name(), attribute.value());
        }
        Ok(found)
    }

    fn text(&mut self, unit: usize, value: Option<AttributeValue<Slice<'d>>>) -> Option<TextId> {
        let text = self.units.get(unit)?.attr_string(value?).ok()?;
        Some(self.texts.intern(Cow::Borrowed(text.slice())))
    }
}
