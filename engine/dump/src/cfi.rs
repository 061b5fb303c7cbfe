//! Unwind information: STACK records of an executable.
//!
//! `symbolic-cfi` is what Mozilla's `dump_syms` uses, so stack walkers read the records that they know.

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
