//! Compiled form of Tecken's page files (docs/adr/0014-engine.md).
//!
//! `reader.rs`, `frames.rs`, `cutter.rs` and this file are the glue between Python and the other modules, which are plain Rust. The
//! Python form beside it gives the same results, but does not pack blocks; `tecken/symbols/engine.py` chooses one.

mod block;
mod bounds;
mod cache;
mod compress;
mod cut;
mod cutter;
mod errors;
mod frames;
mod lookup;
mod names;
mod numbers;
mod packed;
mod page;
mod paths;
mod ranges;
mod reader;
mod render;
mod runs;
mod scan;
mod spool;
mod stack;
mod text;
mod tiers;

use pyo3::prelude::*;

/// Number of the interface between this module and `tecken/symbols/engine.py`, which accepts one number only.
const INTERFACE: u32 = 8;

#[pymodule]
mod tecken_engine {
    use super::*;

    #[pymodule_export]
    use super::cutter::{Cutter, Refused, StackRecords, expand, pack};
    #[pymodule_export]
    use super::frames::{FrameCache, Frames, join_stack};
    #[pymodule_export]
    use super::reader::{LoadedPage, Malformed, PageCache, Reader, Search};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("INTERFACE", INTERFACE)
    }
}
