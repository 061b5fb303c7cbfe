//! The error of the lookup.
#![forbid(unsafe_code)]

/// Bytes of a record that an error shows.
const SHOWN: usize = 80;

/// A page that is not valid: a text, or the start of the record that is neither FUNC nor PUBLIC.
#[derive(Debug)]
pub enum MalformedPage {
    Text(String),
    Record(Vec<u8>),
}

impl MalformedPage {
    pub fn text(text: &str) -> Self {
        MalformedPage::Text(text.to_owned())
    }

    pub fn record(record: &[u8]) -> Self {
        MalformedPage::Record(record.get(..SHOWN).unwrap_or(record).to_vec())
    }
}
