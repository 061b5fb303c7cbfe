//! MODULE record and INFO records of an object file.

use object::read::pe::{ImageNtHeaders, ImageOptionalHeader};
use object::{BinaryFormat, LittleEndian as LE, Object, ObjectSection};

use crate::arch;
use crate::failure::Result;
use crate::image::Image;

/// Identity of a module, as in the first records of its symbol file.
pub struct Module {
    pub os: &'static str,
    pub arch: &'static str,
    pub debug_id: String,
    pub code_id: String,
    /// Name of the executable, for Windows, where it is not that of the debug file.
    pub code_file: Option<String>,
}

/// Operating system of PE and PDB files.
pub const WINDOWS: &str = "windows";

/// Bytes at the start of `.text` that the id of an ELF file without a build id is made of.
const HASHED_CODE_BYTES: usize = 4096;

impl Module {
    /// Return whether another file can belong to the module; one without an id can belong to each.
    pub fn belongs_with(&self, other: &Module) -> bool {
        let is_known = |module: &Module| module.debug_id.bytes().any(|byte| byte != b'0');
        !is_known(self) || !is_known(other) || self.debug_id == other.debug_id
    }

    /// Return the identity of an object file.
    pub fn of(image: &Image<'_>) -> Result<Self> {
        let object = &image.object;
        let (os, debug_id, code_id) = match object.format() {
            BinaryFormat::Elf => elf_ids(image)?,
            BinaryFormat::MachO => {
                let uuid = object.mach_uuid()?.map(Vec::from).unwrap_or_default();
                ("mac", debug_id(&uuid, false, 0), hex(&uuid))
            }
            BinaryFormat::Wasm => {
                let id = wasm_build_id(image);
                ("wasm", debug_id(&id, false, 0), hex(&id))
            }
            _ => (WINDOWS, pe_debug_id(image)?, pe_code_id(image).unwrap_or_default()),
        };
        let code_file = (os == WINDOWS).then(|| image.name());
        Ok(Module { os, arch: arch::name_of(object), debug_id, code_id, code_file })
    }
}

/// Return an id as Breakpad writes it: a GUID and an age.
pub fn debug_id(id: &[u8], is_little_endian: bool, age: u32) -> String {
    let mut guid = [0; 16];
    guid.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    if is_little_endian {
        guid[..4].reverse();
        guid[4..6].reverse();
        guid[6..8].reverse();
    }
    format!("{}{age:x}", hex(&guid))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn elf_ids(image: &Image<'_>) -> Result<(&'static str, String, String)> {
    let is_little_endian = image.object.is_little_endian();
    let build_id = image.object.build_id()?.unwrap_or_default();
    let id = if build_id.is_empty() { hash_code(image)? } else { build_id.to_vec() };
    Ok(("Linux", debug_id(&id, is_little_endian, 0), hex(build_id)))
}

/// Return the XOR of the words of 16 bytes at the start of the code, as Breakpad does without a build id.
fn hash_code(image: &Image<'_>) -> Result<Vec<u8>> {
    let code = image.section(".text")?;
    let mut hash = vec![0; 16];
    for word in code.get(..HASHED_CODE_BYTES).unwrap_or(&code).chunks(16) {
        hash.iter_mut().zip(word).for_each(|(to, from)| *to ^= from);
    }
    Ok(hash)
}

fn pe_debug_id(image: &Image<'_>) -> Result<String> {
    let id = image.object.pdb_info()?.map(|view| debug_id(&view.guid(), true, view.age()));
    Ok(id.unwrap_or_else(|| debug_id(&[], false, 0)))
}

fn pe_code_id(image: &Image<'_>) -> Option<String> {
    let (time, size) = match &image.object {
        object::File::Pe32(pe) => pe_times(pe.nt_headers()),
        object::File::Pe64(pe) => pe_times(pe.nt_headers()),
        _ => return None,
    };
    Some(format!("{time:08X}{size:x}"))
}

fn pe_times(headers: &impl ImageNtHeaders) -> (u32, u32) {
    (headers.file_header().time_date_stamp.get(LE), headers.optional_header().size_of_image())
}

/// Return the build id of a WASM file; linkers write its length before it.
fn wasm_build_id(image: &Image<'_>) -> Vec<u8> {
    let section = image.object.section_by_name("build_id");
    let content = section.and_then(|section| section.data().ok()).unwrap_or_default();
    match content.split_first() {
        Some((length, id)) if usize::from(*length) == id.len() => id.to_vec(),
        _ => content.to_vec(),
    }
}
