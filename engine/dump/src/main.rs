//! Text of a Breakpad symbol file from a native debug file (ELF, Mach-O, PE, WASM, PDB).
//!
//! The program reads files of strangers, so its caller bounds its memory and time. It has no network, no state and no
//! configuration: FILE in, text out. It also unpacks CAB files.
#![forbid(unsafe_code)]

mod arch;
mod attributes;
mod cabinet;
mod cached;
mod cfi;
mod code;
mod demangle;
mod dump;
mod dwarf;
mod failure;
mod functions;
mod image;
mod interner;
mod lines;
mod mini;
mod module;
mod names;
mod numbers;
mod options;
mod packed_pdb;
mod part;
mod paths;
mod pdb;
mod ranges;
mod records;
mod relocation;
mod section;
mod symbols;
mod text;
mod units;

use std::any::Any;
use std::panic;
use std::process::ExitCode;
use std::thread;

use crate::failure::{Failure, Result};
use crate::options::{Request, USAGE};

const MALFORMED: u8 = 2;
const WRONG_USAGE: u8 = 64;

/// Bytes of stack. Parsers of names and inlined calls recurse as deep as a file is nested, within their own bounds.
const STACK_BYTES: usize = 256 << 20;

fn main() -> ExitCode {
    let failure = match Request::parse() {
        Ok(Request::Dump(options)) => run(move || dump::write(&options)).err(),
        Ok(Request::Unpack(path)) => run(move || cabinet::unpack(&path)).err(),
        Ok(Request::Help) => return print(USAGE),
        Ok(Request::Version) => return print(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"))),
        Err(error) => {
            eprintln!("tecken-dump: {error}; see tecken-dump --help");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    match failure {
        Some(failure) => {
            eprintln!("{failure}");
            ExitCode::from(MALFORMED)
        }
        None => ExitCode::SUCCESS,
    }
}

fn print(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

/// Read a file in a thread with a large stack. A panic of a parser is a failure like any other.
fn run(read: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    panic::set_hook(Box::new(|_| {}));
    let reader = thread::Builder::new().stack_size(STACK_BYTES).spawn(read)?;
    reader.join().unwrap_or_else(|panic| Err(Failure::new(format!("a parser stopped: {}", message(&*panic)))))
}

/// Return the text of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}
