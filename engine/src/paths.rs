//! Cleaning of source paths (see `source_paths.py`). Bytes that are no UTF-8 stay as they are.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use memchr::{memchr, memmem};

const SEPARATORS: &[u8] = b"/\\";

/// Return a source path in the form of responses.
pub fn clean_path(path: &[u8]) -> Cow<'_, [u8]> {
    let text = strip(path);
    if is_plain(text) {
        return Cow::Borrowed(path);
    }
    let cleaned = clean(text);
    if cleaned == text { Cow::Borrowed(path) } else { Cow::Owned(cleaned) }
}

/// Return what Python's `str.strip()` returns.
fn strip(mut text: &[u8]) -> &[u8] {
    while let Some(size) = SPACES.iter().find(|space| text.starts_with(space)).map(|space| space.len()) {
        text = &text[size..];
    }
    while let Some(size) = SPACES.iter().find(|space| text.ends_with(space)).map(|space| space.len()) {
        text = &text[..text.len() - size];
    }
    text
}

/// White space in UTF-8. A lead byte is never inside another character, so these are found bytewise.
const SPACES: [&[u8]; 29] = [
    b" ",
    b"\t",
    b"\n",
    b"\x0b",
    b"\x0c",
    b"\r",
    b"\x1c",
    b"\x1d",
    b"\x1e",
    b"\x1f",
    "\u{85}".as_bytes(),
    "\u{a0}".as_bytes(),
    "\u{1680}".as_bytes(),
    "\u{2000}".as_bytes(),
    "\u{2001}".as_bytes(),
    "\u{2002}".as_bytes(),
    "\u{2003}".as_bytes(),
    "\u{2004}".as_bytes(),
    "\u{2005}".as_bytes(),
    "\u{2006}".as_bytes(),
    "\u{2007}".as_bytes(),
    "\u{2008}".as_bytes(),
    "\u{2009}".as_bytes(),
    "\u{200a}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{2029}".as_bytes(),
    "\u{202f}".as_bytes(),
    "\u{205f}".as_bytes(),
    "\u{3000}".as_bytes(),
];

fn is_plain(path: &[u8]) -> bool {
    let may_change = memchr(b'\\', path).is_some()
        || memmem::find(path, b"//").is_some()
        || memmem::find(path, b"/.").is_some()
        || path.first() == Some(&b'.')
        || path.get(1) == Some(&b':');
    !may_change && !matches!(path.last(), Some(b'/' | b'>' | b':'))
}

fn clean(path: &[u8]) -> Vec<u8> {
    let trimmed = match trim_separators(path) {
        [] => path,
        trimmed => trimmed,
    };
    match trimmed.iter().rposition(|byte| SEPARATORS.contains(byte)) {
        Some(cut) => simplify(&join(&trimmed[..cut.max(1)], &trimmed[cut + 1..])),
        None => simplify(&join(b"", trimmed)),
    }
}

fn trim_separators(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| !SEPARATORS.contains(byte)).map_or(0, |last| last + 1);
    &path[..end]
}

fn join<'a>(directory: &'a [u8], name: &'a [u8]) -> Cow<'a, [u8]> {
    let is_special = name.starts_with(b"<") && name.ends_with(b">");
    if directory.is_empty() || is_special || has_drive(name) {
        return Cow::Borrowed(name);
    }
    if name.is_empty() {
        return Cow::Borrowed(directory);
    }
    let mut path = trim_separators(directory).to_vec();
    path.push(separator(directory));
    path.extend_from_slice(name);
    Cow::Owned(path)
}

fn simplify(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = path.split(|byte| SEPARATORS.contains(byte)).collect();
    if segments.last().is_some_and(|last| last.is_empty()) {
        segments.pop();
    }
    let mut result: Vec<&[u8]> = Vec::new();
    let mut is_above_root = false;
    for segment in segments {
        if segment == b".." && !is_above_root {
            is_above_root = result.is_empty() || result == [b""];
            if is_above_root {
                result = vec![segment];
            } else {
                remove_last(&mut result);
            }
        } else if segment != b"." {
            result.push(segment);
        }
    }
    result.join(&[separator(path)][..])
}

/// Remove the last segment, and the root when nothing else is left.
fn remove_last(segments: &mut Vec<&[u8]>) {
    segments.pop();
    if *segments == [b""] {
        segments.pop();
    }
}

fn separator(path: &[u8]) -> u8 {
    let is_windows = memchr(b'\\', path).is_some() || path.starts_with(b"//") || has_drive(path);
    if is_windows { b'\\' } else { b'/' }
}

fn has_drive(path: &[u8]) -> bool {
    match path {
        [letter, b':', rest @ ..] => letter.is_ascii_alphabetic() && matches!(rest.first(), None | Some(b'/' | b'\\')),
        _ => false,
    }
}
