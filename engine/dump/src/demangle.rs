//! Names of functions as people read them, spelled as Mozilla's `dump_syms` does it.
//!
//! Crash signatures are made of these names, so that another spelling would split a signature in two.

use std::borrow::Cow;

use symbolic_common::{Language, Name, NameMangling};
use symbolic_demangle::{Demangle, DemangleOptions};

/// Bytes of a mangled name. Longer ones stay as they are; the demangler has a bound of its own for what it writes.
const MAX_MANGLED: usize = 4096;

/// Bytes of a name or a path, as in the page format (`tecken/symbols/pagefile/bounds.py`).
const MAX_NAME_BYTES: usize = 8 << 10;

/// Name of a function without one.
pub const OMITTED: &[u8] = b"<name omitted>";

/// Return whether a name is mangled by one of the schemes that can be undone.
pub fn is_mangled(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 6] = [b"_Z", b"__Z", b"_R", b"__R", b"?", b"@?"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Return the name and the parameters of a function.
pub fn demangle(name: &[u8]) -> Cow<'_, [u8]> {
    if name.is_empty() {
        return Cow::Borrowed(OMITTED);
    }
    match demangle_mangled(name) {
        Some(readable) => Cow::Owned(cut(readable.as_bytes()).to_vec()),
        None => Cow::Borrowed(cut(name)),
    }
}

/// Return a text within the bound on names, cut between two characters.
pub fn cut(name: &[u8]) -> &[u8] {
    let mut end = name.len().min(MAX_NAME_BYTES);
    while end < name.len() && end > 0 && name.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}

fn demangle_mangled(name: &[u8]) -> Option<String> {
    if !is_mangled(name) || name.len() > MAX_MANGLED {
        return None;
    }
    let text = std::str::from_utf8(name).ok()?;
    let options = DemangleOptions::name_only().parameters(true);
    let mut readable = languages(text).iter().find_map(|language| {
        let name = Name::new(text, NameMangling::Mangled, *language);
        name.demangle(options)
    })?;
    // A part that the compiler moved or copied has the name of its function.
    if let Some(clone) = readable.find(" [clone ") {
        readable.truncate(clone);
    }
    Some(readable)
}

/// Return the languages that a mangled name can be of. The older scheme of Rust is that of C++ with a hash.
fn languages(name: &str) -> &'static [Language] {
    if name.starts_with("_R") || name.starts_with("__R") {
        &[Language::Rust]
    } else if has_rust_hash(name) {
        &[Language::Rust, Language::Cpp]
    } else {
        &[Language::Cpp]
    }
}

/// Return whether a name has the hash that Rust appends: `17h`, 16 hexadecimal digits, `E`.
fn has_rust_hash(name: &str) -> bool {
    let name = name.split_once(".llvm.").map_or(name, |(name, _)| name);
    name.ends_with('E')
        && name.len().checked_sub(20).and_then(|at| name.get(at..)).is_some_and(|end| end.starts_with("17h"))
}
