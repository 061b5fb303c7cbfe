//! Unwind information: STACK records of an executable.
//!
//! `symbolic-cfi` is what Mozilla's `dump_syms` uses, so stack walkers read the records that they know.

use std::collections::HashSet;
use std::iter;
use std::panic;

use symbolic_cfi::AsciiCfiWriter;
use symbolic_debuginfo::Object;

use crate::failure::{Failure, Result};
use crate::image::Image;

/// Sections with unwind information; a debug file has them without their bytes.
const SECTIONS: [&str; 5] = [".eh_frame", ".debug_frame", "__unwind_info", ".pdata", ".zdebug_frame"];

/// Return whether an object file has unwind information.
pub fn has_records(image: &Image<'_>) -> bool {
    image.has(&SECTIONS)
}

/// Return the STACK records in the content of an object file or a PDB file.
pub fn read(content: &[u8]) -> Result<Vec<u8>> {
    let transform = || {
        let object = Object::parse(content).map_err(Failure::new)?;
        AsciiCfiWriter::transform(&object).map_err(Failure::new)
    };
    // Where broken unwind information makes the library panic, the symbols before it are still of use.
    panic::catch_unwind(transform).unwrap_or_else(|_| Err(Failure::new("broken unwind information")))
}

/// Add the records of an executable that are not in the text already. A debug file that is not stripped has the same.
pub fn merge(mut text: Vec<u8>, executable: Vec<u8>) -> Vec<u8> {
    if text.is_empty() {
        return executable;
    }
    let known: HashSet<&[u8]> = records(&text).collect();
    let missing = records(&executable).filter(|record| !known.contains(record)).collect::<Vec<_>>().concat();
    text.extend(missing);
    text
}

/// Return the records of a text: INIT records with their changes, and WIN records.
fn records(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        let mut lines = text.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next()?.len();
        let changes: usize = lines.take_while(|line| is_change(line)).map(<[u8]>::len).sum();
        let (record, rest) = text.split_at(first + changes);
        text = rest;
        Some(record)
    })
}

fn is_change(line: &[u8]) -> bool {
    line.starts_with(b"STACK CFI ") && !line.starts_with(b"STACK CFI INIT ")
}
