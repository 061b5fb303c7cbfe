//! Lookup as Python sees it: one `Reader` for each header, one `Search` for each module of a request.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use zstd_safe::DDict;

use crate::errors::MalformedPage;
use crate::lookup::{self, PageLookup};
use crate::names::Names;
use crate::page::{Page, Words, decompress, keep, unpack, with_whole_numbers};
use crate::render::{Symbol, Version, fragment};

create_exception!(
    tecken_engine,
    Malformed,
    PyException,
    "Page that is not valid; its argument is a text, or the start of a record as bytes."
);

impl From<MalformedPage> for PyErr {
    fn from(error: MalformedPage) -> PyErr {
        match error {
            MalformedPage::Text(text) => Malformed::new_err(text),
            MalformedPage::Record(record) => {
                Python::attach(|py| Malformed::new_err(PyBytes::new(py, &record).unbind()))
            }
        }
    }
}

/// Tables and dictionary of a header.
#[pyclass(frozen)]
pub struct Reader {
    raw: Py<PyBytes>,
    keys_at: usize,
    /// Ends of the sections, counted in pages: symbols, files, origins.
    bounds: [usize; 3],
    dictionary: Option<DDict<'static>>,
    version: u16,
}

#[pymethods]
impl Reader {
    /// Take the header `raw`, its version, the place of its first keys, the number of pages in each section, and the
    /// place of its dictionary.
    #[new]
    fn new(
        raw: Bound<'_, PyBytes>,
        version: u16,
        keys_at: usize,
        pages: [usize; 3],
        dictionary_at: usize,
    ) -> PyResult<Self> {
        let bytes = raw.as_bytes();
        let total = pages.iter().try_fold(0usize, |total, count| total.checked_add(*count));
        let end = total.and_then(|total| total.checked_mul(4)).and_then(|size| size.checked_add(keys_at));
        if end.is_none_or(|end| end > bytes.len()) {
            return Err(PyValueError::new_err("the header has not as many pages"));
        }
        let dictionary = bytes.get(dictionary_at..).filter(|dictionary| !dictionary.is_empty());
        let no_memory = || PyValueError::new_err("no memory for the dictionary");
        let dictionary = dictionary.map(|it| DDict::try_create(it).ok_or_else(no_memory)).transpose()?;
        let bounds = [pages[0], pages[0] + pages[1], pages[0] + pages[1] + pages[2]];
        Ok(Reader { raw: raw.unbind(), keys_at, bounds, dictionary, version })
    }

    /// Return one page, decompressed and checked, in the form in which a process keeps it. Raises Malformed.
    fn load<'py>(&self, py: Python<'py>, packed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let mut raw = Vec::new();
        decompress(packed, self.dictionary.as_ref(), &mut raw)?;
        if self.version != 2 {
            raw = with_whole_numbers(&raw)?;
        }
        Page::decode(&raw)?;
        Ok(PyBytes::new(py, &keep(&raw)))
    }

    /// Return the bytes of a page that `load` returned, in the layout of version 2.
    fn unpack<'py>(&self, py: Python<'py>, kept: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let mut raw = Vec::new();
        unpack(kept, &mut raw)?;
        Ok(PyBytes::new(py, &raw))
    }

    /// Return a search for offsets below 2**32.
    fn search(slf: Bound<'_, Self>, mut offsets: Vec<u32>) -> Search {
        offsets.sort_unstable();
        let reader = slf.get();
        let raw = reader.raw.as_bytes(slf.py());
        let places: Vec<_> = offsets.iter().map(|offset| (*offset, reader.symbol_page(raw, *offset))).collect();
        let mut pages: Vec<usize> = places.iter().filter_map(|(_, page)| *page).collect();
        pages.dedup();
        Search {
            reader: slf.unbind(),
            places,
            pages,
            symbols: Vec::new(),
            names: Names::default(),
            name_pages: Vec::new(),
            rendered_bytes: 0,
        }
    }
}

impl Reader {
    fn symbol_page(&self, raw: &[u8], offset: u32) -> Option<usize> {
        self.page_for(raw, 0, i128::from(offset))
    }

    /// Return the only page of a section that may cover `key` (see `Header.page_for`).
    fn page_for(&self, raw: &[u8], section: usize, key: i128) -> Option<usize> {
        let begin = if section == 0 { 0 } else { self.bounds[section - 1] };
        let keys = Words::new(raw.get(self.keys_at..)?);
        let page = keys.bisect_right(key, begin, self.bounds[section]).checked_sub(1)?;
        (page >= begin).then_some(page)
    }

    fn file_page(&self, raw: &[u8], number: i128) -> Option<usize> {
        if number < 0 { None } else { self.page_for(raw, 1, number) }
    }

    fn origin_page(&self, raw: &[u8], number: i128) -> Option<usize> {
        self.page_for(raw, 2, number)
    }
}

/// Moment at which a search ends, on Python's clock.
struct Deadline<'a, 'py> {
    clock: &'a Bound<'py, PyAny>,
    end: f64,
}

impl Deadline<'_, '_> {
    fn has_passed(&self) -> PyResult<bool> {
        Ok(self.clock.call0()?.extract::<f64>()? > self.end)
    }
}

/// Search for the offsets of one module, in two steps: `find`, then `render`.
#[pyclass]
pub struct Search {
    reader: Py<Reader>,
    places: Vec<(u32, Option<usize>)>,
    /// Numbers of the pages that `find` needs.
    #[pyo3(get)]
    pages: Vec<usize>,
    symbols: Vec<(u32, Option<Symbol>)>,
    names: Names,
    /// Numbers of the pages that `render` needs.
    #[pyo3(get)]
    name_pages: Vec<usize>,
    /// Bytes of the frames that were rendered.
    #[pyo3(get)]
    rendered_bytes: usize,
}

#[pymethods]
impl Search {
    /// Look the offsets up in pages as `Reader.load` returns them, in the order of `pages`.
    ///
    /// Return whether the search ended because `clock()` passed `end`. Raises Malformed.
    fn find(
        &mut self,
        py: Python<'_>,
        pages: Vec<Bound<'_, PyBytes>>,
        has_places: bool,
        clock: &Bound<'_, PyAny>,
        end: f64,
    ) -> PyResult<bool> {
        let reader = self.reader.clone_ref(py);
        let places = std::mem::take(&mut self.places);
        let mut finder = Finder { reader: reader.get(), header: reader.get().raw.as_bytes(py), search: self, has_places };
        let is_late = finder.run(&places, &pages, &Deadline { clock, end })?;
        self.name_pages = self.names.pages();
        Ok(is_late)
    }

    /// Return the rendered frame of each offset. `names` are pages in the order of `name_pages`.
    ///
    /// Also returns whether the rendering ended because `clock()` passed `end`. It ends, too, when the frames have
    /// more than `max_bytes`.
    fn render<'py>(
        &mut self,
        py: Python<'py>,
        version: &str,
        names: Vec<Bound<'_, PyBytes>>,
        max_bytes: f64,
        clock: &Bound<'_, PyAny>,
        end: f64,
    ) -> PyResult<(Bound<'py, PyDict>, bool)> {
        let version = if version == "v4" { Version::V4 } else { Version::V5 };
        let deadline = Deadline { clock, end };
        let frames = PyDict::new(py);
        // Each name is in a frame, so names of more bytes than the frames may have end the rendering, too.
        self.rendered_bytes = self.read_names(&names, max_bytes)?;
        if self.rendered_bytes as f64 > max_bytes {
            return Ok((frames, false));
        }
        self.rendered_bytes = 0;
        let mut out = Vec::new();
        for (offset, symbol) in &self.symbols {
            if deadline.has_passed()? {
                return Ok((frames, true));
            }
            out.clear();
            fragment(&mut out, version, *offset, symbol.as_ref(), &self.names);
            self.rendered_bytes += out.len();
            frames.set_item(offset, PyBytes::new(py, &out))?;
            if self.rendered_bytes as f64 > max_bytes {
                break;
            }
        }
        Ok((frames, false))
    }
}

impl Search {
    /// Read the names that the frames need, until they have more than `max_bytes`. Return their bytes.
    fn read_names(&mut self, pages: &[Bound<'_, PyBytes>], max_bytes: f64) -> PyResult<usize> {
        if pages.len() != self.name_pages.len() {
            return Err(PyValueError::new_err("a page is missing"));
        }
        let (mut raw, mut size) = (Vec::new(), 0);
        for (number, page) in self.name_pages.iter().zip(pages) {
            unpack(page.as_bytes(), &mut raw)?;
            size = self.names.read(*number, Page::decode(&raw)?);
            if size as f64 > max_bytes {
                break;
            }
        }
        Ok(size)
    }
}

/// One call of `Search.find`.
struct Finder<'a> {
    reader: &'a Reader,
    header: &'a [u8],
    search: &'a mut Search,
    has_places: bool,
}

impl Finder<'_> {
    /// Look up all places, page by page, and return whether the deadline has ended that.
    fn run(
        &mut self,
        mut places: &[(u32, Option<usize>)],
        pages: &[Bound<'_, PyBytes>],
        deadline: &Deadline<'_, '_>,
    ) -> PyResult<bool> {
        let (mut raw, mut kept) = (Vec::new(), pages.iter());
        while let Some((_, page)) = places.first() {
            let (some, others) = places.split_at(places.iter().take_while(|(_, other)| other == page).count());
            places = others;
            let is_late = match page {
                None => self.skip(some, deadline)?,
                Some(_) => {
                    let page = kept.next().ok_or_else(|| PyValueError::new_err("a page is missing"))?;
                    unpack(page.as_bytes(), &mut raw)?;
                    self.look_up(some, Page::decode(&raw)?, deadline)?
                }
            };
            if is_late {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Note offsets before the first symbol of the module.
    fn skip(&mut self, places: &[(u32, Option<usize>)], deadline: &Deadline<'_, '_>) -> PyResult<bool> {
        for (offset, _) in places {
            if deadline.has_passed()? {
                return Ok(true);
            }
            self.search.symbols.push((*offset, None));
        }
        Ok(false)
    }

    fn look_up(
        &mut self,
        places: &[(u32, Option<usize>)],
        page: Page<'_>,
        deadline: &Deadline<'_, '_>,
    ) -> PyResult<bool> {
        let (reader, header) = (self.reader, self.header);
        let file = |names: &mut Names, number| names.want(reader.file_page(header, number), number);
        let origin = |names: &mut Names, number| names.want(reader.origin_page(header, number), number);
        let texts = lookup::room(page);
        let mut lookup = PageLookup::new(page, &texts);
        for (offset, _) in places {
            // A single offset in the largest block allowed takes some milliseconds.
            if deadline.has_passed()? {
                return Ok(true);
            }
            let hit = lookup.find(*offset, self.has_places)?;
            let symbol = hit.map(|hit| Symbol::new(&hit, &mut self.search.names, file, origin));
            self.search.symbols.push((*offset, symbol));
        }
        Ok(false)
    }
}
