//! Symbol table of an object file.

use std::borrow::Cow;

use object::{
    Architecture, BinaryFormat, Export, ExportTarget, NameOrOrdinal, Object, ObjectSymbol, ReadRef, SectionIndex,
    SymbolKind,
};

use crate::demangle::is_mangled;
use crate::image::Image;
use crate::mini;

/// Name of an address.
pub struct Symbol<'f> {
    pub address: u64,
    /// Bytes of code, 0 if the symbol table does not give them.
    pub size: u64,
    pub name: Cow<'f, [u8]>,
}

impl Symbol<'_> {
    /// Return the same symbol with a copy of its name.
    pub fn into_owned(self) -> Symbol<'static> {
        Symbol { address: self.address, size: self.size, name: Cow::Owned(self.name.into_owned()) }
    }
}

/// Names of code, by address.
#[derive(Default)]
pub struct SymbolTable<'f>(Vec<Symbol<'f>>);

impl<'f> SymbolTable<'f> {
    /// Return the symbols of an object file.
    pub fn of(image: &Image<'f>) -> Self {
        let place = |(section, symbol): (_, Symbol<'f>)| {
            let address = image.layout.address(section, symbol.address);
            Symbol { address, ..symbol }
        };
        let mut symbols: Vec<Symbol<'f>> = code_symbols(&image.object).map(place).collect();
        symbols.extend(mini::symbols(image));
        symbols.extend(exports(image));
        SymbolTable::new(symbols)
    }

    /// Return a table of symbols in any order.
    pub fn new(mut symbols: Vec<Symbol<'f>>) -> Self {
        symbols.sort_by(|one, other| (one.address, &one.name).cmp(&(other.address, &other.name)));
        SymbolTable(symbols)
    }

    /// Return the mangled name of a function at an address; of several, the one that its plain name is part of.
    ///
    /// There is none if the plain name is that of a symbol there.
    pub fn mangled_at(&self, address: u64, name: &[u8]) -> Option<&[u8]> {
        if self.at(address).any(|symbol| symbol.name.as_ref() == name) {
            return None;
        }
        let mangled = || self.at(address).map(|symbol| symbol.name.as_ref()).filter(|name| is_mangled(name));
        mangled().find(|mangled| is_part(name, mangled)).or_else(|| mangled().next())
    }

    /// Return the address of the last symbol up to an address.
    pub fn last_before(&self, address: u64) -> Option<u64> {
        let after = self.0.partition_point(|symbol| symbol.address <= address);
        self.0.get(after.checked_sub(1)?).map(|symbol| symbol.address)
    }

    /// Return the first name of an address.
    pub fn name_at(&self, address: u64) -> Option<&[u8]> {
        self.at(address).next().map(|symbol| symbol.name.as_ref())
    }

    fn at(&self, address: u64) -> impl Iterator<Item = &Symbol<'f>> {
        let start = self.0.partition_point(|symbol| symbol.address < address);
        self.0.iter().skip(start).take_while(move |symbol| symbol.address == address)
    }

    /// Return one symbol for each address, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Symbol<'f>> {
        self.0.chunk_by(|one, other| one.address == other.address).filter_map(|symbols| symbols.first())
    }
}

/// Return the names of code in an object file, each with the section that it is in.
pub fn code_symbols<'d, R: ReadRef<'d>>(
    object: &object::File<'d, R>,
) -> impl Iterator<Item = (Option<SectionIndex>, Symbol<'d>)> {
    let is_thumb = object.architecture() == Architecture::Arm;
    let prefix: &[u8] = if object.format() == BinaryFormat::MachO { b"_" } else { b"" };
    let symbols = object.symbols().chain(object.dynamic_symbols());
    let code = symbols.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
    code.filter_map(move |symbol| {
        let name = symbol.name_bytes().ok()?;
        let name = Cow::Borrowed(name.strip_prefix(prefix).unwrap_or(name));
        // The lowest bit tells Thumb code from ARM code.
        let address = if is_thumb { symbol.address() & !1 } else { symbol.address() };
        Some((symbol.section_index(), Symbol { address, size: symbol.size(), name }))
    })
}

/// Return whether a mangled name has a name as one of its parts, which schemes write after their length.
fn is_part(name: &[u8], mangled: &[u8]) -> bool {
    let part = [name.len().to_string().as_bytes(), name].concat();
    mangled.windows(part.len()).any(|window| window == part)
}

/// Return what a PE file exports; most have no symbol table.
fn exports<'f>(image: &Image<'f>) -> Vec<Symbol<'f>> {
    if image.object.format() != BinaryFormat::Pe {
        return Vec::new();
    }
    let exports = image.object.exports().into_iter().flatten().filter_map(|export| export.ok());
    exports.filter_map(exported_symbol).collect()
}

fn exported_symbol(export: Export<'_>) -> Option<Symbol<'_>> {
    let ExportTarget::Address { address } = export.target() else { return None };
    match export.into_name() {
        NameOrOrdinal::Name(name) => Some(Symbol { address, size: 0, name }),
        NameOrOrdinal::Ordinal(_) => None,
    }
}
