//! PDB files of Windows programs.
//!
//! `pdb-addr2line` answers for one address. Its answers change only where a line or an inlined call begins or ends, so
//! that asking at these addresses gives all of them, and this module has no rules of its own for names and calls.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use pdb_addr2line::pdb::{
    AddressMap, DebugInformation, FallibleIterator, IdIndex, Inlinee, LineInfo, MachineType, ModuleInfo, PDB,
    PdbInternalSectionOffset, SymbolData,
};
use pdb_addr2line::{Context, ContextPdbData, Frame, Function as Found};

use crate::failure::Result;
use crate::image::NativeFile;
use crate::interner::{Interner, Map};
use crate::module::{Module, WINDOWS, debug_id};
use crate::options::Options;
use crate::packed_pdb;
use crate::part::Part;
use crate::ranges::Range;
use crate::records::{Batch, Call, Function, Line, TextId};
use crate::symbols::{Symbol, SymbolTable};
use crate::text::{SymbolWriter, Written};

/// First bytes of a PDB file.
pub const MAGIC: &[u8] = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0";

/// PDB file at a path, or the content of a compressed one.
pub struct PdbFile<'p> {
    path: &'p Path,
    unpacked: Option<Arc<[u8]>>,
}

/// Where a PDB file is read.
#[derive(Debug)]
enum Source {
    File(File),
    Memory(Cursor<Arc<[u8]>>),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::File(file) => file.read(buffer),
            Source::Memory(content) => content.read(buffer),
        }
    }
}

impl Seek for Source {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        match self {
            Source::File(file) => file.seek(place),
            Source::Memory(content) => content.seek(place),
        }
    }
}

impl<'p> PdbFile<'p> {
    /// Return the file at a path if it is a PDB file.
    pub fn open(file: &NativeFile, path: &'p Path) -> Result<Option<Self>> {
        if file.head(MAGIC.len() as u64) == MAGIC {
            return Ok(Some(PdbFile { path, unpacked: None }));
        }
        if file.head(packed_pdb::MAGIC.len() as u64) == packed_pdb::MAGIC {
            return Ok(Some(PdbFile { path, unpacked: Some(packed_pdb::unpack(path)?.into()) }));
        }
        Ok(None)
    }

    /// Return the bytes of the file, uncompressed.
    pub fn content(&self) -> Result<Cow<'_, [u8]>> {
        Ok(match &self.unpacked {
            Some(content) => Cow::Borrowed(content),
            None => Cow::Owned(fs::read(self.path)?),
        })
    }

    /// Return the identity of the file.
    pub fn module(&self) -> Result<Module> {
        let mut pdb = self.reader()?;
        let information = pdb.pdb_information()?;
        let debug = pdb.debug_information()?;
        let age = debug.age().unwrap_or(information.age);
        let debug_id = debug_id(information.guid.as_bytes(), false, age);
        let arch = arch_name(debug.machine_type()?);
        Ok(Module { os: WINDOWS, arch, debug_id, code_id: String::new(), code_file: None })
    }

    /// Write the symbols of the file, with the first records of its symbol file.
    pub fn write<W: Write>(&self, out: W, module: &Module, options: &Options) -> Result<Written<W>> {
        let data = ContextPdbData::try_from_pdb(self.reader()?)?;
        let context = data.make_context()?;
        let (functions, publics): (Vec<Found>, Vec<Found>) =
            context.functions().partition(|function| function.end_rva.is_some());
        let table = SymbolTable::new(publics.into_iter().filter_map(public_symbol).collect());
        let mut writer = SymbolWriter::new(out, 0, &table);
        writer.write_module(module, &options.module_name())?;
        let part = options.part(0).map(|part| choose(part, &functions));
        if let Some(part) = &part {
            writer.restrict(part.clone());
        }
        let mut reader = FunctionReader::new(&context, self.boundaries(part.as_ref())?);
        for (index, function) in functions.iter().enumerate() {
            if part.as_ref().is_none_or(|part| part.has(index)) {
                writer.write_batch(reader.read(function, start_of(&functions, index + 1)))?;
            }
        }
        Ok(writer.finish()?)
    }

    fn reader(&self) -> Result<PDB<'static, Source>> {
        let source = match &self.unpacked {
            Some(content) => Source::Memory(Cursor::new(Arc::clone(content))),
            None => Source::File(File::open(self.path)?),
        };
        Ok(PDB::open(source)?)
    }

    /// Return the addresses where a line or an inlined call begins or ends; of a part, those in its modules.
    fn boundaries(&self, part: Option<&Part>) -> Result<BTreeSet<u32>> {
        let mut pdb = self.reader()?;
        let addresses = pdb.address_map()?;
        let debug = pdb.debug_information()?;
        let mut boundaries = Boundaries { addresses: &addresses, found: BTreeSet::new() };
        let needed = part.map(|part| touched_modules(&debug, &addresses, part)).transpose()?;
        let mut modules = debug.modules()?.enumerate();
        while let Some((index, module)) = modules.next()? {
            if needed.as_ref().is_some_and(|needed| !needed.contains(&index)) {
                continue;
            }
            if let Some(module) = pdb.module_info(&module)? {
                // A module without lines still has its functions.
                let _ = boundaries.add_module(&module);
            }
        }
        Ok(boundaries.found)
    }
}

/// Addresses where something begins or ends.
struct Boundaries<'b, 's> {
    addresses: &'b AddressMap<'s>,
    found: BTreeSet<u32>,
}

impl Boundaries<'_, '_> {
    /// Add the boundaries of the lines and of the inlined calls of a module.
    fn add_module(&mut self, module: &ModuleInfo<'_>) -> Result<()> {
        let program = module.line_program()?;
        let mut lines = program.lines();
        while let Some(line) = lines.next()? {
            self.add(&line);
        }
        self.add_calls(module)
    }

    fn add_calls(&mut self, module: &ModuleInfo<'_>) -> Result<()> {
        let inlinees: Map<IdIndex, Inlinee<'_>> =
            module.inlinees()?.map(|inlinee| Ok((inlinee.index(), inlinee))).collect()?;
        let mut symbols = module.symbols()?;
        let mut function = PdbInternalSectionOffset::default();
        while let Some(symbol) = symbols.next()? {
            match symbol.parse() {
                Ok(SymbolData::Procedure(procedure)) => function = procedure.offset,
                Ok(SymbolData::SeparatedCode(part)) => function = part.offset,
                Ok(SymbolData::InlineSite(site)) => {
                    let mut lines = inlinees.get(&site.inlinee).map(|inlinee| inlinee.lines(function, &site));
                    while let Some(Ok(Some(line))) = lines.as_mut().map(|lines| lines.next()) {
                        self.add(&line);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, line: &LineInfo) {
        if let Some(start) = line.offset.to_rva(self.addresses) {
            self.found.extend([start.0, start.0.saturating_add(line.length.unwrap_or(0))]);
        }
    }
}

/// Add the functions that a part needs to it, each as a unit of its own.
fn choose(mut part: Part, functions: &[Found]) -> Part {
    for (index, function) in functions.iter().enumerate() {
        let end = start_of(functions, index + 1).unwrap_or(u32::MAX);
        let end = function.end_rva.unwrap_or(function.start_rva).min(end);
        part.add_range(index, Range { start: function.start_rva.into(), end: end.into() });
    }
    part.complete();
    part
}

fn start_of(functions: &[Found], index: usize) -> Option<u32> {
    functions.get(index).map(|function| function.start_rva)
}

/// Return the numbers of the modules with code at one of the addresses of a part.
fn touched_modules(debug: &DebugInformation<'_>, addresses: &AddressMap<'_>, part: &Part) -> Result<BTreeSet<usize>> {
    let mut touched = BTreeSet::new();
    let mut contributions = debug.section_contributions()?;
    while let Some(contribution) = contributions.next()? {
        let Some(start) = contribution.offset.to_rva(addresses) else { continue };
        let range = Range { start: start.0.into(), end: start.0.saturating_add(contribution.size).into() };
        if part.touches(range) {
            touched.insert(contribution.module);
        }
    }
    Ok(touched)
}

fn public_symbol(function: Found) -> Option<Symbol<'static>> {
    Some(Symbol { address: function.start_rva.into(), size: 0, name: Cow::Owned(function.name?.into_bytes()) })
}

fn arch_name(machine: MachineType) -> &'static str {
    match machine {
        MachineType::X86 => "x86",
        MachineType::Amd64 => "x86_64",
        MachineType::Arm | MachineType::ArmNT => "arm",
        MachineType::Arm64 => "arm64",
        _ => "unknown",
    }
}

/// Inlined call: depth, line and file of the call, and name of the function that is called.
type CallKey = (u32, u32, TextId, TextId);

/// Reader of functions, and the texts that they share.
struct FunctionReader<'c, 'a, 's> {
    context: &'c Context<'a, 's>,
    boundaries: BTreeSet<u32>,
    names: Interner<'static>,
    files: Interner<'static>,
}

impl<'c, 'a, 's> FunctionReader<'c, 'a, 's> {
    fn new(context: &'c Context<'a, 's>, boundaries: BTreeSet<u32>) -> Self {
        FunctionReader { context, boundaries, names: Interner::default(), files: Interner::default() }
    }

    /// Read a function up to its end, or to the start of the next one.
    fn read(&mut self, found: &Found, next: Option<u32>) -> Batch<'static> {
        let start = found.start_rva;
        let end = found.end_rva.unwrap_or(start).min(next.unwrap_or(u32::MAX));
        let range = Range { start: start.into(), end: end.into() };
        let name = intern_name(&mut self.names, found.name.as_deref());
        let mut block =
            Block { function: Function { name, ranges: vec![range], calls: Vec::new() }, ..Block::default() };
        for part in parts(&self.boundaries, start, end) {
            if let Ok(Some(frames)) = self.context.find_frames(part.start as u32) {
                self.add_part(&mut block, part, &frames.frames);
            }
        }
        let Block { function, lines, .. } = block;
        // Code without a name, such as that of exception handlers, can have lines; else nothing is known of it.
        let has_lines = lines.iter().any(|line| line.line > 0);
        let functions = if found.name.is_some() || has_lines { vec![function] } else { Vec::new() };
        Batch { names: self.names.take_fresh(), files: self.files.take_fresh(), functions, lines }
    }

    /// Add the frames of a part, from the inside to the outside.
    fn add_part(&mut self, block: &mut Block, part: Range, frames: &[Frame<'_>]) {
        for (depth, pair) in frames.windows(2).rev().enumerate() {
            let [callee, caller] = pair else { continue };
            let name = intern_name(&mut self.names, callee.function.as_deref());
            let file = intern(&mut self.files, caller.file.as_deref());
            block.add_call((depth as u32, caller.line.unwrap_or(0), file, name), part);
        }
        if let Some(leaf) = frames.first() {
            let file = intern(&mut self.files, leaf.file.as_deref());
            block.add_line(part, file, leaf.line.unwrap_or(0));
        }
    }
}

/// Function in the making.
struct Block {
    function: Function,
    lines: Vec<Line>,
    /// Place of each call in the function.
    calls: Map<CallKey, usize>,
}

impl Default for Block {
    fn default() -> Self {
        let function = Function { name: TextId::NONE, ranges: Vec::new(), calls: Vec::new() };
        Block { function, lines: Vec::new(), calls: Map::default() }
    }
}

impl Block {
    fn add_call(&mut self, key: CallKey, part: Range) {
        let (depth, line, file, name) = key;
        let index = *self.calls.entry(key).or_insert(self.function.calls.len());
        if index == self.function.calls.len() {
            self.function.calls.push(Call { depth, line: line.into(), file, name, ranges: Vec::new() });
        }
        let Some(call) = self.function.calls.get_mut(index) else { return };
        match call.ranges.last_mut() {
            Some(last) if last.end == part.start => last.end = part.end,
            _ => call.ranges.push(part),
        }
    }

    fn add_line(&mut self, part: Range, file: TextId, line: u32) {
        let line = u64::from(line);
        match self.lines.last_mut() {
            Some(last) if last.range.end == part.start && (last.file, last.line) == (file, line) => {
                last.range.end = part.end;
            }
            _ => self.lines.push(Line { range: part, file, line }),
        }
    }
}

/// Return the parts that boundaries cut a range into.
fn parts(boundaries: &BTreeSet<u32>, start: u32, end: u32) -> Vec<Range> {
    if start >= end {
        return Vec::new();
    }
    let mut ends: Vec<u32> = boundaries.range(start + 1..end).copied().collect();
    ends.push(end);
    let starts = std::iter::once(start).chain(ends.iter().copied());
    starts.zip(ends.iter()).map(|(start, end)| Range { start: start.into(), end: (*end).into() }).collect()
}

fn intern(texts: &mut Interner<'static>, text: Option<&str>) -> TextId {
    text.map_or(TextId::NONE, |text| texts.intern(Cow::Owned(text.as_bytes().to_vec())))
}

/// Return the number of a function name, spelled as in the names of other formats.
fn intern_name(texts: &mut Interner<'static>, name: Option<&str>) -> TextId {
    intern(texts, name.map(|name| name.replace("`anonymous namespace'", "(anonymous namespace)")).as_deref())
}
