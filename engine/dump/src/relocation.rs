//! Relocation of files that are not linked, such as kernel modules.
//!
//! Their sections begin at address 0 each. Here, those with code follow each other in the order of the file, so that
//! the first one, `.text`, begins at 0, where a loaded module begins as well.

use object::{
    Object, ObjectKind, ObjectSection, ObjectSymbol, ReadRef, Relocation, RelocationKind, RelocationTarget,
    SectionIndex,
};

use crate::image::is_code;
use crate::interner::Map;

/// Addresses of the sections with code; none for a linked file, which has its addresses already.
#[derive(Default)]
pub struct Layout(Map<SectionIndex, u64>);

impl Layout {
    /// Return the layout of an object file.
    pub fn of<'f>(object: &object::File<'f, impl ReadRef<'f>>) -> Self {
        let mut layout = Layout::default();
        if object.kind() != ObjectKind::Relocatable {
            return layout;
        }
        let mut next = 0_u64;
        for section in object.sections().filter(is_code) {
            let start = next.checked_next_multiple_of(section.align().max(1)).unwrap_or(next);
            layout.0.insert(section.index(), start);
            next = start.saturating_add(section.size());
        }
        layout
    }

    /// Return whether the file has its addresses already.
    pub fn is_linked(&self) -> bool {
        self.0.is_empty()
    }

    /// Return the address of something at an address of a section.
    pub fn address(&self, section: Option<SectionIndex>, address: u64) -> u64 {
        let start = section.and_then(|section| self.0.get(&section)).copied().unwrap_or(0);
        start.wrapping_add(address)
    }

    /// Write the addresses that a section refers to into its content.
    pub fn relocate<'f, R: ReadRef<'f>>(
        &self,
        object: &object::File<'f, R>,
        section: &impl ObjectSection<'f>,
        content: &mut [u8],
    ) {
        if self.is_linked() {
            return;
        }
        for (offset, relocation) in section.relocations() {
            if let Some(value) = self.value(object, &relocation) {
                write(content, offset, value, &relocation, object.is_little_endian());
            }
        }
    }

    /// Return the address that a relocation refers to. Debug sections need no other kind.
    fn value<'f, R: ReadRef<'f>>(&self, object: &object::File<'f, R>, relocation: &Relocation) -> Option<u64> {
        if relocation.kind() != RelocationKind::Absolute || relocation.has_implicit_addend() {
            return None;
        }
        let target = match relocation.target() {
            RelocationTarget::Symbol(index) => {
                let symbol = object.symbol_by_index(index).ok()?;
                self.address(symbol.section_index(), symbol.address())
            }
            RelocationTarget::Section(index) => self.address(Some(index), 0),
            _ => return None,
        };
        Some(target.wrapping_add(relocation.addend() as u64))
    }
}

fn write(content: &mut [u8], offset: u64, value: u64, relocation: &Relocation, is_little_endian: bool) {
    let size = usize::from(relocation.size() / 8).min(8);
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let Some(place) = content.get_mut(start..start.saturating_add(size)) else { return };
    if is_little_endian {
        place.copy_from_slice(&value.to_le_bytes()[..size]);
    } else {
        place.copy_from_slice(&value.to_be_bytes()[8 - size..]);
    }
}
