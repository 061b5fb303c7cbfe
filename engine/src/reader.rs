//! Lookup as Python sees it: one `Reader` for each header, one `Search` for each module of a request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zstd_safe::DDict;

use crate::block::Hit;
use crate::cache::Cache;
use crate::errors::MalformedPage;
use crate::frames::Frames;
use crate::lookup::{self, PageLookup};
use crate::names::{NameSection, Names};
use crate::packed::{PACKED, expand};
use crate::page::{Page, Words, decompress, with_whole_numbers};
use crate::render::{Symbols, Version};
use crate::runs::split;
use crate::tiers::Kept;

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

/// Turn a panic into a RuntimeError: pyo3's own exception for it is none that a server expects.
pub fn without_panic<T>(call: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let failed = |_| Err(PyRuntimeError::new_err("the engine failed; the process's error output has the reason"));
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(failed)
}

/// Pages and names that a process keeps.
#[pyclass(frozen)]
pub struct PageCache(Mutex<Cache>);

impl PageCache {
    /// Return the cache, which no thread holds while it runs Python code.
    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PageCache {
    #[new]
    fn new(max_bytes: usize) -> Self {
        PageCache(Mutex::new(Cache::new(max_bytes)))
    }

    /// Return a page if it is cached.
    fn get(&self, generation: u64, page: u32) -> Option<LoadedPage> {
        self.lock().page((generation, page)).map(LoadedPage)
    }

    /// Store pages by number.
    fn put(&self, generation: u64, pages: Vec<(u32, Bound<'_, LoadedPage>)>) {
        let mut cache = self.lock();
        for (number, page) in pages {
            cache.put_page((generation, number), page.get().0.clone());
        }
    }

    /// Set the bound in bytes.
    fn resize(&self, max_bytes: usize) {
        self.lock().resize(max_bytes);
    }

    /// Bytes held.
    #[getter]
    fn size(&self) -> usize {
        self.lock().size()
    }
}

/// Page that was decompressed and checked. Copies in caches share its memory.
#[pyclass(frozen)]
pub struct LoadedPage(Kept);

#[pymethods]
impl LoadedPage {
    /// Return the page in the layout of version 2.
    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.open(&mut Vec::new()))
    }
}

/// Tables and dictionary of a header.
#[pyclass(frozen)]
pub struct Reader {
    generation: u64,
    raw: Py<PyBytes>,
    keys_at: usize,
    /// Ends of the sections, counted in pages: symbols, files, origins.
    bounds: [usize; 3],
    dictionary: Option<DDict<'static>>,
    version: u16,
}

#[pymethods]
impl Reader {
    /// Take the header `raw`, its version and generation, the place of its first keys, the number of pages in each
    /// section, and the place of its dictionary.
    #[new]
    fn new(
        raw: Bound<'_, PyBytes>,
        version: u16,
        generation: u64,
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
        Ok(Reader { version, generation, raw: raw.unbind(), keys_at, bounds, dictionary })
    }

    /// Return pages, decompressed and checked. Raises Malformed if any of them is not valid.
    fn load(&self, py: Python<'_>, packed: Vec<Bound<'_, PyBytes>>) -> PyResult<Vec<LoadedPage>> {
        let packed: Vec<&[u8]> = packed.iter().map(|page| page.as_bytes()).collect();
        // Without Python's lock: those of a large request take a tenth of a second.
        without_panic(|| Ok(py.detach(|| self.load_all(&packed))?))
    }

    /// Return the records of a page of symbols as lines of a symbol file. Raises Malformed if it is not valid.
    fn lines<'py>(&self, py: Python<'py>, packed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        without_panic(|| Ok(PyBytes::new(py, &py.detach(|| self.all_lines(packed))?)))
    }

    /// Return a search for offsets below 2**32, which takes pages and names from a cache.
    #[pyo3(signature = (offsets, cache))]
    fn search(slf: Bound<'_, Self>, mut offsets: Vec<u32>, cache: Option<Py<PageCache>>) -> Search {
        offsets.sort_unstable();
        let reader = slf.get();
        let raw = reader.raw.as_bytes(slf.py());
        let places: Vec<_> =
            offsets.iter().map(|offset| (*offset, reader.page_for(raw, 0, i128::from(*offset)))).collect();
        let mut pages: Vec<usize> = places.iter().filter_map(|(_, page)| *page).collect();
        pages.dedup();
        let loaded = Loaded::new(reader.generation, pages, cache.as_ref().map(|cache| cache.get()));
        Search {
            pages: loaded.missing(),
            cached_pages: loaded.found(),
            reader: slf.unbind(),
            cache,
            places,
            loaded,
            symbols: Symbols::default(),
            names: Names::default(),
            loaded_names: Loaded::default(),
            name_pages: Vec::new(),
            rendered_bytes: 0,
        }
    }
}

impl Reader {
    fn load_all(&self, packed: &[&[u8]]) -> Result<Vec<LoadedPage>, MalformedPage> {
        let (mut raw, mut other) = (Vec::new(), Vec::new());
        let mut load = |page: &&[u8]| {
            self.unpack(page, &mut raw, &mut other)?;
            Page::decode(&raw)?;
            Ok(LoadedPage(Kept::new(&raw)))
        };
        packed.iter().map(&mut load).collect()
    }

    /// Write a page to `raw`, which is replaced, in the layout of version 2; `other` is room for another layout.
    fn unpack(&self, packed: &[u8], raw: &mut Vec<u8>, other: &mut Vec<u8>) -> Result<(), MalformedPage> {
        decompress(packed, self.dictionary.as_ref(), raw)?;
        if self.version != 2 {
            with_whole_numbers(raw, other)?;
            std::mem::swap(raw, other);
        }
        Ok(())
    }

    fn all_lines(&self, packed: &[u8]) -> Result<Vec<u8>, MalformedPage> {
        let mut raw = Vec::new();
        self.unpack(packed, &mut raw, &mut Vec::new())?;
        let page = Page::decode(&raw)?;
        let mut lines = Vec::with_capacity(4 * raw.len());
        for i in 0..page.keys.len() {
            let record = page.text(i);
            if record.first() == Some(&PACKED) {
                let block = expand(record, u64::from(page.keys.get(i)));
                split(&block.ok_or_else(|| MalformedPage::record(record))?, &mut lines);
            } else {
                split(record, &mut lines);
            }
            lines.push(b'\n');
        }
        Ok(lines)
    }

    /// Return the only page of a section that may cover `key` (see `Header.page_for`).
    fn page_for(&self, raw: &[u8], section: usize, key: i128) -> Option<usize> {
        let begin = if section == 0 { 0 } else { self.bounds[section - 1] };
        let keys = Words::new(raw.get(self.keys_at..)?);
        let page = keys.bisect_right(key, begin, self.bounds[section]).checked_sub(1)?;
        (page >= begin).then_some(page)
    }

    /// Return the page with the name of a number.
    fn name_page(&self, raw: &[u8], section: NameSection, number: i128) -> Option<usize> {
        if number < 0 { None } else { self.page_for(raw, section as usize, number) }
    }
}

/// Pages that a step of a search needs, in order, and those that the process keeps.
#[derive(Default)]
struct Loaded(Vec<(usize, Option<Kept>)>);

impl Loaded {
    fn new(generation: u64, pages: Vec<usize>, cache: Option<&PageCache>) -> Self {
        let mut cache = cache.map(PageCache::lock);
        let mut find = |page| cache.as_mut().and_then(|cache| cache.page((generation, page as u32)));
        Loaded(pages.into_iter().map(|page| (page, find(page))).collect())
    }

    fn missing(&self) -> Vec<usize> {
        self.0.iter().filter(|(_, page)| page.is_none()).map(|(number, _)| *number).collect()
    }

    fn found(&self) -> usize {
        self.0.iter().filter(|(_, page)| page.is_some()).count()
    }

    /// Call `take` with the number and content of each page; `others` are the missing ones. It returns whether to stop.
    fn each(
        &self,
        others: &[Bound<'_, LoadedPage>],
        mut take: impl FnMut(usize, Page<'_>) -> PyResult<bool>,
    ) -> PyResult<()> {
        let (mut raw, mut others) = (Vec::new(), others.iter());
        for (number, page) in &self.0 {
            let page = match page {
                Some(page) => page,
                None => &others.next().ok_or_else(|| PyValueError::new_err("a page is missing"))?.get().0,
            };
            if take(*number, Page::decode(page.open(&mut raw))?)? {
                break;
            }
        }
        Ok(())
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
    cache: Option<Py<PageCache>>,
    /// Offsets in order, and their pages; None before the first symbol.
    places: Vec<(u32, Option<usize>)>,
    loaded: Loaded,
    /// Numbers of the pages that `find` needs and the cache has not.
    #[pyo3(get)]
    pages: Vec<usize>,
    symbols: Symbols,
    names: Names,
    loaded_names: Loaded,
    /// Numbers of the pages that `render` needs and the cache has not.
    #[pyo3(get)]
    name_pages: Vec<usize>,
    /// Number of pages that the cache has.
    #[pyo3(get)]
    cached_pages: usize,
    /// Bytes of the frames that were rendered.
    #[pyo3(get)]
    rendered_bytes: usize,
}

#[pymethods]
impl Search {
    /// Look the offsets up in pages of `Reader.load`, in the order of `pages`.
    ///
    /// Return whether the search ended because `clock()` passed `end`. Raises Malformed.
    fn find(
        &mut self,
        py: Python<'_>,
        pages: Vec<Bound<'_, LoadedPage>>,
        has_places: bool,
        clock: &Bound<'_, PyAny>,
        end: f64,
    ) -> PyResult<bool> {
        without_panic(|| self.find_all(py, &pages, has_places, Deadline { clock, end }))
    }

    /// Return the rendered frame of each offset. `names` are pages in the order of `name_pages`.
    ///
    /// Also returns whether the rendering ended because `clock()` passed `end`. It ends, too, when the frames have
    /// more than `max_bytes`.
    fn render(
        &mut self,
        version: &str,
        names: Vec<Bound<'_, LoadedPage>>,
        max_bytes: f64,
        clock: &Bound<'_, PyAny>,
        end: f64,
    ) -> PyResult<(Frames, bool)> {
        let version = Version::named(version);
        without_panic(|| self.render_all(version, &names, max_bytes, &Deadline { clock, end }))
    }
}

impl Search {
    fn find_all(
        &mut self,
        py: Python<'_>,
        pages: &[Bound<'_, LoadedPage>],
        has_places: bool,
        deadline: Deadline<'_, '_>,
    ) -> PyResult<bool> {
        let (reader, cache) = (self.reader.get(), self.cache.as_ref().map(|cache| cache.get()));
        let loaded = std::mem::take(&mut self.loaded);
        let mut finder = Finder {
            reader,
            header: reader.raw.as_bytes(py),
            cache,
            places: &self.places,
            symbols: &mut self.symbols,
            names: &mut self.names,
            has_places,
            deadline,
        };
        let is_late = finder.run(&loaded, pages)?;
        self.loaded_names = Loaded::new(reader.generation, self.names.pages(), cache);
        self.name_pages = self.loaded_names.missing();
        self.cached_pages += self.loaded_names.found();
        Ok(is_late)
    }

    fn render_all(
        &mut self,
        version: Version,
        names: &[Bound<'_, LoadedPage>],
        max_bytes: f64,
        deadline: &Deadline<'_, '_>,
    ) -> PyResult<(Frames, bool)> {
        let mut frames = Vec::with_capacity(self.symbols.len());
        // Each name is in a frame, so names of more bytes than the frames may have end the rendering, too.
        self.rendered_bytes = self.read_names(names, max_bytes)?;
        if self.rendered_bytes as f64 > max_bytes {
            return Ok((Frames::new(frames), false));
        }
        self.rendered_bytes = 0;
        let mut out = Vec::new();
        for i in 0..self.symbols.len() {
            if deadline.has_passed()? {
                return Ok((Frames::new(frames), true));
            }
            out.clear();
            // Offsets are in ascending order, as those of a search are.
            let offset = self.symbols.render(i, version, &self.names, &mut out);
            self.rendered_bytes += out.len();
            frames.push((offset, Kept::new(&out)));
            if self.rendered_bytes as f64 > max_bytes {
                break;
            }
        }
        Ok((Frames::new(frames), false))
    }

    /// Read the names that the frames need, until they have more than `max_bytes`. Return their bytes.
    fn read_names(&mut self, pages: &[Bound<'_, LoadedPage>], max_bytes: f64) -> PyResult<usize> {
        let generation = self.reader.get().generation;
        let cache = self.cache.as_ref().map(|cache| cache.get());
        let names = &mut self.names;
        self.loaded_names.each(pages, |number, page| {
            let mut cache = cache.map(PageCache::lock);
            let size = names.read(number, page, |key, name| {
                if let (Some(cache), Ok(key)) = (cache.as_mut(), u32::try_from(key)) {
                    cache.put_name((generation, number as u32, key), name);
                }
            });
            Ok(size as f64 > max_bytes)
        })?;
        Ok(self.names.size())
    }
}

/// One call of `Search.find`.
struct Finder<'a, 'py> {
    reader: &'a Reader,
    header: &'a [u8],
    cache: Option<&'a PageCache>,
    places: &'a [(u32, Option<usize>)],
    symbols: &'a mut Symbols,
    names: &'a mut Names,
    has_places: bool,
    deadline: Deadline<'a, 'py>,
}

impl Finder<'_, '_> {
    /// Look up all places, page by page, and return whether the deadline has ended that.
    fn run(&mut self, loaded: &Loaded, others: &[Bound<'_, LoadedPage>]) -> PyResult<bool> {
        // Offsets before the first symbol come first.
        let mut is_late = self.skip()?;
        if !is_late {
            loaded.each(others, |number, page| {
                is_late = self.look_up(number, page)?;
                Ok(is_late)
            })?;
        }
        Ok(is_late)
    }

    fn skip(&mut self) -> PyResult<bool> {
        for (offset, _) in self.take_places(None) {
            if self.deadline.has_passed()? {
                return Ok(true);
            }
            self.symbols.push_none(*offset);
        }
        Ok(false)
    }

    fn look_up(&mut self, number: usize, page: Page<'_>) -> PyResult<bool> {
        let texts = lookup::room(page);
        let mut lookup = PageLookup::new(page, &texts);
        for (offset, _) in self.take_places(Some(number)) {
            // A single offset in the largest block allowed takes some milliseconds.
            if self.deadline.has_passed()? {
                return Ok(true);
            }
            match lookup.find(*offset, self.has_places)? {
                Some(hit) => self.note(*offset, &hit),
                None => self.symbols.push_none(*offset),
            }
        }
        Ok(false)
    }

    /// Return the places on the next page, and leave the others.
    fn take_places<'b>(&mut self, page: Option<usize>) -> &'b [(u32, Option<usize>)]
    where
        Self: 'b,
    {
        let count = self.places.iter().take_while(|(_, other)| *other == page).count();
        let (places, others) = self.places.split_at(count);
        self.places = others;
        places
    }

    fn note(&mut self, offset: u32, hit: &Hit<'_>) {
        let (reader, header, names) = (self.reader, self.header, &mut *self.names);
        let mut cache = self.cache.map(PageCache::lock);
        let mut kept = |page: usize, number: i128| {
            let key = (reader.generation, page as u32, u32::try_from(number).ok()?);
            cache.as_mut()?.name(key)
        };
        self.symbols.push(offset, hit, |section, number| {
            names.want(reader.name_page(header, section, number), number, &mut kept)
        });
    }
}
