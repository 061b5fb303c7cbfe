//! Attributes of the entries of functions and inlined calls.

use gimli::{Abbreviation, AttributeValue, EntriesRaw, UnitOffset, UnitRef, constants as dw};

use crate::failure::Result;
use crate::names::NameAttributes;
use crate::units::Slice;

/// Attributes of the entry of a function or an inlined call.
#[derive(Default)]
pub struct Attributes<'d> {
    pub names: NameAttributes<'d>,
    pub low: Option<u64>,
    pub high: Option<AttributeValue<Slice<'d>>>,
    pub ranges: Option<AttributeValue<Slice<'d>>>,
    pub call_file: u64,
    pub call_line: u64,
    pub is_declaration: bool,
    /// Entry after this one and all those inside.
    pub next: Option<UnitOffset>,
}

impl<'d> Attributes<'d> {
    /// Read the attributes of an entry after its abbreviation.
    pub fn read(
        unit: UnitRef<'_, Slice<'d>>,
        entries: &mut EntriesRaw<'_, Slice<'d>>,
        abbreviation: &Abbreviation,
    ) -> Result<Self> {
        let mut found = Attributes::default();
        for specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            let value = attribute.value();
            match attribute.name() {
                dw::DW_AT_low_pc => found.low = unit.attr_address(value)?,
                dw::DW_AT_high_pc => found.high = Some(value),
                dw::DW_AT_ranges => found.ranges = Some(value),
                dw::DW_AT_call_file => found.call_file = file_number(value),
                dw::DW_AT_call_line => found.call_line = value.udata_value().unwrap_or(0),
                dw::DW_AT_declaration => found.is_declaration = value == AttributeValue::Flag(true),
                dw::DW_AT_sibling => found.next = sibling(value),
                name => {
                    found.names.keep(name, value);
                }
            }
        }
        Ok(found)
    }
}

/// Return the language of a unit.
fn language(unit: UnitRef<'_, Slice<'_>>) -> Result<Option<gimli::DwLang>> {
    let mut entries = unit.entries_raw(None)?;
    let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(None) };
    for specification in abbreviation.attributes() {
        let attribute = entries.read_attribute(*specification)?;
        if let (dw::DW_AT_language, AttributeValue::Language(language)) = (attribute.name(), attribute.value()) {
            return Ok(Some(language));
        }
    }
    Ok(None)
}

/// Return whether the language of a unit is C or C++.
pub fn is_c(unit: UnitRef<'_, Slice<'_>>) -> bool {
    const C: [gimli::DwLang; 9] = [
        dw::DW_LANG_C,
        dw::DW_LANG_C89,
        dw::DW_LANG_C99,
        dw::DW_LANG_C11,
        dw::DW_LANG_C_plus_plus,
        dw::DW_LANG_C_plus_plus_03,
        dw::DW_LANG_C_plus_plus_11,
        dw::DW_LANG_C_plus_plus_14,
        dw::DW_LANG_C_plus_plus_17,
    ];
    language(unit).is_ok_and(|language| language.is_some_and(|language| C.contains(&language)))
}

/// Skip the attributes of an entry. Return the entry after it and all those inside, if it gives that.
pub fn skip_to_sibling<'d>(
    entries: &mut EntriesRaw<'_, Slice<'d>>,
    abbreviation: &Abbreviation,
) -> Result<Option<UnitOffset>> {
    let attributes = abbreviation.attributes();
    let place = attributes.iter().position(|attribute| attribute.name() == dw::DW_AT_sibling);
    let Some((before, after)) = place.and_then(|place| attributes.split_at_checked(place)) else {
        entries.skip_attributes(attributes)?;
        return Ok(None);
    };
    let Some((specification, after)) = after.split_first() else { return Ok(None) };
    entries.skip_attributes(before)?;
    let next = sibling(entries.read_attribute(*specification)?.value());
    entries.skip_attributes(after)?;
    Ok(next)
}

fn file_number(value: AttributeValue<Slice<'_>>) -> u64 {
    match value {
        AttributeValue::FileIndex(number) => number,
        value => value.udata_value().unwrap_or(0),
    }
}

fn sibling(value: AttributeValue<Slice<'_>>) -> Option<UnitOffset> {
    match value {
        AttributeValue::UnitRef(offset) => Some(offset),
        _ => None,
    }
}
