//! Rendering of a frame as the part of its JSON that is cached (see `symbolication/api/answer.py`).
#![forbid(unsafe_code)]

use std::io::Write;

use crate::block::Hit;
use crate::names::strip;

/// Version of the API.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V4,
    V5,
}

/// Name of a function or an inlined call without one.
const UNKNOWN: &str = "<unknown>";

/// Texts of the names of a hit, by number.
pub trait Names {
    fn file(&self, number: i128) -> &[u8];
    fn origin(&self, number: i128) -> &[u8];
}

/// Append the fragment of a frame to `out`; None is a frame without symbols.
pub fn fragment(out: &mut Vec<u8>, version: Version, offset: u32, hit: Option<&Hit>, names: &impl Names) {
    match (version, hit) {
        (Version::V4, None) => push_hex(out, b"\"", i128::from(offset)),
        (Version::V4, Some(hit)) => {
            out.push(b'"');
            push_escaped(out, &function(hit));
        }
        (Version::V5, None) => {
            push_hex(out, b"\"module_offset\":\"", i128::from(offset));
            out.extend_from_slice(b"\"}");
        }
        (Version::V5, Some(hit)) => symbol(out, i128::from(offset), hit, names),
    }
}

fn symbol(out: &mut Vec<u8>, offset: i128, hit: &Hit, names: &impl Names) {
    push_hex(out, b"\"module_offset\":\"", offset);
    push_text(out, b"\",\"function\":\"", &function(hit));
    push_hex(out, b"\",\"function_offset\":\"", offset - hit.entry);
    if hit.size != 0 {
        push_hex(out, b"\",\"function_size\":\"", hit.size);
    }
    out.push(b'"');
    // The outermost place is that of the frame; the others are those of the inlined calls, the deepest first.
    if let Some((site, inner)) = hit.sites.split_last() {
        push_place(out, names.file(site.file), site.line);
        for (i, (site, origin)) in inner.iter().zip(&hit.origins).enumerate() {
            out.extend_from_slice(if i == 0 { b",\"inlines\":[" } else { b"," });
            let name = String::from_utf8_lossy(names.origin(*origin));
            let name = strip(&name);
            push_text(out, b"{\"function\":\"", if name.is_empty() { UNKNOWN } else { name });
            out.push(b'"');
            push_place(out, names.file(site.file), site.line);
            out.push(b'}');
        }
        if !inner.is_empty() {
            out.push(b']');
        }
    }
    out.push(b'}');
}

fn function(hit: &Hit) -> std::borrow::Cow<'_, str> {
    if hit.function.is_empty() { UNKNOWN.into() } else { String::from_utf8_lossy(&hit.function) }
}

fn push_place(out: &mut Vec<u8>, file: &[u8], line: u32) {
    let file = String::from_utf8_lossy(file);
    let file = strip(&file);
    if file.is_empty() {
        return;
    }
    push_text(out, b",\"file\":\"", file);
    out.push(b'"');
    if line != 0 {
        out.extend_from_slice(b",\"line\":");
        push_decimal(out, line);
    }
}

/// Append `start` and Python's `hex(number)`.
fn push_hex(out: &mut Vec<u8>, start: &[u8], number: i128) {
    out.extend_from_slice(start);
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(b"0x");
    // Writing to a vector cannot fail.
    let _ = match u32::try_from(number) {
        Ok(number) => write!(out, "{number:x}"),
        Err(_) => write!(out, "{:x}", number.unsigned_abs()),
    };
}

fn push_decimal(out: &mut Vec<u8>, number: u32) {
    let _ = write!(out, "{number}");
}

fn push_text(out: &mut Vec<u8>, start: &[u8], text: &str) {
    out.extend_from_slice(start);
    push_escaped(out, text);
}

/// Append a text as the inside of a JSON string, escaped as orjson does it.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let mut plain = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(text.as_bytes().get(plain..i).unwrap_or_default());
        plain = i + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.extend_from_slice(text.as_bytes().get(plain..).unwrap_or_default());
}
