//! Pages and names that a process keeps, bounded in bytes; the least recently used ones are evicted.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use crate::tiers::{Kept, Tiers};

/// Generation and number of a page.
pub type PageKey = (u64, u32);

/// Generation, page and number of a name.
pub type NameKey = (u64, u32, u32);

/// Bytes of a name apart from its text.
const NAME_BYTES: usize = 100;

/// Part of the bytes that is for names.
const NAMES_SHARE: usize = 8;

/// Names in two generations: a name that is used moves to the new one, and the old one is dropped when the new one
/// is full.
struct NameCache {
    max_bytes: usize,
    new: HashMap<NameKey, Arc<[u8]>>,
    old: HashMap<NameKey, Arc<[u8]>>,
    new_bytes: usize,
    old_bytes: usize,
}

impl NameCache {
    fn get(&mut self, key: NameKey) -> Option<Arc<[u8]>> {
        if let Some(name) = self.new.get(&key) {
            return Some(name.clone());
        }
        let name = self.old.remove(&key)?;
        self.old_bytes -= name.len() + NAME_BYTES;
        self.put(key, name.clone());
        Some(name)
    }

    fn put(&mut self, key: NameKey, name: Arc<[u8]>) {
        let size = name.len() + NAME_BYTES;
        if 2 * size > self.max_bytes {
            return;
        }
        if 2 * (self.new_bytes + size) > self.max_bytes {
            self.old = std::mem::take(&mut self.new);
            self.old_bytes = std::mem::take(&mut self.new_bytes);
        }
        if self.new.insert(key, name).is_none() {
            self.new_bytes += size;
        }
    }

    fn resize(&mut self, max_bytes: usize) {
        *self = NameCache::new(max_bytes);
    }

    fn new(max_bytes: usize) -> Self {
        NameCache { max_bytes, new: HashMap::default(), old: HashMap::default(), new_bytes: 0, old_bytes: 0 }
    }
}

/// Both caches, with one bound.
pub struct Cache {
    pages: Tiers<PageKey>,
    names: NameCache,
}

impl Cache {
    pub fn new(max_bytes: usize) -> Self {
        let names = max_bytes / NAMES_SHARE;
        Cache { pages: Tiers::new(max_bytes - names), names: NameCache::new(names) }
    }

    pub fn page(&mut self, key: PageKey) -> Option<Kept> {
        self.pages.get(key)
    }

    pub fn put_page(&mut self, key: PageKey, page: Kept) {
        self.pages.put(key, page);
    }

    pub fn name(&mut self, key: NameKey) -> Option<Arc<[u8]>> {
        self.names.get(key)
    }

    pub fn put_name(&mut self, key: NameKey, name: &[u8]) {
        self.names.put(key, name.into());
    }

    /// Set the bound in bytes.
    pub fn resize(&mut self, max_bytes: usize) {
        let names = max_bytes / NAMES_SHARE;
        self.pages.resize(max_bytes - names);
        self.names.resize(names);
    }

    /// Return the bytes held.
    pub fn size(&self) -> usize {
        self.pages.size() + self.names.new_bytes + self.names.old_bytes
    }
}
