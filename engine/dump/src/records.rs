//! Symbols of a module, independent of the format that they come from.

use std::borrow::Cow;

use crate::ranges::Range;

/// Number of a text in the order in which texts were first used; 0 is the absent text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(pub u32);

impl TextId {
    /// The absent text.
    pub const NONE: TextId = TextId(0);
}

/// Function: its ranges, and the calls that were inlined into it.
#[derive(Debug)]
pub struct Function {
    pub name: TextId,
    pub ranges: Vec<Range>,
    pub calls: Vec<Call>,
}

/// Inlined call: the place of the call, and the function that is called.
#[derive(Debug)]
pub struct Call {
    /// Number of inlined calls around this one.
    pub depth: u32,
    pub line: u64,
    pub file: TextId,
    pub name: TextId,
    pub ranges: Vec<Range>,
}

/// Instructions of one source line.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub range: Range,
    pub file: TextId,
    pub line: u64,
}

/// Symbols of one unit, and the texts that no earlier batch had.
#[derive(Debug, Default)]
pub struct Batch<'d> {
    pub names: Vec<Cow<'d, [u8]>>,
    pub files: Vec<Cow<'d, [u8]>>,
    pub functions: Vec<Function>,
    /// Lines by address; those of all functions.
    pub lines: Vec<Line>,
}
