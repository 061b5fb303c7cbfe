//! Rendered frames: those of one module of a request, those that a process keeps, and the JSON of a stack.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyList};

use crate::reader::without_panic;
use crate::render::{Version, push_digits};
use crate::tiers::{Kept, Tiers};

/// Usual bytes of a frame before its fragment.
const START_BYTES: usize = 64;

/// Version, generation and offset.
type FrameKey = (u8, u64, u32);

/// Frames that a process keeps.
#[pyclass(frozen)]
pub struct FrameCache(Mutex<Tiers<FrameKey>>);

impl FrameCache {
    /// Return the cache, which no thread holds while it runs Python code.
    fn lock(&self) -> MutexGuard<'_, Tiers<FrameKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl FrameCache {
    #[new]
    fn new(max_bytes: usize) -> Self {
        FrameCache(Mutex::new(Tiers::new(max_bytes)))
    }

    /// Return the frames of those offsets that are cached. Offsets of more than 32 bits never are.
    fn get(&self, version: &str, generation: u64, offsets: &Bound<'_, PyAny>) -> PyResult<Frames> {
        let version = Version::named(version) as u8;
        let mut wanted = Vec::with_capacity(offsets.len().unwrap_or_default());
        for offset in offsets.try_iter()? {
            wanted.extend(offset?.extract::<u32>());
        }
        wanted.sort_unstable();
        let mut cache = self.lock();
        let frames = wanted.into_iter().filter_map(|it| Some((it, cache.get((version, generation, it))?)));
        Ok(Frames(frames.collect()))
    }

    /// Store frames.
    fn put(&self, version: &str, generation: u64, frames: &Frames) {
        let version = Version::named(version) as u8;
        let mut cache = self.lock();
        for (offset, frame) in &frames.0 {
            cache.put((version, generation, *offset), frame.clone());
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

/// Frames by offset, in ascending order.
#[pyclass(frozen, mapping)]
pub struct Frames(Vec<(u32, Kept)>);

impl Frames {
    /// Take frames in ascending order.
    pub fn new(frames: Vec<(u32, Kept)>) -> Self {
        Frames(frames)
    }

    fn find(&self, offset: u32) -> Option<&Kept> {
        let at = self.0.binary_search_by_key(&offset, |(other, _)| *other).ok()?;
        self.0.get(at).map(|(_, frame)| frame)
    }
}

#[pymethods]
impl Frames {
    /// Return frames of a dictionary, whose offsets have 32 bits.
    #[staticmethod]
    fn of(frames: BTreeMap<u32, Vec<u8>>) -> Self {
        Frames(frames.iter().map(|(offset, frame)| (*offset, Kept::new(frame))).collect())
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __contains__(&self, offset: &Bound<'_, PyAny>) -> bool {
        offset.extract().is_ok_and(|offset| self.find(offset).is_some())
    }

    fn __getitem__<'py>(&self, offset: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let frame = offset.extract().ok().and_then(|offset| self.find(offset));
        bytes_of(offset.py(), frame.ok_or_else(|| PyKeyError::new_err(offset.clone().unbind()))?)
    }

    fn keys(&self) -> Vec<u32> {
        self.0.iter().map(|(offset, _)| *offset).collect()
    }

    fn values<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        self.0.iter().map(|(_, frame)| bytes_of(py, frame)).collect()
    }

    fn items<'py>(&self, py: Python<'py>) -> PyResult<Vec<(u32, Bound<'py, PyBytes>)>> {
        self.0.iter().map(|(offset, frame)| Ok((*offset, bytes_of(py, frame)?))).collect()
    }

    #[pyo3(signature = (offset, default = None))]
    fn get<'py>(
        &self,
        offset: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let frame = offset.extract().ok().and_then(|offset| self.find(offset));
        frame.map_or(Ok(default), |frame| Ok(Some(bytes_of(offset.py(), frame)?.into_any())))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let frames = self.items(other.py())?.into_py_dict(other.py())?;
        match other.cast::<Frames>() {
            Ok(other) => frames.eq(other.get().items(other.py())?.into_py_dict(other.py())?),
            Err(_) => frames.eq(other),
        }
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyList::new(py, self.keys())?.try_iter()?.into_any())
    }

    /// Return the frames of both.
    fn __or__(&self, other: &Frames) -> Frames {
        let mut frames = self.0.clone();
        frames.extend(other.0.iter().cloned());
        // Of two frames with the same offset, either will do: they are of the same symbols.
        frames.sort_by_key(|(offset, _)| *offset);
        frames.dedup_by_key(|(offset, _)| *offset);
        Frames(frames)
    }

    /// Bytes of the largest frame.
    #[getter]
    fn largest(&self) -> usize {
        self.0.iter().map(|(_, frame)| frame.len()).max().unwrap_or_default()
    }
}

fn bytes_of<'py>(py: Python<'py>, frame: &Kept) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, frame.len(), |out| {
        frame.copy_to(out);
        Ok(())
    })
}

/// One module of a job: its name as JSON with a comma, and its frames, rendered by the engine or in Python.
struct Module<'a, 'py> {
    label: &'a [u8],
    frames: Source<'a, 'py>,
}

enum Source<'a, 'py> {
    Engine(&'a Frames),
    Python(&'a Bound<'py, PyDict>),
}

/// A frame in one of both forms.
enum Frame<'a, 'py> {
    Engine(&'a Kept),
    Python(Bound<'py, PyBytes>),
}

impl<'a, 'py> Module<'a, 'py> {
    fn frame(&self, offset: &Bound<'py, PyAny>) -> PyResult<Frame<'a, 'py>> {
        let missing = || PyKeyError::new_err(offset.clone().unbind());
        match self.frames {
            Source::Engine(frames) => frames.find(offset.extract()?).ok_or_else(missing).map(Frame::Engine),
            Source::Python(frames) => Ok(Frame::Python(frames.get_item(offset)?.ok_or_else(missing)?.cast_into()?)),
        }
    }
}

impl Frame<'_, '_> {
    fn len(&self) -> usize {
        match self {
            Frame::Engine(frame) => frame.len(),
            Frame::Python(frame) => frame.as_bytes().len(),
        }
    }

    fn copy_to(&self, out: &mut [u8]) {
        match self {
            Frame::Engine(frame) => frame.copy_to(out),
            Frame::Python(frame) => out.copy_from_slice(frame.as_bytes()),
        }
    }
}

/// Return the JSON of a stack in version 5, without its brackets.
///
/// `labels` and `fragments` have the name and the frames of each module by its index.
#[pyfunction]
pub fn join_stack<'py>(
    stack: &Bound<'py, PyList>,
    labels: &Bound<'py, PyDict>,
    fragments: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyBytes>> {
    let labels = labels.extract::<HashMap<i64, Bound<'_, PyBytes>>>()?;
    let fragments = fragments.extract::<HashMap<i64, Bound<'_, PyAny>>>()?;
    without_panic(|| {
        let modules = modules_of(&labels, &fragments)?;
        // What comes before the frames, one after the other; and each frame with the end of that.
        let mut starts = Vec::with_capacity(START_BYTES * stack.len());
        let mut frames = Vec::with_capacity(stack.len());
        let mut length = 0;
        for (number, item) in stack.iter().enumerate() {
            let item = item.cast_into::<PyList>()?;
            let module = modules.get(&item.get_item(0)?.extract()?);
            let module = module.ok_or_else(|| PyKeyError::new_err("a module is missing"))?;
            push_start(number as u32, module.label, &mut starts);
            let frame = module.frame(&item.get_item(1)?)?;
            length += frame.len();
            frames.push((starts.len(), frame));
        }
        // The length is known, so that the frames are copied once.
        PyBytes::new_with(stack.py(), starts.len() + length, |out| {
            copy_all(&starts, &frames, out);
            Ok(())
        })
    })
}

fn push_start(number: u32, label: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(if number > 0 { b",{\"frame\":" } else { b"{\"frame\":" });
    push_digits::<10>(out, number);
    out.extend_from_slice(b",\"module\":");
    out.extend_from_slice(label);
}

fn copy_all(starts: &[u8], frames: &[(usize, Frame<'_, '_>)], mut out: &mut [u8]) {
    let mut begin = 0;
    for (end, frame) in frames {
        let (start, rest) = out.split_at_mut(end - begin);
        start.copy_from_slice(&starts[begin..*end]);
        let (content, rest) = rest.split_at_mut(frame.len());
        frame.copy_to(content);
        (out, begin) = (rest, *end);
    }
}

fn modules_of<'a, 'py>(
    labels: &'a HashMap<i64, Bound<'py, PyBytes>>,
    fragments: &'a HashMap<i64, Bound<'py, PyAny>>,
) -> PyResult<HashMap<i64, Module<'a, 'py>>> {
    let mut modules = HashMap::with_capacity(labels.len());
    for (index, frames) in fragments {
        let label = labels.get(index).map(|label| label.as_bytes()).unwrap_or_default();
        let frames = match frames.cast::<Frames>() {
            Ok(frames) => Source::Engine(frames.get()),
            Err(_) => Source::Python(frames.cast()?),
        };
        modules.insert(*index, Module { label, frames });
    }
    Ok(modules)
}
