//! Line rows of a unit.

use std::borrow::Cow;

use gimli::{LineProgramHeader, UnitRef};

use crate::code::Code;
use crate::failure::Result;
use crate::interner::Interner;
use crate::paths::join;
use crate::ranges::Range;
use crate::records::{Line, TextId};
use crate::units::Slice;

/// Bytes of code of one line. A longer one lacks its end and would hide others.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Lines of a unit by address, and its files by their number there.
#[derive(Default)]
pub struct LineTable {
    pub lines: Vec<Line>,
    files: Vec<TextId>,
}

impl LineTable {
    /// Read the line program of a unit; a broken program gives the rows before the error.
    pub fn read<'d>(unit: UnitRef<'_, Slice<'d>>, code: &Code, texts: &mut Interner<'d>) -> Self {
        let mut table = LineTable::default();
        if let Some(program) = unit.line_program.clone() {
            table.files = read_files(unit, program.header(), texts);
            // The rows before an error are as good as those of other units.
            let _ = table.read_rows(program, code);
            table.lines.sort_by_key(|line| line.range.start);
        }
        table
    }

    /// Return the file with a number in the unit.
    pub fn file(&self, number: u64) -> TextId {
        usize::try_from(number).ok().and_then(|number| self.files.get(number)).copied().unwrap_or(TextId::NONE)
    }

    fn read_rows(&mut self, program: gimli::IncompleteLineProgram<Slice<'_>>, code: &Code) -> Result<()> {
        let mut rows = program.rows();
        let mut last: Option<Line> = None;
        while let Some((_, row)) = rows.next_row()? {
            let address = row.address();
            if let Some(mut line) = last {
                line.range.end = address;
                // The end of a sequence of removed code can be missing here, so each row is checked, not the first.
                if line.range.start < address && line.range.size() <= MAX_LINE_BYTES && code.contains(line.range.start)
                {
                    self.push(line);
                }
            }
            let range = Range { start: address, end: address };
            let number = row.line().map_or(0, |number| number.get());
            last = (!row.end_sequence()).then(|| Line { range, file: self.file(row.file_index()), line: number });
        }
        Ok(())
    }

    /// Add a line; one that continues the line before makes that longer.
    fn push(&mut self, line: Line) {
        match self.lines.last_mut() {
            Some(last) if last.range.end == line.range.start && (last.file, last.line) == (line.file, line.line) => {
                last.range.end = line.range.end;
            }
            _ => self.lines.push(line),
        }
    }
}

fn read_files<'d>(
    unit: UnitRef<'_, Slice<'d>>,
    header: &LineProgramHeader<Slice<'d>>,
    texts: &mut Interner<'d>,
) -> Vec<TextId> {
    let count = header.file_names().len() as u64 + 1;
    let number_of = |number| {
        let path = path(unit, header, number).unwrap_or_default();
        texts.intern(Cow::Owned(path))
    };
    (0..count).map(number_of).collect()
}

/// Return the whole path of a file of a unit.
fn path<'d>(unit: UnitRef<'_, Slice<'d>>, header: &LineProgramHeader<Slice<'d>>, number: u64) -> Option<Vec<u8>> {
    let file = header.file(number)?;
    let name = unit.attr_string(file.path_name()).ok()?;
    let folder = unit.comp_dir.map_or(&[][..], |folder| folder.slice());
    // Up to DWARF 4, the folder 0 is that of the compilation.
    if file.directory_index() == 0 && header.version() < 5 {
        return Some(join(folder, name.slice()));
    }
    let inner = file.directory(header).and_then(|folder| unit.attr_string(folder).ok());
    Some(join(&join(folder, inner.map_or(&[], |inner| inner.slice())), name.slice()))
}
