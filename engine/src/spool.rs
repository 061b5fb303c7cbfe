//! Text of a symbol file, written once and then read mostly in order.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// Bytes at the start of the text that stay in memory. Most modules have no more, and a file costs as much as the scan.
const IN_MEMORY: usize = 8 << 20;

/// Place of the text: its start in memory, and the rest in a file.
pub struct Spool {
    start: Vec<u8>,
    /// None for a caller without a file, whose text is in memory alone.
    rest: Option<File>,
}

impl Spool {
    pub fn in_memory() -> Self {
        Spool { start: Vec::new(), rest: None }
    }

    /// Open the file of a descriptor once more, so that this spool has a file of its own.
    pub fn of_descriptor(descriptor: i32) -> io::Result<Self> {
        let path = format!("/dev/fd/{descriptor}");
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Spool { start: Vec::new(), rest: Some(file) })
    }

    pub fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let room = if self.rest.is_some() { IN_MEMORY - self.start.len() } else { text.len() };
        let (first, second) = text.split_at(room.min(text.len()));
        if first.len() > self.start.capacity() - self.start.len() {
            // All at once: a vector that doubles leaves its former places to the allocator.
            let wanted = if self.start.is_empty() { first.len() } else { IN_MEMORY.max(first.len()) };
            self.start.try_reserve_exact(wanted).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
        self.start.extend_from_slice(first);
        self.rest.as_mut().map_or(Ok(()), |file| file.write_all(second))
    }

    /// Return the text from `begin` on.
    pub fn read(&self, begin: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        let size = self.start.len() as u64;
        let end = begin + length as u64;
        if let Some(text) = self.start.get(begin as usize..end as usize) {
            return Ok(Cow::Borrowed(text));
        }
        let file = self.rest.as_ref().ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut text = self.start.get(begin as usize..).unwrap_or_default().to_vec();
        let in_memory = text.len();
        text.resize(length, 0);
        file.read_exact_at(&mut text[in_memory..], begin.saturating_sub(size))?;
        Ok(Cow::Owned(text))
    }
}
