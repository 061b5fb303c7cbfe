//! Dump of one file.

use std::io::{BufWriter, StdoutLock, Write, stdout};

use crate::cfi;
use crate::code::Code;
use crate::dwarf;
use crate::failure::{Failure, Result};
use crate::image::{Image, NativeFile};
use crate::module::Module;
use crate::options::Options;
use crate::pdb::PdbFile;
use crate::symbols::SymbolTable;
use crate::text::{SymbolWriter, Written};
use crate::units::DebugSections;

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 1 << 20;

type Output = BufWriter<StdoutLock<'static>>;

/// Write the symbol file of a native file to standard output.
pub fn write(options: &Options) -> Result<()> {
    let file = NativeFile::open(&options.file)?;
    let executable = options.executable.as_deref().map(NativeFile::open).transpose()?;
    let executable = executable.as_ref().map(|file| file.image(options.arch.as_deref())).transpose()?;
    if let Some(pdb) = PdbFile::open(&file, &options.file)? {
        write_pdb(options, &pdb, executable.as_ref())
    } else {
        write_object(options, &file.image(options.arch.as_deref())?, executable.as_ref())
    }
}

fn write_object(options: &Options, image: &Image<'_>, executable: Option<&Image<'_>>) -> Result<()> {
    let mut module = Module::of(image)?;
    complete(&mut module, executable)?;
    let written = write_symbols(options, image, &module)?;
    if options.is_part() {
        return finish_part(written);
    }
    finish(written, cfi::merge(stack_records(image), executable.map(stack_records).unwrap_or_default()))
}

fn write_pdb(options: &Options, pdb: &PdbFile<'_>, executable: Option<&Image<'_>>) -> Result<()> {
    let mut module = pdb.module()?;
    complete(&mut module, executable)?;
    let written = pdb.write(output(), &module, options)?;
    if options.is_part() {
        return finish_part(written);
    }
    let mut stack = Vec::new();
    // The unwind information of other processors is in the executable alone.
    if module.arch == "x86" {
        stack = cfi::read(&pdb.content()?).unwrap_or_default();
    }
    finish(written, cfi::merge(stack, executable.map(stack_records).unwrap_or_default()))
}

/// Write the functions, lines and symbols of an object file. The memory that they take is free afterwards.
fn write_symbols(options: &Options, image: &Image<'_>, module: &Module) -> Result<Written<Output>> {
    let symbols = SymbolTable::of(image);
    let sections = read_sections(options, image)?;
    let mut writer = SymbolWriter::new(output(), image.base(), &symbols);
    writer.write_module(module, &options.module_name())?;
    dwarf::write(&sections, &Code::new(image.code()), options.part(image.base()), &mut writer)?;
    Ok(writer.finish()?)
}

/// Read the debug sections of a file, and of the files that belong to it.
fn read_sections(options: &Options, image: &Image<'_>) -> Result<DebugSections> {
    let open = |path: &Option<_>| path.as_deref().map(NativeFile::open).transpose();
    let (supplementary, package) = (open(&options.supplementary)?, open(&options.package)?);
    let supplementary = supplementary.as_ref().map(|file| file.image(None)).transpose()?;
    let package = package.as_ref().map(|file| file.image(None)).transpose()?;
    DebugSections::read(image, supplementary.as_ref(), package.as_ref())
}

/// Add the code id of its executable to a module without one.
fn complete(module: &mut Module, executable: Option<&Image<'_>>) -> Result<()> {
    let Some(executable) = executable.map(Module::of).transpose()? else { return Ok(()) };
    if !module.belongs_with(&executable) {
        let (ours, theirs) = (&module.debug_id, &executable.debug_id);
        return Err(Failure::new(format!("the executable has the debug id {theirs}, not {ours}")));
    }
    if module.code_id.is_empty() {
        module.code_id = executable.code_id;
        module.code_file = executable.code_file;
    }
    Ok(())
}

/// Return the STACK records of an object file. Symbols without unwind information are still of use.
fn stack_records(image: &Image<'_>) -> Vec<u8> {
    // The addresses in the unwind information of a file that is not linked are not relocated.
    if !cfi::has_records(image) || !image.layout.is_linked() {
        return Vec::new();
    }
    image.content().and_then(|content| cfi::read(&content)).unwrap_or_default()
}

fn output() -> Output {
    BufWriter::with_capacity(WRITE_BYTES, stdout().lock())
}

/// Write the STACK records after the symbols. A file without a single record has no use.
fn finish(mut written: Written<Output>, stack: Vec<u8>) -> Result<()> {
    if !written.has_symbols && stack.is_empty() {
        return Err(Failure::new("the file has neither symbols nor unwind information"));
    }
    written.out.write_all(&stack)?;
    Ok(written.out.flush()?)
}

/// End the output of a part, which has no unwind information and may have no symbols.
fn finish_part(mut written: Written<Output>) -> Result<()> {
    Ok(written.out.flush()?)
}
