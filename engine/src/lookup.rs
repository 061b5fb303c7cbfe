//! Search of one page for the symbol at an offset (see `lookup.PageLookup`).
#![forbid(unsafe_code)]

use std::cell::OnceCell;

use crate::block::{Block, Hit, TEXT_LOOKUPS};
use crate::errors::MalformedPage;
use crate::packed::{PACKED, expand};
use crate::page::Page;

/// Text of each packed block of a page that was looked at, None for a malformed one.
pub type Texts = [OnceCell<Option<Vec<u8>>>];

/// Return room for the texts of a page, which live as long as the lookups in it.
pub fn room(page: Page<'_>) -> Vec<OnceCell<Option<Vec<u8>>>> {
    vec![OnceCell::new(); page.keys.len()]
}

/// Search in one page; ascending offsets are fastest.
pub struct PageLookup<'a> {
    page: Page<'a>,
    texts: &'a Texts,
    /// Records up to the last symbol that was visited, and the last FUNC record among them.
    visited: usize,
    function: Option<usize>,
    /// Blocks of the FUNC records at one address, the last one first, and the number of the last one.
    blocks: Vec<Block<'a>>,
    blocks_at: Option<usize>,
    /// Last packed block that was searched as it is, and how often.
    packed_at: Option<usize>,
    packed_lookups: u32,
}

impl<'a> PageLookup<'a> {
    pub fn new(page: Page<'a>, texts: &'a Texts) -> Self {
        PageLookup {
            page,
            texts,
            visited: 0,
            function: None,
            blocks: Vec::new(),
            blocks_at: None,
            packed_at: None,
            packed_lookups: 0,
        }
    }

    /// Return the hit at an offset of this page; None where no symbol covers it.
    pub fn find(&mut self, module_offset: u32, has_places: bool) -> Result<Option<Hit<'a>>, MalformedPage> {
        let offset = i128::from(module_offset);
        // Records up to the offset; the last of them is the symbol.
        let symbols = self.page.keys.bisect_right(offset, 0, self.page.keys.len());
        let function = self.function_before(symbols);
        let begin = function.map_or(0, |function| function + 1);
        let public = if begin < symbols { Some(self.public(begin, symbols - 1)?) } else { None };
        let Some(function) = function else { return Ok(public) };
        if public.is_none()
            && self.may_search_packed(function)
            && let Ok(hit) =
                Hit::of_packed(self.page.text(function), self.page.keys.get(function), module_offset, has_places)
        {
            return Ok(hit);
        }
        self.load_blocks(function)?;
        let Some(block) = chosen(&mut self.blocks, offset) else {
            let end = self.blocks.iter().map(|block| block.end).max();
            return Ok(public.filter(|public| end.is_some_and(|end| public.entry >= end)));
        };
        let public = public.filter(|public| public.entry > block.start);
        // Places are looked up even where they are not shown: an offset may be in a gap without a function.
        let hit = block.locate(offset);
        if let Some(public) = public {
            let boundary = block.boundary(offset);
            if public.entry > boundary || (public.entry == boundary && hit.is_none()) {
                return Ok(Some(public));
            }
        }
        Ok(if has_places { hit } else { hit.map(|_| block.without_places()) })
    }

    /// Return the last FUNC record among the first `symbols` records.
    fn function_before(&mut self, symbols: usize) -> Option<usize> {
        // Searches back only to the symbol of the lookup before. A page may have thousands of PUBLIC records after
        // one FUNC, and each lookup among them would otherwise visit all of them.
        let (visited, function) = if self.visited <= symbols { (self.visited, self.function) } else { (0, None) };
        let later = (visited..symbols).rev().find(|i| !self.page.is_public(*i));
        self.visited = symbols;
        self.function = later.or(function);
        self.function
    }

    /// Return the PUBLIC record at the address of `symbol`: of several, the first from `begin` on.
    fn public(&self, begin: usize, symbol: usize) -> Result<Hit<'a>, MalformedPage> {
        let keys = self.page.keys;
        Hit::public(self.page.text(keys.bisect_left(keys.get(symbol), begin, symbol)))
    }

    /// Return whether a packed block is searched without its text: the first few times, and where it is the only
    /// block at its address.
    fn may_search_packed(&mut self, function: usize) -> bool {
        let keys = self.page.keys;
        let is_alone = function == 0 || keys.get(function - 1) != keys.get(function);
        if !is_alone || self.blocks_at == Some(function) || self.page.text(function).first() != Some(&PACKED) {
            return false;
        }
        if self.packed_at != Some(function) {
            (self.packed_at, self.packed_lookups) = (Some(function), 0);
        }
        self.packed_lookups = self.packed_lookups.saturating_add(1);
        self.packed_lookups <= TEXT_LOOKUPS
    }

    fn load_blocks(&mut self, function: usize) -> Result<(), MalformedPage> {
        if self.blocks_at == Some(function) {
            return Ok(());
        }
        let page = self.page;
        let address = page.keys.get(function);
        self.blocks_at = None;
        self.blocks.clear();
        let block = self.block(function)?;
        self.blocks.push(block);
        let equal = (0..function).rev().take_while(|i| page.keys.get(*i) == address);
        for i in equal.filter(|i| !page.is_public(*i)) {
            let block = self.block(i)?;
            self.blocks.push(block);
        }
        self.blocks_at = Some(function);
        Ok(())
    }
}

impl<'a> PageLookup<'a> {
    fn block(&self, i: usize) -> Result<Block<'a>, MalformedPage> {
        let record = self.page.text(i);
        if record.first() != Some(&PACKED) {
            return Block::new(record);
        }
        let address = u64::from(self.page.keys.get(i));
        let text = self.texts.get(i).and_then(|text| text.get_or_init(|| expand(record, address)).as_deref());
        Block::new(text.ok_or_else(|| MalformedPage::record(record))?)
    }
}

/// Return the last block with lines that covers `offset`, or else the first that covers it.
///
/// All blocks are at one address, in reverse order.
fn chosen<'b, 'a>(blocks: &'b mut [Block<'a>], offset: i128) -> Option<&'b mut Block<'a>> {
    let covers = |block: &Block<'_>| offset < block.end;
    let count = blocks.iter().filter(|block| covers(block)).count();
    let with_lines =
        if count > 1 { blocks.iter_mut().position(|block| covers(block) && block.has_lines()) } else { None };
    let place = with_lines.or_else(|| blocks.iter().rposition(covers))?;
    blocks.get_mut(place)
}
