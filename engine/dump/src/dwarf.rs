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
use crate::records::Batch;
use crate::text::SymbolWriter;
use crate::units::{DebugSections, Slice, Source, Units};

/// Units that were read and not written yet. The reader waits when there are more.
const WAITING: usize = 4;

/// Write the symbols of all units, in the order of the file.
pub fn write<'d>(sections: &'d DebugSections, code: &Code, writer: &mut SymbolWriter<'d, impl Write>) -> Result<()> {
    let units = Units::load(sections)?;
    thread::scope(|scope| {
        let (sender, batches) = sync_channel(WAITING);
        let units = &units;
        scope.spawn(move || UnitReader::new(units, code).read_all(&sender));
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

    fn read_all(&mut self, batches: &SyncSender<Batch<'d>>) {
        for source in self.units.sources() {
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
