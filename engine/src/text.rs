//! Bytes as Python's `bytes` methods see them.
#![forbid(unsafe_code)]

use crate::numbers::{fields, is_space};

pub fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|byte| is_space(*byte))
}

/// Return `len(text.split())`.
pub fn count_fields(text: &[u8]) -> usize {
    fields(text).count()
}

/// Return `text.split(None, splits)`.
pub fn split_fields(text: &[u8], splits: usize) -> Vec<&[u8]> {
    let mut rest = fields(text);
    let mut found: Vec<&[u8]> = rest.by_ref().take(splits).collect();
    let begin = rest.rest.iter().position(|byte| !is_space(*byte));
    found.extend(begin.and_then(|begin| rest.rest.get(begin..)));
    found
}
