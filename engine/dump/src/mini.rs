//! Symbols that an ELF file has packed in a section of its own (GDB manual, "MiniDebugInfo").

use std::io::Read;

use lzma_rust2::XzReader;

use crate::image::Image;
use crate::symbols::{Symbol, code_symbols};

const SECTION: &str = ".gnu_debugdata";

/// Bytes that are read of an unpacked section. The symbols of the largest libraries take a few megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// Return the packed symbols of a file; none if there are none, or if they cannot be read.
pub fn symbols(image: &Image<'_>) -> Vec<Symbol<'static>> {
    let content = image.section(SECTION).ok().and_then(|packed| unpack(&packed)).unwrap_or_default();
    let Ok(object) = object::File::parse(content.as_slice()) else { return Vec::new() };
    code_symbols(&object).map(|(_, symbol)| symbol.into_owned()).collect()
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    XzReader::new(packed, false).take(MAX_BYTES).read_to_end(&mut content).ok()?;
    Some(content)
}
