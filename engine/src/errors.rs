//! The error of the lookup.
#![forbid(unsafe_code)]

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
}
