//! Numbers for texts that occur many times.

use std::borrow::Cow;
use std::hash::BuildHasherDefault;

use rustc_hash::FxHasher;

use crate::records::TextId;

/// Map with a hash that is fast and not random. A file that makes keys collide only costs its own time.
pub type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<FxHasher>>;

/// Texts with their numbers, and a list of those that were added last.
#[derive(Default)]
pub struct Interner<'d> {
    ids: Map<Cow<'d, [u8]>, TextId>,
    fresh: Vec<Cow<'d, [u8]>>,
}

impl<'d> Interner<'d> {
    /// Return the number of a text, a new one for a new text.
    pub fn intern(&mut self, text: Cow<'d, [u8]>) -> TextId {
        if text.is_empty() {
            return TextId::NONE;
        }
        if let Some(id) = self.ids.get(&text) {
            return *id;
        }
        let id = TextId(self.ids.len() as u32 + 1);
        self.ids.insert(text.clone(), id);
        self.fresh.push(text);
        id
    }

    /// Return the texts that were added since the last call, in order.
    pub fn take_fresh(&mut self) -> Vec<Cow<'d, [u8]>> {
        std::mem::take(&mut self.fresh)
    }
}
