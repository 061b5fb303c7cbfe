//! Lookup as Python sees it: one `Reader` for each header, one `Search` for each module of a request.

use std::collections::BTreeMap;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use zstd_safe::DDict;

use crate::block::Hit;
use crate::errors::MalformedPage;
use crate::lookup::PageLookup;
use crate::names::text_of;
use crate::page::{Page, Words, decompress};
use crate::render::{Names, Version, fragment};

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
}

#[pymethods]
impl Reader {
    /// Take the header `raw`, the place of its first keys, the number of pages in each section, and the place of its
    /// dictionary.
    #[new]
    fn new(raw: Bound<'_, PyBytes>, keys_at: usize, pages: [usize; 3], dictionary_at: usize) -> PyResult<Self> {
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
        Ok(Reader { raw: raw.unbind(), keys_at, bounds, dictionary })
    }

    /// Return one page, decompressed and checked. Raises Malformed.
    fn open<'py>(&self, py: Python<'py>, packed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let mut raw = Vec::new();
        decompress(packed, self.dictionary.as_ref(), &mut raw)?;
        Page::decode(&raw)?;
        Ok(PyBytes::new(py, &raw))
    }

    /// Raise Malformed unless the bytes are one page.
    fn check(&self, packed: &[u8]) -> PyResult<()> {
        let mut raw = Vec::new();
        decompress(packed, self.dictionary.as_ref(), &mut raw)?;
        Page::decode(&raw)?;
        Ok(())
    }

    /// Return a search for offsets below 2**32.
    fn search(slf: Bound<'_, Self>, mut offsets: Vec<u32>) -> Search {
        offsets.sort_unstable();
        let reader = slf.get();
        let raw = reader.raw.as_bytes(slf.py());
        let places: Vec<_> = offsets.iter().map(|offset| (*offset, reader.symbol_page(raw, *offset))).collect();
        let mut pages: Vec<usize> = places.iter().filter_map(|(_, page)| *page).collect();
        pages.dedup();
        Search { reader: slf.unbind(), places, pages, hits: Vec::new(), name_pages: Vec::new(), rendered_bytes: 0 }
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

/// Search for the offsets of one module, in two steps: `find`, then `render`.
#[pyclass]
pub struct Search {
    reader: Py<Reader>,
    places: Vec<(u32, Option<usize>)>,
    /// Numbers of the pages that `find` needs.
    #[pyo3(get)]
    pages: Vec<usize>,
    hits: Vec<(u32, Option<Hit>)>,
    /// Numbers of the pages that `render` needs.
    #[pyo3(get)]
    name_pages: Vec<usize>,
    /// Bytes of the frames that were rendered.
    #[pyo3(get)]
    rendered_bytes: usize,
}

#[pymethods]
impl Search {
    /// Look the offsets up in compressed pages, which are in the order of `pages`.
    ///
    /// Return whether `is_late()` has ended the search. Raises Malformed.
    fn find(
        &mut self,
        py: Python<'_>,
        pages: Vec<Bound<'_, PyBytes>>,
        has_places: bool,
        is_late: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let reader = self.reader.bind(py).get();
        let mut raw = Vec::new();
        let mut rest = self.places.as_slice();
        let mut late = false;
        while let Some((_, page)) = rest.first() {
            let (places, others) = rest.split_at(rest.iter().take_while(|(_, other)| other == page).count());
            rest = others;
            match page {
                None => self.hits.extend(places.iter().map(|(offset, _)| (*offset, None))),
                Some(number) => {
                    let place = self.pages.binary_search(number).ok();
                    let packed = place.and_then(|i| pages.get(i));
                    let packed = packed.ok_or_else(|| PyValueError::new_err("a page is missing"))?;
                    decompress(packed.as_bytes(), reader.dictionary.as_ref(), &mut raw)?;
                    let mut lookup = PageLookup::new(Page::decode(&raw)?);
                    for (offset, _) in places {
                        late = is_late.call0()?.is_truthy()?;
                        if late {
                            break;
                        }
                        self.hits.push((*offset, lookup.find(*offset, has_places)?));
                    }
                }
            }
            if late {
                break;
            }
        }
        self.name_pages = find_name_pages(reader, reader.raw.as_bytes(py), &self.hits);
        Ok(late)
    }

    /// Return the rendered frame of each offset. `names` are decoded pages in the order of `name_pages`.
    ///
    /// Also returns whether `is_late()` has ended the rendering, as the bound `max_bytes` does for all frames.
    fn render<'py>(
        &mut self,
        py: Python<'py>,
        version: &str,
        names: Vec<Bound<'_, PyBytes>>,
        max_bytes: f64,
        is_late: &Bound<'_, PyAny>,
    ) -> PyResult<(Bound<'py, PyDict>, bool)> {
        let version = if version == "v4" { Version::V4 } else { Version::V5 };
        let reader = self.reader.bind(py).get();
        let names = NamePages::new(reader, reader.raw.as_bytes(py), &self.name_pages, &names)?;
        let frames = PyDict::new(py);
        let mut out = Vec::new();
        for (offset, hit) in &self.hits {
            if is_late.call0()?.is_truthy()? {
                return Ok((frames, true));
            }
            out.clear();
            fragment(&mut out, version, *offset, hit.as_ref(), &names);
            self.rendered_bytes += out.len();
            frames.set_item(offset, PyBytes::new(py, &out))?;
            if self.rendered_bytes as f64 > max_bytes {
                break;
            }
        }
        Ok((frames, false))
    }
}

/// Return the numbers of the pages with the names of all hits, in order.
fn find_name_pages(reader: &Reader, raw: &[u8], hits: &[(u32, Option<Hit>)]) -> Vec<usize> {
    let mut pages = Vec::new();
    for hit in hits.iter().filter_map(|(_, hit)| hit.as_ref()) {
        pages.extend(hit.sites.iter().filter_map(|site| reader.file_page(raw, site.file)));
        pages.extend(hit.origins.iter().filter_map(|origin| reader.origin_page(raw, *origin)));
        if pages.len() > 4096 {
            pages.sort_unstable();
            pages.dedup();
        }
    }
    pages.sort_unstable();
    pages.dedup();
    pages
}

/// Pages of names by number.
struct NamePages<'a> {
    reader: &'a Reader,
    raw: &'a [u8],
    pages: BTreeMap<usize, Page<'a>>,
}

impl<'a> NamePages<'a> {
    fn new(reader: &'a Reader, raw: &'a [u8], numbers: &[usize], pages: &'a [Bound<'_, PyBytes>]) -> PyResult<Self> {
        if pages.len() != numbers.len() {
            return Err(PyValueError::new_err("a page is missing"));
        }
        let decoded = numbers.iter().zip(pages).map(|(number, page)| Ok((*number, Page::decode(page.as_bytes())?)));
        Ok(NamePages { reader, raw, pages: decoded.collect::<Result<_, MalformedPage>>()? })
    }

    fn text(&self, page: Option<usize>, number: i128) -> &[u8] {
        page.and_then(|page| self.pages.get(&page)).map_or(&[], |page| text_of(*page, number))
    }
}

impl Names for NamePages<'_> {
    fn file(&self, number: i128) -> &[u8] {
        self.text(self.reader.file_page(self.raw, number), number)
    }

    fn origin(&self, number: i128) -> &[u8] {
        self.text(self.reader.origin_page(self.raw, number), number)
    }
}
