//! Content of a section, unpacked.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;
use object::{CompressedFileRange, CompressionFormat};

use crate::failure::{Failure, Result};

/// Bytes that one byte of zlib can become; a header that claims more is wrong.
const MAX_RATIO: u64 = 1040;

/// Read a section at its place in a file, and unpack it.
pub fn read(file: &mut File, place: &CompressedFileRange) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(place.offset))?;
    let packed = file.take(place.compressed_size);
    match place.format {
        CompressionFormat::None => read_plain(packed, place.uncompressed_size),
        CompressionFormat::Zlib => read_zlib(packed, place),
        CompressionFormat::Zstandard => read_zstd(packed, place.uncompressed_size),
        _ => Err(Failure::new("a section has an unknown compression")),
    }
}

fn read_plain(mut section: impl Read, size: u64) -> Result<Vec<u8>> {
    let mut content = room(size)?;
    section.read_to_end(&mut content)?;
    Ok(content)
}

fn read_zlib(packed: impl Read, place: &CompressedFileRange) -> Result<Vec<u8>> {
    if place.uncompressed_size / MAX_RATIO > place.compressed_size {
        return Err(Failure::new("a compressed section gives a size that it cannot have"));
    }
    let mut content = room(place.uncompressed_size)?;
    let unpacked = ZlibDecoder::new(BufReader::with_capacity(1 << 16, packed));
    unpacked.take(place.uncompressed_size).read_to_end(&mut content)?;
    Ok(content)
}

fn read_zstd(packed: impl Read, size: u64) -> Result<Vec<u8>> {
    let mut content = room(size)?;
    let packed = read_plain(packed, 0)?;
    zstd_safe::decompress(&mut content, &packed)
        .map_err(|code| Failure::new(format!("zstd: {}", zstd_safe::get_error_name(code))))?;
    Ok(content)
}

/// Return an empty vector with room for a section.
fn room(size: u64) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let is_possible = usize::try_from(size).is_ok_and(|size| content.try_reserve_exact(size).is_ok());
    is_possible.then_some(content).ok_or_else(|| Failure::new(format!("no memory for a section of {size} bytes")))
}
