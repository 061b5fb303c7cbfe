//! Layout of one page and its decompression (see `pagefile/page.py`).
#![forbid(unsafe_code)]

use std::cell::RefCell;

use zstd_safe::{DCtx, DDict};

use crate::errors::MalformedPage;

/// Largest page that is opened (see `pagefile/file.py`).
const MAX_PAGE_BYTES: u64 = 8 << 20;

thread_local! {
    // A context has 160 KB, and serves one thread at a time.
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// Decompress one page into `out`, which is replaced.
pub fn decompress(packed: &[u8], dictionary: Option<&DDict<'static>>, out: &mut Vec<u8>) -> Result<(), MalformedPage> {
    let size = match zstd_safe::get_frame_content_size(packed) {
        Ok(Some(size)) if 0 < size && size <= MAX_PAGE_BYTES => size as usize,
        _ => return Err(MalformedPage::text("page does not say a likely size")),
    };
    // Bytes after the frame are ignored, as in the Python form.
    let end = zstd_safe::find_frame_compressed_size(packed).map_err(zstd_error)?;
    let frame = packed.get(..end).unwrap_or(packed);
    out.clear();
    out.reserve(size);
    let written = CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(DCtx::try_create().ok_or_else(|| MalformedPage::text("no memory for zstd"))?),
        };
        match dictionary {
            Some(dictionary) => context.decompress_using_ddict(out, frame, dictionary),
            None => context.decompress(out, frame),
        }
        .map_err(zstd_error)
    })?;
    if written != size {
        return Err(MalformedPage::text("page has another size than it says"));
    }
    Ok(())
}

/// Write a page of version 3 to `out`, which is replaced, in the layout of version 2: each key and end can be read alone.
pub fn with_whole_numbers(raw: &[u8], out: &mut Vec<u8>) -> Result<(), MalformedPage> {
    let Some((prefix, rest)) = raw.split_first_chunk::<10>() else {
        return Err(MalformedPage::text("page is too short"));
    };
    let [a, b, c, d, e, f, g, h, key_width, length_width] = *prefix;
    let (count, first) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if ![1, 2, 4].contains(&key_width) || ![1, 2, 4].contains(&length_width) {
        return Err(MalformedPage::text(&format!("page has numbers of {key_width} and {length_width} bytes")));
    }
    let records = count as usize;
    let (key_width, length_width) = (usize::from(key_width), usize::from(length_width));
    let no_room = || MalformedPage::text(&format!("page of {} bytes cannot hold {records} records", raw.len()));
    let (deltas, rest) = rest.split_at_checked(key_width * records.saturating_sub(1)).ok_or_else(no_room)?;
    let (lengths, texts) = rest.split_at_checked(length_width * records).ok_or_else(no_room)?;
    out.clear();
    out.reserve(4 + 8 * records + texts.len());
    out.extend_from_slice(&count.to_le_bytes());
    if records > 0 {
        out.extend_from_slice(&first.to_le_bytes());
    }
    add_sums(first, deltas, key_width, out)?;
    let end = add_sums(0, lengths, length_width, out)?;
    if end as usize != texts.len() {
        return Err(MalformedPage::text("page text is not as long as its records say"));
    }
    out.extend_from_slice(texts);
    Ok(())
}

/// Append the sums of numbers of some width, each with those before it and `sum`. Return the last one.
fn add_sums(mut sum: u32, numbers: &[u8], width: usize, out: &mut Vec<u8>) -> Result<u32, MalformedPage> {
    for number in numbers.chunks_exact(width) {
        let number = number.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
        let next = sum.checked_add(number);
        sum = next.ok_or_else(|| MalformedPage::text("page has a number of more than 32 bits"))?;
        out.extend_from_slice(&sum.to_le_bytes());
    }
    Ok(sum)
}

fn zstd_error(code: usize) -> MalformedPage {
    MalformedPage::text(&format!("page cannot be decompressed: {}", zstd_safe::get_error_name(code)))
}

/// Little-endian u32 numbers, read in place.
#[derive(Clone, Copy)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    /// Return the numbers in `raw`; bytes after the last whole number are ignored.
    pub fn new(raw: &'a [u8]) -> Self {
        Words(raw)
    }

    pub fn len(self) -> usize {
        self.0.len() / 4
    }

    /// Return the i-th number, 0 after the last one.
    pub fn get(self, i: usize) -> u32 {
        match self.0.get(4 * i..4 * i + 4) {
            Some([a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => 0,
        }
    }

    /// Return Python's `bisect_right(self, key, low, high)`, also for numbers that are not sorted.
    pub fn bisect_right(self, key: i128, mut low: usize, mut high: usize) -> usize {
        while low < high {
            let middle = (low + high) / 2;
            if key < i128::from(self.get(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// Return Python's `bisect_left(self, key, low, high)`, also for numbers that are not sorted.
    pub fn bisect_left(self, key: u32, mut low: usize, mut high: usize) -> usize {
        while low < high {
            let middle = (low + high) / 2;
            if self.get(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Decoded page: sorted keys and the text of each.
#[derive(Clone, Copy)]
pub struct Page<'a> {
    pub keys: Words<'a>,
    ends: Words<'a>,
    texts: &'a [u8],
}

impl<'a> Page<'a> {
    pub fn decode(raw: &'a [u8]) -> Result<Self, MalformedPage> {
        let Some((count, rest)) = raw.split_at_checked(4) else {
            return Err(MalformedPage::text("page is too short"));
        };
        let count = Words::new(count).get(0) as usize;
        let Some((numbers, texts)) = rest.split_at_checked(count.saturating_mul(8)) else {
            let text = format!("page of {} bytes cannot hold {count} records", raw.len());
            return Err(MalformedPage::text(&text));
        };
        let (keys, ends) = numbers.split_at(4 * count);
        let (keys, ends) = (Words::new(keys), Words::new(ends));
        let last = if count == 0 { 0 } else { ends.get(count - 1) as usize };
        if last != texts.len() {
            return Err(MalformedPage::text("page text is not as long as its records say"));
        }
        Ok(Page { keys, ends, texts })
    }

    /// Return the i-th record's text, empty where the page contradicts itself.
    pub fn text(self, i: usize) -> &'a [u8] {
        let end = (self.ends.get(i) as usize).min(self.texts.len());
        self.texts.get(self.begin(i)..end).unwrap_or_default()
    }

    /// Return whether the i-th record is a PUBLIC record.
    pub fn is_public(self, i: usize) -> bool {
        self.texts.get(self.begin(i)..).is_some_and(|text| text.starts_with(b"PUBLIC"))
    }

    fn begin(self, i: usize) -> usize {
        if i == 0 { 0 } else { self.ends.get(i - 1) as usize }
    }
}
