//! Names of processors, as in the MODULE record.

use object::macho::{CPU_SUBTYPE_MASK, CPU_SUBTYPE_X86_64_H};
use object::read::macho::MachHeader;
use object::{Architecture, Object, ReadRef, SubArchitecture};

/// Return the name of the processor that an object file is for.
pub fn name_of<'f>(object: &object::File<'f, impl ReadRef<'f>>) -> &'static str {
    match (object.architecture(), object.sub_architecture()) {
        (Architecture::Aarch64, Some(SubArchitecture::Arm64E)) => "arm64e",
        (Architecture::Aarch64, Some(SubArchitecture::Arm64EC)) => "arm64ec",
        (Architecture::Aarch64, _) => "arm64",
        (Architecture::Aarch64_Ilp32, _) => "arm64_32",
        (Architecture::Arm, _) => "arm",
        (Architecture::I386, _) => "x86",
        (Architecture::X86_64, _) if is_haswell(object) => "x86_64h",
        (Architecture::X86_64, _) => "x86_64",
        (Architecture::LoongArch64, _) => "loongarch64",
        (Architecture::Mips | Architecture::Mips64, _) => "mips",
        (Architecture::PowerPc, _) => "ppc",
        (Architecture::PowerPc64, _) => "ppc64",
        (Architecture::Riscv32 | Architecture::Riscv64, _) => "riscv",
        (Architecture::S390x, _) => "s390x",
        (Architecture::Sparc | Architecture::Sparc64, _) => "sparc",
        (Architecture::Wasm32, _) => "wasm32",
        (Architecture::Wasm64, _) => "wasm64",
        _ => "unknown",
    }
}

/// Return whether a Mach-O file is for the processors with more instructions, beside one for all in a fat file.
fn is_haswell<'f>(object: &object::File<'f, impl ReadRef<'f>>) -> bool {
    let object::File::MachO64(file) = object else { return false };
    file.macho_header().cpusubtype(file.endian()).0 & !CPU_SUBTYPE_MASK == CPU_SUBTYPE_X86_64_H.0
}
