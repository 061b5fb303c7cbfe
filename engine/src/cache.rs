//! Pages and names that a process keeps, bounded in bytes; the least recently used ones are evicted.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

/// Generation and number of a page.
pub type PageKey = (u64, u32);

/// Generation, page and number of a name.
pub type NameKey = (u64, u32, u32);

/// Bytes of an entry apart from its content.
const ENTRY_BYTES: usize = 100;

/// Part of the bytes that is for names.
const NAMES_SHARE: usize = 8;

struct Slot {
    key: PageKey,
    page: Arc<[u8]>,
    /// The slots that were used just before and after this one.
    older: usize,
    newer: usize,
}

/// Pages in the order of their use. The first slot is the end of the list in both directions.
pub struct Pages {
    max_bytes: usize,
    size: usize,
    // With the random hash of the standard library: the numbers in the keys come from untrusted files.
    places: HashMap<PageKey, usize>,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

impl Pages {
    fn new(max_bytes: usize) -> Self {
        let end = Slot { key: (0, 0), page: Arc::new([]), older: 0, newer: 0 };
        Pages { max_bytes, size: 0, places: HashMap::default(), slots: vec![end], free: Vec::new() }
    }

    fn get(&mut self, key: PageKey) -> Option<Arc<[u8]>> {
        let place = *self.places.get(&key)?;
        self.unlink(place);
        self.link(place);
        self.slots.get(place).map(|slot| slot.page.clone())
    }

    fn put(&mut self, key: PageKey, page: &[u8]) {
        self.remove(key);
        if page.len() + ENTRY_BYTES > self.max_bytes {
            return;
        }
        let slot = Slot { key, page: page.into(), older: 0, newer: 0 };
        let place = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(place) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        self.link(place);
        self.places.insert(key, place);
        self.size += page.len() + ENTRY_BYTES;
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.size > self.max_bytes {
            let oldest = self.slots[0].newer;
            self.remove(self.slots[oldest].key);
        }
    }

    fn remove(&mut self, key: PageKey) {
        if let Some(place) = self.places.remove(&key) {
            self.unlink(place);
            let page = std::mem::replace(&mut self.slots[place].page, Arc::new([]));
            self.size -= page.len() + ENTRY_BYTES;
            self.free.push(place);
        }
    }

    /// Take a slot out of the list.
    fn unlink(&mut self, place: usize) {
        let Slot { older, newer, .. } = self.slots[place];
        self.slots[older].newer = newer;
        self.slots[newer].older = older;
    }

    /// Put a slot at the end of the list, as the newest one.
    fn link(&mut self, place: usize) {
        let newest = self.slots[0].older;
        self.slots[newest].newer = place;
        self.slots[place].older = newest;
        self.slots[place].newer = 0;
        self.slots[0].older = place;
    }
}

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
        self.old_bytes -= name.len() + ENTRY_BYTES;
        self.put(key, name.clone());
        Some(name)
    }

    fn put(&mut self, key: NameKey, name: Arc<[u8]>) {
        let size = name.len() + ENTRY_BYTES;
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
    pages: Pages,
    names: NameCache,
}

impl Cache {
    pub fn new(max_bytes: usize) -> Self {
        let names = max_bytes / NAMES_SHARE;
        Cache { pages: Pages::new(max_bytes - names), names: NameCache::new(names) }
    }

    pub fn page(&mut self, key: PageKey) -> Option<Arc<[u8]>> {
        self.pages.get(key)
    }

    pub fn put_page(&mut self, key: PageKey, page: &[u8]) {
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
        self.pages.max_bytes = max_bytes - names;
        self.pages.shrink();
        self.names.resize(names);
    }

    /// Return the bytes held.
    pub fn size(&self) -> usize {
        self.pages.size + self.names.new_bytes + self.names.old_bytes
    }
}
