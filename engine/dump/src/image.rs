//! Object file: ELF, Mach-O, PE or WASM, and one program of a fat file.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};

use gimli::RunTimeEndian;
use object::read::ReadCache;
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};
use object::{
    BinaryFormat, CompressedFileRange, FileKind, Object, ObjectSection, ObjectSegment, ReadRef, SectionFlags,
    SectionKind, elf,
};

use crate::arch;
use crate::cached::CachedPart;
use crate::failure::{Failure, Result};
use crate::ranges::Range;
use crate::relocation::Layout;
use crate::section;

/// File on disk, opened. Sections are read when they are needed, so that a packed one is never in memory.
pub struct NativeFile {
    path: PathBuf,
    cache: ReadCache<File>,
    size: u64,
}

/// Object file.
pub struct Image<'f> {
    pub object: object::File<'f, CachedPart<'f>>,
    /// Range of the file that the object takes.
    pub place: Range,
    pub layout: Layout,
    path: &'f Path,
    sections: RefCell<File>,
}

impl NativeFile {
    /// Open a file. Nothing is read yet.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(NativeFile { path: path.to_owned(), cache: ReadCache::new(file), size })
    }

    /// Return the first bytes of the file.
    pub fn head(&self, size: u64) -> &[u8] {
        (&self.cache).read_bytes_at(0, size.min(self.size)).unwrap_or_default()
    }

    /// Return the program for a processor; the first one of a fat file when none is named.
    pub fn image(&self, arch: Option<&str>) -> Result<Image<'_>> {
        let mut found = Vec::new();
        for place in self.places()? {
            let part = CachedPart::new(self.cache.range(place.start, place.size()));
            let object = object::File::parse(part)?;
            let name = arch::name_of(&object);
            if arch.is_none_or(|wanted| wanted == name) {
                let sections = RefCell::new(File::open(&self.path)?);
                let layout = Layout::of(&object);
                return Ok(Image { object, place, layout, path: &self.path, sections });
            }
            found.push(name);
        }
        Err(Failure::new(format!(
            "the file has no program for {}, only {}",
            arch.unwrap_or("any processor"),
            found.join(", ")
        )))
    }

    /// Return the ranges of the programs in the file.
    fn places(&self) -> Result<Vec<Range>> {
        let whole = CachedPart::new(self.cache.range(0, self.size));
        match FileKind::parse(whole)? {
            FileKind::MachOFat32 => Ok(fat_places(MachOFatFile32::parse(whole)?.arches())),
            FileKind::MachOFat64 => Ok(fat_places(MachOFatFile64::parse(whole)?.arches())),
            _ => Ok(vec![Range { start: 0, end: self.size }]),
        }
    }
}

fn fat_places(arches: &[impl FatArch]) -> Vec<Range> {
    let place = |arch: &_| {
        let (start, size) = FatArch::file_range(arch);
        Range { start, end: start.saturating_add(size) }
    };
    arches.iter().map(place).collect()
}

impl Image<'_> {
    /// Return the content of a section, unpacked; empty for one that is absent or has no bytes in this file.
    pub fn section(&self, name: &str) -> Result<Vec<u8>> {
        // Tools before 2016 give compressed sections another name.
        let packed_name = name.replacen(".debug_", ".zdebug_", 1);
        let section = self.object.section_by_name(name).or_else(|| self.object.section_by_name(&packed_name));
        let Some(section) = section else { return Ok(Vec::new()) };
        let mut place = section.compressed_file_range()?;
        place.offset = place.offset.saturating_add(self.place.start);
        let mut content = section::read(&mut self.sections.borrow_mut(), &place)?;
        self.layout.relocate(&self.object, &section, &mut content);
        Ok(content)
    }

    /// Return whether one of the sections has bytes in this file.
    pub fn has(&self, names: &[&str]) -> bool {
        let sections = names.iter().filter_map(|name| self.object.section_by_name(name));
        sections.filter_map(|section| section.file_range()).any(|(_, size)| size > 0)
    }

    /// Return the base name of the file.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Return the bytes of the object.
    pub fn content(&self) -> Result<Vec<u8>> {
        let size = self.place.size();
        let place = CompressedFileRange::none(Some((self.place.start, size)));
        section::read(&mut self.sections.borrow_mut(), &place)
    }

    /// Return the byte order.
    pub fn endian(&self) -> RunTimeEndian {
        if self.object.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big }
    }

    /// Return the address that offsets in the module count from.
    pub fn base(&self) -> u64 {
        let mut segments = self.object.segments();
        match self.object.format() {
            // Kernels have a segment of variables at address 0 after the first one.
            BinaryFormat::Elf => segments.next().map_or(0, |segment| segment.address()),
            BinaryFormat::MachO => segments
                .find(|segment| segment.name().is_ok_and(|name| name == Some("__TEXT")))
                .map_or(0, |segment| segment.address()),
            _ => self.object.relative_address_base(),
        }
    }

    /// Return the addresses with code, in order; none when the file does not give them.
    pub fn code(&self) -> Vec<Range> {
        let sections = self.object.sections().filter(is_code);
        let range = |section: object::Section<'_, '_, _>| {
            let start = self.layout.address(Some(section.index()), section.address());
            Range { start, end: start.saturating_add(section.size()) }
        };
        let mut ranges: Vec<Range> = sections.map(range).collect();
        ranges.sort_unstable();
        ranges
    }
}

/// Return whether a section has instructions.
pub fn is_code<'d>(section: &impl ObjectSection<'d>) -> bool {
    match section.flags() {
        SectionFlags::Elf { sh_flags, .. } => sh_flags.contains(elf::SHF_EXECINSTR),
        _ => section.kind() == SectionKind::Text && section.size() > 0,
    }
}
