//! Compression of pages on several cores, in order (see `pagefile/cutter.py`).
#![forbid(unsafe_code)]

use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use zstd_safe::{CCtx, CParameter, Strategy, compress_bound};

use crate::bounds::Dropped;
use crate::cut::{Pages, Room};

/// Bytes of text that one thread takes at a time.
const BATCH: u64 = 512 << 10;

/// Compressed pages of a batch, one after the other, and the end of each.
pub struct Batch {
    pub bytes: Vec<u8>,
    pub ends: Vec<usize>,
    pub dropped: Dropped,
}

/// Compressor of pages with one dictionary.
pub struct Compressor(CCtx<'static>);

impl Compressor {
    pub fn new(dictionary: &[u8]) -> io::Result<Self> {
        let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        // Tables for small pages: those of zstd's levels are for larger inputs. The dictionary's id is left out: it
        // is the same for all pages of a module and would cost each page up to four bytes.
        for parameter in [
            CParameter::WindowLog(17),
            CParameter::ChainLog(14),
            CParameter::HashLog(15),
            CParameter::SearchLog(3),
            CParameter::MinMatch(5),
            CParameter::TargetLength(16),
            CParameter::Strategy(Strategy::ZSTD_lazy),
            CParameter::DictIdFlag(false),
        ] {
            context.set_parameter(parameter).map_err(error)?;
        }
        context.load_dictionary(dictionary).map_err(error)?;
        Ok(Compressor(context))
    }

    /// Append one compressed page.
    pub fn add(&mut self, page: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        // zstd writes into a vector from its start only.
        let mut frame = Vec::with_capacity(compress_bound(page.len()));
        self.0.compress2(&mut frame, page).map_err(error)?;
        out.extend_from_slice(&frame);
        Ok(())
    }
}

fn error(code: usize) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

/// Give all pages to `take` in order, compressed on `threads` threads.
///
/// Each thread has every `threads`-th batch and a channel with room for one, so the memory is bounded and the batches
/// come in order without being sorted.
pub fn compress_all<E: From<io::Error>>(
    pages: &Pages,
    dictionary: &[u8],
    threads: usize,
    mut take: impl FnMut(Range<usize>, Batch) -> Result<(), E>,
) -> Result<(), E> {
    let batches = batches(pages);
    let threads = threads.clamp(1, batches.len().max(1));
    thread::scope(|scope| {
        let mut receivers: Vec<Receiver<io::Result<Batch>>> = Vec::new();
        for first in 0..threads {
            let (sender, receiver) = sync_channel(1);
            receivers.push(receiver);
            let own = batches.iter().skip(first).step_by(threads);
            thread::Builder::new()
                .stack_size(1 << 20)
                .spawn_scoped(scope, move || work(pages, dictionary, own, &sender))?;
        }
        for (batch, i) in batches.iter().zip((0..threads).cycle()) {
            // A thread that panicked has dropped its sender.
            let result = receivers[i].recv().map_err(|_| io::Error::other("a thread of the engine has ended"))?;
            take(batch.clone(), result?)?;
        }
        Ok(())
        // On an error the receivers are dropped, so that each thread ends with its next batch.
    })
}

fn batches(pages: &Pages) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut begin, mut size) = (0, 0);
    for (i, cut) in pages.cuts.iter().enumerate() {
        size += pages.text_bytes(cut);
        if size >= BATCH || i + 1 == pages.cuts.len() {
            batches.push(begin..i + 1);
            (begin, size) = (i + 1, 0);
        }
    }
    batches
}

fn work<'a>(
    pages: &Pages,
    dictionary: &[u8],
    batches: impl Iterator<Item = &'a Range<usize>>,
    sender: &SyncSender<io::Result<Batch>>,
) {
    let mut compressor = Compressor::new(dictionary);
    let mut room = Room::default();
    for batch in batches {
        let result = match &mut compressor {
            Ok(compressor) => compress(pages, batch.clone(), compressor, &mut room),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        if sender.send(result).is_err() {
            return;
        }
    }
}

fn compress(pages: &Pages, range: Range<usize>, compressor: &mut Compressor, room: &mut Room) -> io::Result<Batch> {
    let mut batch = Batch { bytes: Vec::new(), ends: Vec::new(), dropped: Dropped::default() };
    for cut in &pages.cuts[range] {
        pages.build(cut, room, &mut batch.dropped)?;
        compressor.add(&room.page, &mut batch.bytes)?;
        batch.ends.push(batch.bytes.len());
    }
    Ok(batch)
}
