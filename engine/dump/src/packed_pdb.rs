//! Compressed PDB files (microsoft/pdb-rs, "MSFZ Container Specification").
//!
//! They have the streams of a PDB file in another container. The same streams are put into the usual one, in memory,
//! which the reader of PDB files understands.

use std::path::Path;

use ms_pdb_msfz::Msfz;

use crate::failure::{Failure, Result};
use crate::pdb;

/// First bytes of a compressed PDB file.
pub const MAGIC: &[u8] = b"Microsoft MSFZ Container\r\n\x1aALD\0\0";

/// Bytes of one block of the container.
const BLOCK: usize = 4096;
/// Size of an absent stream.
const ABSENT: u32 = u32::MAX;
/// Numbers of the superblock and of the two free page maps.
const RESERVED: usize = 3;

/// Return the content of the uncompressed PDB file.
pub fn unpack(path: &Path) -> Result<Vec<u8>> {
    let packed = Msfz::open(path).map_err(Failure::new)?;
    let mut file = Container::new(packed.num_streams());
    for number in 0..packed.num_streams() {
        if packed.is_stream_valid(number) {
            file.add(&packed.read_stream(number).map_err(Failure::new)?)?;
        } else {
            file.sizes.push(ABSENT);
        }
    }
    file.finish()
}

/// MSF file in the making (LLVM, "The MSF File Format").
struct Container {
    content: Vec<u8>,
    /// Number of streams, then the size of each.
    sizes: Vec<u32>,
    /// Blocks of the streams, one stream after the other.
    blocks: Vec<u32>,
}

impl Container {
    fn new(streams: u32) -> Self {
        Container { content: vec![0; RESERVED * BLOCK], sizes: vec![streams], blocks: Vec::new() }
    }

    /// Add the next stream.
    fn add(&mut self, stream: &[u8]) -> Result<()> {
        self.sizes.push(number(stream.len())?);
        let blocks = self.append(stream)?;
        self.blocks.extend(blocks);
        Ok(())
    }

    /// Append bytes, and return the numbers of their blocks.
    fn append(&mut self, bytes: &[u8]) -> Result<std::ops::Range<u32>> {
        let first = number(self.content.len() / BLOCK)?;
        self.content.extend_from_slice(bytes);
        self.content.resize(self.content.len().next_multiple_of(BLOCK), 0);
        Ok(first..number(self.content.len() / BLOCK)?)
    }

    /// Append the directory and write the superblock.
    fn finish(mut self) -> Result<Vec<u8>> {
        let directory = [&self.sizes[..], &self.blocks[..]].concat();
        let directory: Vec<u8> = directory.into_iter().flat_map(u32::to_le_bytes).collect();
        let map: Vec<u8> = self.append(&directory)?.flat_map(u32::to_le_bytes).collect();
        let map = self.append(&map)?;
        let fields = [number(BLOCK)?, 1, map.end, number(directory.len())?, 0, map.start];
        let superblock = pdb::MAGIC.iter().copied().chain(fields.into_iter().flat_map(u32::to_le_bytes));
        self.content.iter_mut().zip(superblock).for_each(|(place, byte)| *place = byte);
        Ok(self.content)
    }
}

fn number(size: usize) -> Result<u32> {
    u32::try_from(size).map_err(|_| Failure::new("the PDB has a stream of more than 4 GiB"))
}
