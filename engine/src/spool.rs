//! Text of a symbol file, written once and then read mostly in order.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// Place of the text: a file, or memory for a caller without one.
pub enum Spool {
    File(File),
    Memory(Vec<u8>),
}

impl Spool {
    /// Open the file of a descriptor once more, so that this spool has a file of its own.
    pub fn of_descriptor(descriptor: i32) -> io::Result<Self> {
        let path = format!("/dev/fd/{descriptor}");
        Ok(Spool::File(OpenOptions::new().read(true).write(true).open(path)?))
    }

    pub fn append(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Spool::File(file) => file.write_all(text),
            Spool::Memory(kept) => {
                kept.extend_from_slice(text);
                Ok(())
            }
        }
    }

    /// Return the text from `start` on.
    pub fn read(&self, start: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Spool::File(file) => {
                let mut text = vec![0; length];
                file.read_exact_at(&mut text, start)?;
                Ok(Cow::Owned(text))
            }
            Spool::Memory(kept) => {
                let range = start as usize..start as usize + length;
                kept.get(range).map(Cow::Borrowed).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}
