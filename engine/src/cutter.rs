//! Conversion as Python sees it: one `Cutter` for each symbol file.

use std::io;
use std::mem;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::bounds::Dropped;
use crate::compress::{Batch, compress_all};
use crate::cut::{Pages, Room, Section};
use crate::packed;
use crate::reader::without_panic;
use crate::scan::{Refusal, Scanner, check_margin};
use crate::spool::Spool;
use crate::stack::{Records, StackScanner};

create_exception!(
    tecken_engine,
    Refused,
    PyException,
    "Text that is not converted; the arguments are whether it is too large, and why."
);

impl From<Refusal> for PyErr {
    fn from(refusal: Refusal) -> PyErr {
        match refusal {
            Refusal::Malformed(reason) => Refused::new_err((false, reason)),
            Refusal::TooLarge(reason) => Refused::new_err((true, reason)),
            Refusal::Memory => PyMemoryError::new_err(()),
        }
    }
}

/// Error of a step that runs without the GIL.
enum Failure {
    Refusal(Refusal),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refusal(refusal)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Refusal(refusal) => refusal.into(),
            Failure::Io(error) => error.into(),
        }
    }
}

enum State {
    Scanning { scanner: Scanner, spool: Spool, text: Vec<u8> },
    Cut(Pages),
    Failed,
}

/// Cutter of one symbol file: the text is fed, then cut, then pages are made of it.
#[pyclass]
pub struct Cutter {
    state: State,
    window: usize,
    page_size: u64,
    dropped: Dropped,
}

#[pymethods]
impl Cutter {
    /// Take the descriptor of a spool file (None: memory), and the bytes that are scanned at once and that a page has.
    #[new]
    fn new(descriptor: Option<i32>, window: usize, page_size: u64, max_records: usize) -> PyResult<Self> {
        let spool = descriptor.map_or(Ok(Spool::in_memory()), Spool::of_descriptor)?;
        let state = State::Scanning { scanner: Scanner::new(max_records), spool, text: Vec::new() };
        Ok(Cutter { state, window: window.max(1), page_size, dropped: Dropped::default() })
    }

    /// Add text. Raises Refused, OSError.
    fn feed(&mut self, py: Python<'_>, chunk: &[u8]) -> PyResult<()> {
        let window = self.window;
        let State::Scanning { scanner, spool, text } = &mut self.state else { return Err(order()) };
        without_panic(|| Ok(py.detach(|| feed(scanner, spool, text, chunk, window))?))
    }

    /// Scan the rest of the text and cut all of it. Raises Refused, OSError.
    fn cut(&mut self, py: Python<'_>) -> PyResult<()> {
        let State::Scanning { scanner, spool, text } = &mut self.state else { return Err(order()) };
        without_panic(|| Ok(py.detach(|| end_scan(scanner, spool, text))?))?;
        // The scan may fail, after which the head is still read.
        if let State::Scanning { scanner, spool, .. } = mem::replace(&mut self.state, State::Failed) {
            let page_size = self.page_size;
            self.state = State::Cut(py.detach(|| Pages::new(scanner, spool, page_size)));
        }
        Ok(())
    }

    /// The start of the text, with a newline before it; None before the first line.
    #[getter]
    fn head<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.scanner()?.head.as_ref().map(|head| PyBytes::new(py, head)))
    }

    /// Bytes of text up to the first STACK record.
    #[getter]
    fn length(&self) -> PyResult<u64> {
        Ok(self.scanner()?.length())
    }

    /// Whether a STACK record was found.
    #[getter]
    fn complete(&self) -> PyResult<bool> {
        Ok(self.scanner()?.end.is_some())
    }

    /// Number of FUNC and PUBLIC records.
    #[getter]
    fn symbols(&self) -> PyResult<usize> {
        Ok(self.scanner()?.symbols.len())
    }

    /// Number of records left out, by reason: those of the scan, then those of the pages that were compressed.
    #[getter]
    fn dropped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut all = self.scanner()?.dropped.clone();
        all.merge(self.dropped.clone());
        counts(py, all)
    }

    /// Section and first key of each page.
    #[getter]
    fn cuts(&self) -> PyResult<Vec<(u8, u32)>> {
        let pages = self.pages()?;
        Ok(pages.cuts.iter().map(|cut| (number(cut.section), pages.first_key(cut))).collect())
    }

    /// Return one page, not compressed. Raises OSError.
    fn page<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyBytes>> {
        let pages = self.pages()?;
        let cut = pages.cuts.get(i).ok_or_else(order)?;
        let mut room = Room::default();
        without_panic(|| Ok(pages.build(cut, &mut room, &mut Dropped::default())?))?;
        Ok(PyBytes::new(py, &room.page))
    }

    /// Call `take(first page, compressed pages, end of each)` for all pages in order. Raises OSError.
    fn compress(&mut self, py: Python<'_>, dictionary: &[u8], threads: usize, take: Bound<'_, PyAny>) -> PyResult<()> {
        let State::Cut(pages) = &self.state else { return Err(order()) };
        check_margin()?;
        let take = take.unbind();
        let mut dropped = Dropped::default();
        without_panic(|| {
            py.detach(|| {
                compress_all(pages, dictionary, threads, |range, Batch { bytes, ends, dropped: lost }| {
                    dropped.merge(lost);
                    Python::attach(|py| take.call1(py, (range.start, PyBytes::new(py, &bytes), ends)).map(drop))
                })
            })
        })?;
        self.dropped = dropped;
        Ok(())
    }
}

impl Cutter {
    fn scanner(&self) -> PyResult<&Scanner> {
        match &self.state {
            State::Scanning { scanner, .. } => Ok(scanner),
            State::Cut(pages) => Ok(&pages.scanner),
            State::Failed => Err(order()),
        }
    }

    fn pages(&self) -> PyResult<&Pages> {
        match &self.state {
            State::Cut(pages) => Ok(pages),
            _ => Err(order()),
        }
    }
}

fn order() -> PyErr {
    PyRuntimeError::new_err("steps of a conversion in another order than feed, cut, page or compress")
}

fn number(section: Section) -> u8 {
    match section {
        Section::Symbols => 0,
        Section::Files => 1,
        Section::Origins => 2,
    }
}

fn feed(
    scanner: &mut Scanner,
    spool: &mut Spool,
    text: &mut Vec<u8>,
    chunk: &[u8],
    window: usize,
) -> Result<(), Failure> {
    if scanner.end.is_some() {
        return Ok(());
    }
    text.extend_from_slice(chunk);
    let end = text.len() - text.len() % window;
    for piece in text[..end].chunks(window) {
        if scanner.end.is_some() {
            break;
        }
        spool.append(piece)?;
        scanner.feed(piece)?;
    }
    text.drain(..end);
    Ok(())
}

fn end_scan(scanner: &mut Scanner, spool: &mut Spool, text: &mut Vec<u8>) -> Result<(), Failure> {
    let rest = mem::take(text);
    if scanner.end.is_none() {
        spool.append(&rest)?;
        scanner.feed(&rest)?;
    }
    Ok(scanner.finish()?)
}

/// Scanner of the STACK records of one symbol file.
#[pyclass]
pub struct StackRecords(StackScanner);

type Found<'py> = [Bound<'py, PyBytes>; 5];

#[pymethods]
impl StackRecords {
    /// Take the bytes of one record, and the number of records, from which on they are left out.
    #[new]
    fn new(max_record: usize, max_records: usize) -> Self {
        StackRecords(StackScanner::new(max_record, max_records))
    }

    /// Add text. Return keys, sizes, kinds, lengths and text of the records that have ended.
    fn feed<'py>(&mut self, py: Python<'py>, chunk: &[u8]) -> PyResult<Found<'py>> {
        let scanner = &mut self.0;
        without_panic(|| Ok(found(py, &py.detach(|| scanner.feed(chunk)))))
    }

    /// Scan the rest of the text, and return the last records as `feed` does.
    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Found<'py>> {
        let scanner = &mut self.0;
        without_panic(|| Ok(found(py, &py.detach(|| scanner.finish()))))
    }

    /// Number of records left out, by reason.
    #[getter]
    fn dropped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        counts(py, self.0.dropped.clone())
    }
}

fn found<'py>(py: Python<'py>, records: &Records) -> Found<'py> {
    let words = |numbers: &[u32]| {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
        PyBytes::new(py, &bytes)
    };
    let Records { keys, sizes, kinds, lengths, text } = records;
    [words(keys), words(sizes), PyBytes::new(py, kinds), words(lengths), PyBytes::new(py, text)]
}

fn counts(py: Python<'_>, dropped: Dropped) -> PyResult<Bound<'_, PyDict>> {
    let counts = PyDict::new(py);
    for (reason, count) in dropped.0 {
        counts.set_item(reason, count)?;
    }
    Ok(counts)
}

/// Return the packed form of a FUNC block; None for an unusual one.
#[pyfunction]
pub fn pack<'py>(py: Python<'py>, block: &[u8]) -> Option<Bound<'py, PyBytes>> {
    packed::pack(block, &mut Vec::new()).map(|record| PyBytes::new(py, &record))
}

/// Return the text of a packed FUNC block; None for a malformed one.
#[pyfunction]
pub fn expand<'py>(py: Python<'py>, record: &[u8], address: u32) -> Option<Bound<'py, PyBytes>> {
    packed::expand(record, u64::from(address)).map(|text| PyBytes::new(py, &text))
}
