//! Part of a file that the crate `object` reads, a few bytes at a time, and keeps.

use std::fs::File;
use std::ops::Range;

use object::ReadRef;
use object::read::ReadCacheRange;

/// Bytes that are read of a text whose end is not among them. Names are cut to fewer.
const MAX_TEXT_BYTES: u64 = 16 << 10;

/// Part of a file, read through a cache.
#[derive(Clone, Copy, Debug)]
pub struct CachedPart<'f>(ReadCacheRange<'f, File>);

impl<'f> CachedPart<'f> {
    /// Return a part that reads through a range of a cache.
    pub fn new(range: ReadCacheRange<'f, File>) -> Self {
        CachedPart(range)
    }

    /// Return a text that is longer than the cache reads, or its first bytes.
    fn long_text(self, range: Range<u64>, end: u8) -> Result<&'f [u8], ()> {
        let size = range.end.saturating_sub(range.start).min(MAX_TEXT_BYTES);
        let text = self.0.read_bytes_at(range.start, size)?;
        match text.iter().position(|byte| *byte == end) {
            Some(length) => text.get(..length).ok_or(()),
            None if size == MAX_TEXT_BYTES => Ok(text),
            None => Err(()),
        }
    }
}

impl<'f> ReadRef<'f> for CachedPart<'f> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'f [u8], ()> {
        self.0.read_bytes_at(offset, size)
    }

    // The cache gives up after 4 KiB, and names of C++ can be longer.
    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'f [u8], ()> {
        self.0.read_bytes_at_until(range.clone(), delimiter).or_else(|()| self.long_text(range, delimiter))
    }
}
