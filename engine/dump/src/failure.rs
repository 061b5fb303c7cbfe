//! Reason why a file cannot be dumped.

use std::fmt;

/// Reason in one line, for the person who uploaded the file.
#[derive(Debug)]
pub struct Failure(String);

/// Result that can be a failure.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Return a failure with a reason or the text of an error.
    pub fn new(reason: impl fmt::Display) -> Self {
        Failure(reason.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line: String = self.0.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        formatter.write_str(&line)
    }
}

/// Let `?` turn errors of these libraries into a failure.
macro_rules! fail_with {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::new(error)
            }
        })*
    };
}

fail_with!(std::io::Error, gimli::Error, object::Error, pdb_addr2line::Error, pdb_addr2line::pdb::Error);
