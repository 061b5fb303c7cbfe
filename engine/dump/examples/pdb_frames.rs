//! Answers of `pdb-addr2line` for the addresses on standard input, as JSON lines like those of llvm-symbolizer.
//!
//! `bench/native.py` compares the dump of a PDB file with them.

use std::error::Error;
use std::fs::File;
use std::io::{Read, stdin};

use pdb_addr2line::pdb::PDB;
use pdb_addr2line::{Context, ContextPdbData, Frame};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: pdb_frames FILE.pdb")?;
    let data = ContextPdbData::try_from_pdb(PDB::open(File::open(path)?)?)?;
    let context = data.make_context()?;
    let mut addresses = String::new();
    stdin().read_to_string(&mut addresses)?;
    for address in addresses.split_whitespace() {
        println!("{}", answer(&context, u32::from_str_radix(address.trim_start_matches("0x"), 16)?)?);
    }
    Ok(())
}

fn answer(context: &Context<'_, '_>, address: u32) -> Result<String, Box<dyn Error>> {
    let frames = context.find_frames(address)?.map(|found| found.frames).unwrap_or_default();
    let symbols: Vec<String> = frames.iter().map(symbol).collect();
    Ok(format!("{{\"Symbol\":[{}]}}", symbols.join(",")))
}

fn symbol(frame: &Frame<'_>) -> String {
    let name = quote(frame.function.as_deref().unwrap_or_default());
    let file = quote(frame.file.as_deref().unwrap_or_default());
    format!("{{\"FunctionName\":{name},\"FileName\":{file},\"Line\":{}}}", frame.line.unwrap_or(0))
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
