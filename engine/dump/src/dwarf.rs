//! DWARF of a module: one thread reads the units, another one writes their symbols.

use std::io::Write;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use crate::code::Code;
use crate::failure::Result;
use crate::functions::FunctionReader;
use crate::interner::Interner;
use crate::lines::LineTable;
use crate::names::EntryNames;
use crate::part::Part;
use crate::records::Batch;
use crate::text::SymbolWriter;
use crate::units::{DebugSections, Slice, Source, Units};

/// Units that were read and not written yet. The reader waits when there are more.
const WAITING: usize = 4;

/// Write the symbols of all units, or of those that a part needs, in the order of the file.
pub fn write<'d>(
    sections: &'d DebugSections,
    code: &Code,
    part: Option<Part>,
    writer: &mut SymbolWriter<'d, impl Write>,
) -> Result<()> {
    let units = Units::load(sections)?;
    let part = part.map(|part| units.choose(part, code));
    if let Some(part) = &part {
        writer.restrict(part.clone());
    }
    thread::scope(|scope| {
        let (sender, batches) = sync_channel(WAITING);
        let (units, part) = (&units, part.as_ref());
        scope.spawn(move || UnitReader::new(units, code).read_all(part, &sender));
        Ok(batches.iter().try_for_each(|batch| writer.write_batch(batch))?)
    })
}

/// Reader of units, and the texts that they share.
struct UnitReader<'u, 'd> {
    units: &'u Units<'d>,
    code: &'u Code,
    names: EntryNames<'u, 'd>,
    files: Interner<'d>,
}

impl<'u, 'd> UnitReader<'u, 'd> {
    fn new(units: &'u Units<'d>, code: &'u Code) -> Self {
        UnitReader { units, code, names: EntryNames::new(units), files: Interner::default() }
    }

    fn read_all(&mut self, part: Option<&Part>, batches: &SyncSender<Batch<'d>>) {
        let is_needed = |source: &&Source| part.is_none_or(|part| part.has(source.lines));
        for source in self.units.sources().iter().filter(is_needed) {
            let batch = self.read(*source).unwrap_or_default();
            // The writer ends early when its output is closed.
            if batches.send(batch).is_err() {
                return;
            }
        }
    }

    fn read(&mut self, source: Source) -> Option<Batch<'d>> {
        let lines = LineTable::read(self.unit(source.lines)?, self.code, &mut self.files);
        let unit = self.unit(source.entries)?;
        let functions = FunctionReader::new(source.entries, unit, self.code, &lines, &mut self.names).read();
        let (names, files) = (self.names.texts.take_fresh(), self.files.take_fresh());
        Some(Batch { names, files, functions, lines: lines.lines })
    }

    fn unit(&self, number: usize) -> Option<gimli::UnitRef<'u, Slice<'d>>> {
        self.units.get(number)
    }
}
