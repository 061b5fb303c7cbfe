//! Content by key, bounded in bytes: as it is while there is room, then packed with LZ4, then evicted.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

/// Bytes of an entry apart from its content: its slot, its place in the map, and the counters of the content.
pub const ENTRY_BYTES: usize = 160;

/// Part of the bytes in which content is never packed.
const HOT_SHARE: usize = 4;

/// Content that a process keeps. Copies share their memory.
#[derive(Clone)]
pub struct Kept {
    bytes: Arc<[u8]>,
    /// Length of the content, if the bytes are LZ4.
    packed_length: Option<u32>,
}

impl Kept {
    pub fn new(content: &[u8]) -> Self {
        Kept { bytes: content.into(), packed_length: None }
    }

    /// Return the length of the content.
    pub fn len(&self) -> usize {
        self.packed_length.map_or(self.bytes.len(), |length| length as usize)
    }

    /// Return the content, which is in `room` if it was packed.
    pub fn open<'a>(&'a self, room: &'a mut Vec<u8>) -> &'a [u8] {
        if self.packed_length.is_none() {
            return &self.bytes;
        }
        room.clear();
        self.push_to(room);
        room
    }

    /// Append the content to `out`.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        match self.packed_length {
            None => out.extend_from_slice(&self.bytes),
            Some(length) => {
                out.resize(begin + length as usize, 0);
                self.copy_to(&mut out[begin..]);
            }
        }
    }

    /// Copy the content to `out`, which has its length.
    pub fn copy_to(&self, out: &mut [u8]) {
        match self.packed_length {
            None => out.copy_from_slice(&self.bytes),
            // The bytes are those that `pack` has made, so this cannot fail.
            Some(_) => drop(decompress_into(&self.bytes, out)),
        }
    }

    fn bytes(&self) -> usize {
        self.bytes.len() + ENTRY_BYTES
    }
}

struct Slot<K> {
    key: K,
    content: Kept,
    tier: usize,
    /// The slots of the same tier that were used just before and after this one.
    older: u32,
    newer: u32,
}

/// Tiers, and the slots at which their lists begin and end.
const HOT: usize = 0;
const COLD: usize = 1;

/// Content in the order of its use, in two tiers: new content is hot. What of it has not been used for the longest
/// time becomes cold when the memory is full, and stays packed until it is evicted.
pub struct Tiers<K> {
    max_bytes: usize,
    /// Bytes of each tier.
    sizes: [usize; 2],
    // With the random hash of the standard library: the numbers in the keys come from untrusted files.
    places: HashMap<K, u32>,
    slots: Vec<Slot<K>>,
    free: Vec<u32>,
    packer: Packer,
}

impl<K: Copy + Default + Eq + Hash> Tiers<K> {
    pub fn new(max_bytes: usize) -> Self {
        let end = |tier: usize| Slot {
            key: K::default(),
            content: Kept::new(&[]),
            tier,
            older: tier as u32,
            newer: tier as u32,
        };
        Tiers {
            max_bytes,
            sizes: [0; 2],
            places: HashMap::default(),
            slots: vec![end(HOT), end(COLD)],
            free: Vec::new(),
            packer: Packer::default(),
        }
    }

    pub fn get(&mut self, key: K) -> Option<Kept> {
        let place = *self.places.get(&key)?;
        self.unlink(place);
        self.link(place);
        self.slots.get(place as usize).map(|slot| slot.content.clone())
    }

    pub fn put(&mut self, key: K, content: Kept) {
        self.remove(key);
        let size = content.bytes();
        if size > self.max_bytes {
            return;
        }
        let slot = Slot { key, content, tier: HOT, older: 0, newer: 0 };
        let place = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(place as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        self.link(place);
        self.places.insert(key, place);
        self.sizes[HOT] += size;
        self.shrink();
    }

    pub fn resize(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
        // Most content is not packed to less than a quarter, so packing more than that would only take time.
        while self.size() / 4 > max_bytes
            && let Some(oldest) = self.oldest(COLD).or(self.oldest(HOT))
        {
            self.remove(self.slots[oldest].key);
        }
        self.shrink();
    }

    /// Return the bytes held.
    pub fn size(&self) -> usize {
        self.sizes[HOT] + self.sizes[COLD]
    }

    fn shrink(&mut self) {
        while self.size() > self.max_bytes {
            match (self.oldest(HOT), self.oldest(COLD)) {
                (_, Some(cold)) if self.sizes[HOT] <= self.max_bytes / HOT_SHARE => self.remove(self.slots[cold].key),
                (Some(hot), _) => self.cool(hot as u32),
                _ => return,
            }
        }
    }

    fn oldest(&self, tier: usize) -> Option<usize> {
        let oldest = self.slots[tier].newer as usize;
        (oldest != tier).then_some(oldest)
    }

    /// Move hot content to the cold tier, packed.
    fn cool(&mut self, place: u32) {
        self.unlink(place);
        let slot = &mut self.slots[place as usize];
        self.sizes[HOT] -= slot.content.bytes();
        if let Some(packed) = self.packer.pack(&slot.content) {
            slot.content = packed;
        }
        slot.tier = COLD;
        self.sizes[COLD] += slot.content.bytes();
        self.link(place);
    }

    fn remove(&mut self, key: K) {
        if let Some(place) = self.places.remove(&key) {
            self.unlink(place);
            let slot = &mut self.slots[place as usize];
            let content = std::mem::replace(&mut slot.content, Kept::new(&[]));
            self.sizes[slot.tier] -= content.bytes();
            self.free.push(place);
        }
    }

    /// Take a slot out of its list.
    fn unlink(&mut self, place: u32) {
        let Slot { older, newer, .. } = self.slots[place as usize];
        self.slots[older as usize].newer = newer;
        self.slots[newer as usize].older = older;
    }

    /// Put a slot at the end of its tier's list, as the newest one.
    fn link(&mut self, place: u32) {
        let end = self.slots[place as usize].tier;
        let newest = self.slots[end].older;
        self.slots[newest as usize].newer = place;
        self.slots[place as usize].older = newest;
        self.slots[place as usize].newer = end as u32;
        self.slots[end].older = place;
    }
}

/// Most bytes that a compressor keeps for the next content.
const MAX_ROOM: usize = 1 << 20;

/// Compressor with its memory.
#[derive(Default)]
struct Packer {
    table: CompressTable,
    room: Vec<u8>,
}

impl Packer {
    /// Return content packed; None if that saves less than an eighth.
    fn pack(&mut self, content: &Kept) -> Option<Kept> {
        let length = u32::try_from(content.bytes.len()).ok()?;
        let most = get_maximum_output_size(content.bytes.len());
        if self.room.len() < most {
            self.room.resize(most, 0);
        }
        let written = compress_into_with_table(&content.bytes, &mut self.room, &mut self.table).ok()?;
        let packed = Kept { bytes: self.room.get(..written)?.into(), packed_length: Some(length) };
        if most > MAX_ROOM {
            *self = Packer::default();
        }
        (8 * written <= 7 * content.bytes.len()).then_some(packed)
    }
}
