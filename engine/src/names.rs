//! Names of files and inlined functions, by number (see `lookup.name`).
#![forbid(unsafe_code)]

use crate::page::Page;

/// Return the text of a number in a page of FILE or INLINE_ORIGIN records, empty for an unknown number.
///
/// Of several records with the same number, the last one counts.
pub fn text_of<'a>(page: Page<'a>, number: i128) -> &'a [u8] {
    let keys = page.keys;
    match keys.bisect_right(number, 0, keys.len()).checked_sub(1) {
        Some(at) if i128::from(keys.get(at)) == number => page.text(at),
        _ => &[],
    }
}

/// Return a name without white space at both ends, as Python's `str.strip()` does it.
pub fn strip(name: &str) -> &str {
    name.trim_matches(|char: char| char.is_whitespace() || ('\x1c'..='\x1f').contains(&char))
}
