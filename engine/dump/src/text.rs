//! Writer of the text of a symbol file (Breakpad, docs/symbol_files.md).

use std::borrow::Cow;
use std::io::{self, Write};

use crate::demangle::{cut, demangle, is_mangled};
use crate::interner::Map;
use crate::module::Module;
use crate::numbers::{push_decimal, push_hex};
use crate::part::Part;
use crate::ranges::{Range, contains, join};
use crate::records::{Batch, Function, Line, TextId};
use crate::symbols::{Symbol, SymbolTable};

/// FUNC and PUBLIC records have addresses of 32 bits.
const MAX_OFFSET: u64 = u32::MAX as u64;

/// Texts that records refer to by number, each written before it is used.
#[derive(Default)]
struct Texts<'d> {
    texts: Vec<Cow<'d, [u8]>>,
    is_written: Vec<bool>,
}

impl<'d> Texts<'d> {
    fn get(&self, id: TextId) -> &[u8] {
        let index = (id.0 as usize).checked_sub(1);
        index.and_then(|index| self.texts.get(index)).map_or(&[], |text| text.as_ref())
    }

    /// Return whether a text was not used before.
    fn mark(&mut self, id: TextId) -> bool {
        let index = id.0 as usize;
        if self.is_written.len() <= index {
            self.is_written.resize(self.texts.len().max(index) + 1, false);
        }
        self.is_written.get_mut(index).is_some_and(|is_written| !std::mem::replace(is_written, true))
    }
}

/// Output after the symbols.
pub struct Written<W> {
    /// The output itself.
    pub out: W,
    /// Whether there is a FUNC or PUBLIC record.
    pub has_symbols: bool,
}

/// Writer of one symbol file.
pub struct SymbolWriter<'d, W: Write> {
    out: W,
    /// Address that offsets count from.
    base: u64,
    symbols: &'d SymbolTable<'d>,
    /// Part of the module to write; None for all of it.
    part: Option<Part>,
    names: Texts<'d>,
    files: Texts<'d>,
    /// Ends of the functions that were written, by start.
    functions: Map<u64, u64>,
    /// Lines outside of the functions of their unit: those of assembler code and of thunks.
    rest: Vec<Line>,
    has_symbols: bool,
    /// Records of one function, after those that they refer to.
    record: Vec<u8>,
}

impl<'d, W: Write> SymbolWriter<'d, W> {
    /// Return a writer for a module whose offsets count from an address.
    pub fn new(out: W, base: u64, symbols: &'d SymbolTable<'d>) -> Self {
        SymbolWriter {
            out,
            base,
            symbols,
            part: None,
            names: Texts::default(),
            files: Texts::default(),
            functions: Map::default(),
            rest: Vec::new(),
            has_symbols: false,
            record: Vec::new(),
        }
    }

    /// Write only the functions and symbols that a part of the module needs.
    pub fn restrict(&mut self, part: Part) {
        self.part = Some(part);
    }

    /// Write the records that a symbol file begins with.
    pub fn write_module(&mut self, module: &Module, name: &str) -> io::Result<()> {
        writeln!(self.out, "MODULE {} {} {} {}", module.os, module.arch, module.debug_id, name)?;
        if !module.code_id.is_empty() {
            let code_file = module.code_file.iter().map(|name| format!(" {name}"));
            writeln!(self.out, "INFO CODE_ID {}{}", module.code_id, code_file.collect::<String>())?;
        }
        writeln!(self.out, "INFO GENERATOR {} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
    }

    /// Write the functions of one unit.
    pub fn write_batch(&mut self, batch: Batch<'d>) -> io::Result<()> {
        self.names.texts.extend(batch.names);
        self.files.texts.extend(batch.files);
        let ranges = || batch.functions.iter().flat_map(|function| function.ranges.iter().copied());
        let chosen = self.part.as_ref().map(|part| part.among(ranges()));
        let functions =
            batch.functions.iter().flat_map(|function| function.ranges.iter().map(move |range| (function, *range)));
        for (number, (function, range)) in functions.enumerate() {
            if chosen.as_ref().is_none_or(|chosen| chosen.has(number)) {
                self.write_function(function, range, &batch.lines)?;
            } else {
                // It still hides symbols, and functions of later units.
                self.begin(range);
            }
        }
        self.rest.extend(outside(&batch.lines, &join(ranges().collect())));
        Ok(())
    }

    /// Write the symbols that are left, and return the output.
    pub fn finish(mut self) -> io::Result<Written<W>> {
        self.write_publics()?;
        Ok(Written { out: self.out, has_symbols: self.has_symbols })
    }

    /// Write the symbols that are outside of all functions: as functions if they have lines, else as PUBLIC.
    fn write_publics(&mut self) -> io::Result<()> {
        let covered = join(self.functions.iter().map(|(start, end)| Range { start: *start, end: *end }).collect());
        let mut lines = std::mem::take(&mut self.rest);
        lines.sort_unstable_by_key(|line| line.range);
        let wanted = self.part.as_ref().map(|part| part.symbols(self.symbols));
        let is_wanted = |address| wanted.as_ref().is_none_or(|wanted| wanted.contains(&address));
        let is_missing = |symbol: &&Symbol<'_>| is_wanted(symbol.address) && !contains(&covered, symbol.address);
        for symbol in self.symbols.iter().filter(is_missing) {
            let range = Range { start: symbol.address, end: symbol.address.saturating_add(symbol.size) };
            match lines_in(range, &lines).next() {
                Some(_) => self.write_symbol(symbol, range, &lines)?,
                None => self.write_public(symbol)?,
            }
        }
        Ok(())
    }

    fn write_public(&mut self, symbol: &Symbol<'_>) -> io::Result<()> {
        let offset = symbol.address.checked_sub(self.base).filter(|offset| *offset <= MAX_OFFSET);
        let Some(offset) = offset else { return Ok(()) };
        self.has_symbols = true;
        self.record.clear();
        self.record.extend_from_slice(b"PUBLIC ");
        push_hex(&mut self.record, offset, b' ');
        self.record.extend_from_slice(b"0 ");
        push_text(&mut self.record, &demangle(&symbol.name));
        self.out.write_all(&self.record)
    }

    /// Write a symbol with lines as a function.
    fn write_symbol(&mut self, symbol: &Symbol<'_>, range: Range, lines: &[Line]) -> io::Result<()> {
        if !self.begin(range) {
            return Ok(());
        }
        push_text(&mut self.record, &demangle(&symbol.name));
        self.push_lines(range, lines)?;
        self.out.write_all(&self.record)
    }

    /// Write one range of a function.
    fn write_function(&mut self, function: &Function, range: Range, lines: &[Line]) -> io::Result<()> {
        if !self.begin(range) {
            return Ok(());
        }
        push_text(&mut self.record, &demangle(name_of(function, range, &self.names, self.symbols)));
        self.push_calls(function, range)?;
        self.push_lines(range, lines)?;
        self.out.write_all(&self.record)
    }

    /// Begin a FUNC record. Return false if there is a function at its start already, or if it is too far away.
    fn begin(&mut self, range: Range) -> bool {
        let Some(offset) = range.start.checked_sub(self.base) else { return false };
        if range.size() == 0
            || offset.saturating_add(range.size()) > MAX_OFFSET
            || self.functions.contains_key(&range.start)
        {
            return false;
        }
        self.functions.insert(range.start, range.end);
        self.has_symbols = true;
        self.record.clear();
        self.record.extend_from_slice(b"FUNC ");
        push_hex(&mut self.record, offset, b' ');
        push_hex(&mut self.record, range.size(), b' ');
        self.record.extend_from_slice(b"0 ");
        true
    }

    fn push_calls(&mut self, function: &Function, range: Range) -> io::Result<()> {
        for call in &function.calls {
            let mut parts = call.ranges.iter().filter_map(|part| part.intersect(range)).peekable();
            if parts.peek().is_none() {
                continue;
            }
            write_once(&mut self.out, &mut self.files, call.file)?;
            write_origin(&mut self.out, &mut self.names, call.name)?;
            self.record.extend_from_slice(b"INLINE ");
            push_decimal(&mut self.record, call.depth.into(), b' ');
            push_decimal(&mut self.record, call.line, b' ');
            push_decimal(&mut self.record, call.file.0.into(), b' ');
            push_decimal(&mut self.record, call.name.0.into(), b' ');
            for part in parts {
                push_hex(&mut self.record, part.start - self.base, b' ');
                push_hex(&mut self.record, part.size(), b' ');
            }
            end_line(&mut self.record);
        }
        Ok(())
    }

    fn push_lines(&mut self, range: Range, lines: &[Line]) -> io::Result<()> {
        for line in lines_in(range, lines) {
            write_once(&mut self.out, &mut self.files, line.file)?;
            push_hex(&mut self.record, line.range.start - self.base, b' ');
            push_hex(&mut self.record, line.range.size(), b' ');
            push_decimal(&mut self.record, line.line, b' ');
            push_decimal(&mut self.record, line.file.0.into(), b'\n');
        }
        Ok(())
    }
}

/// Return the name of a function; without a linkage name, that in the symbol table for the start of a range.
fn name_of<'n>(function: &Function, range: Range, names: &'n Texts<'_>, symbols: &'n SymbolTable<'_>) -> &'n [u8] {
    let name = names.get(function.name);
    let symbol = match name {
        [] => symbols.name_at(range.start),
        _ if is_mangled(name) => None,
        _ => symbols.mangled_at(range.start, name),
    };
    symbol.unwrap_or(name)
}

/// Return the parts of lines, sorted by address, that are in a range.
fn lines_in(range: Range, lines: &[Line]) -> impl Iterator<Item = Line> {
    let first = lines.partition_point(|line| line.range.end <= range.start);
    let near = lines.iter().skip(first).take_while(move |line| line.range.start < range.end);
    near.filter_map(move |line| Some(Line { range: line.range.intersect(range)?, ..*line }))
}

/// Return the lines that begin or end outside of all ranges; both are sorted by address.
fn outside(lines: &[Line], ranges: &[Range]) -> impl Iterator<Item = Line> {
    let is_outside = |address| !contains(ranges, address);
    lines.iter().filter(move |line| is_outside(line.range.start) || is_outside(line.range.end - 1)).copied()
}

/// Write the FILE record of a file that was not used before. The absent file has none.
fn write_once(out: &mut impl Write, files: &mut Texts<'_>, id: TextId) -> io::Result<()> {
    if id == TextId::NONE || !files.mark(id) {
        return Ok(());
    }
    write!(out, "FILE {} ", id.0)?;
    write_text(out, cut(files.get(id)))
}

/// Write the INLINE_ORIGIN record of a function that was not used before.
fn write_origin(out: &mut impl Write, names: &mut Texts<'_>, id: TextId) -> io::Result<()> {
    if !names.mark(id) {
        return Ok(());
    }
    write!(out, "INLINE_ORIGIN {} ", id.0)?;
    write_text(out, &demangle(names.get(id)))
}

fn write_text(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    let mut line = Vec::with_capacity(text.len() + 1);
    push_text(&mut line, text);
    out.write_all(&line)
}

/// Append a text and the end of its line. Control characters would end the line earlier.
fn push_text(line: &mut Vec<u8>, text: &[u8]) {
    line.extend(text.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }));
    line.push(b'\n');
}

/// Replace the space at the end of a record.
fn end_line(record: &mut [u8]) {
    if let Some(last) = record.last_mut() {
        *last = b'\n';
    }
}
