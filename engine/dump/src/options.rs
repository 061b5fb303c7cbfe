//! Command line.

use std::num::ParseIntError;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

use crate::part::Part;

/// Text of `--help`.
pub const USAGE: &str = "\
usage: tecken-dump [OPTION]... FILE
       tecken-dump --unpack CAB_FILE

Write the text of a Breakpad symbol file for a native debug file; with --unpack, write the only file in a CAB file.

  --arch ARCH                program of a fat file (x86_64, arm64, ...), default: the first one
  --name NAME                name in the MODULE record, default: the base name of FILE
  --supplementary DWZ_FILE   file with what dwz moved out of FILE
  --package DWP_FILE         file with the split units of FILE
  --cfi EXECUTABLE           executable with the unwind information of FILE
  --offsets HEX[,HEX]...     only as many records as lookups of these module offsets need
  --help, --version

Exit status: 0, or 2 with one line on standard error for a file that is malformed or has no symbols.";

/// Files and names that the command line gives.
#[derive(Debug, Default)]
pub struct Options {
    pub file: PathBuf,
    pub arch: Option<String>,
    pub name: Option<String>,
    pub supplementary: Option<PathBuf>,
    pub package: Option<PathBuf>,
    pub executable: Option<PathBuf>,
    pub offsets: Vec<u64>,
}

/// What the command line asks for.
pub enum Request {
    Dump(Options),
    Unpack(PathBuf),
    Help,
    Version,
}

impl Request {
    /// Parse the command line of this process.
    pub fn parse() -> Result<Self, lexopt::Error> {
        let mut options = Options::default();
        let mut file = None;
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("arch") => options.arch = Some(parser.value()?.string()?),
                Long("name") => options.name = Some(parser.value()?.string()?),
                Long("supplementary") => options.supplementary = Some(parser.value()?.into()),
                Long("package") => options.package = Some(parser.value()?.into()),
                Long("cfi") => options.executable = Some(parser.value()?.into()),
                Long("offsets") => options.offsets = parser.value()?.parse_with(parse_offsets)?,
                Long("unpack") => return Ok(Request::Unpack(parser.value()?.into())),
                Long("help") | Short('h') => return Ok(Request::Help),
                Long("version") => return Ok(Request::Version),
                Value(path) if file.is_none() => file = Some(path.into()),
                other => return Err(other.unexpected()),
            }
        }
        options.file = file.ok_or("FILE is missing")?;
        Ok(Request::Dump(options))
    }
}

impl Options {
    /// Return whether only a part of the module is asked for.
    pub fn is_part(&self) -> bool {
        !self.offsets.is_empty()
    }

    /// Return the part of the module that is asked for, whose offsets count from an address; None for all of it.
    pub fn part(&self, base: u64) -> Option<Part> {
        let addresses = self.offsets.iter().map(|offset| base.saturating_add(*offset));
        self.is_part().then(|| Part::new(addresses))
    }

    /// Return the name for the MODULE record.
    pub fn module_name(&self) -> String {
        let base = || self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(base)
    }
}

fn parse_offsets(text: &str) -> Result<Vec<u64>, ParseIntError> {
    text.split(',').map(|offset| u64::from_str_radix(offset, 16)).collect()
}
