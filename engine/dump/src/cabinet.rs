//! CAB files, in which symbol stores keep a file packed: `x.pdb` as `x.pd_` (Microsoft, "Microsoft Cabinet Format").

use std::fs::File;
use std::io;
use std::path::Path;

use cab::Cabinet;

use crate::failure::{Failure, Result};

/// Write the only file of a CAB file to standard output. It is unpacked in blocks of 32 KiB.
pub fn unpack(path: &Path) -> Result<()> {
    let mut cabinet = Cabinet::new(File::open(path)?)?;
    let names = cabinet.folder_entries().flat_map(|folder| folder.file_entries()).map(|file| file.name().to_owned());
    let [name] = names
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|names: Vec<_>| Failure::new(format!("the CAB file has {} files, and not one", names.len())))?;
    io::copy(&mut cabinet.read_file(&name)?, &mut io::stdout().lock())?;
    Ok(())
}
