// Program whose threads wait, and whose main thread panics inside inlined closures.
use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

#[inline(never)]
fn wait(depth: u32, barrier: &Barrier) -> u32 {
    if depth == 0 {
        barrier.wait();
        thread::sleep(Duration::from_secs(60));
        return 1;
    }
    wait(depth - 1, barrier) + depth
}

#[inline(never)]
fn parse(table: &BTreeMap<String, Vec<i64>>, name: &str) -> i64 {
    table
        .iter()
        .filter(|(key, _)| key.starts_with(name))
        .map(|(_, values)| values.iter().map(|value| 1000 / value).sum::<i64>())
        .sum()
}

#[inline(never)]
fn read(pointer: *const u64, count: usize) -> u64 {
    (0..count).map(|i| unsafe { *pointer.add(i) }).fold(0, |sum, value| sum ^ value.rotate_left(3))
}

fn main() {
    let way = std::env::args().nth(1).unwrap_or_default();
    let barrier = Arc::new(Barrier::new(3));
    for depth in [2, 6] {
        let barrier = barrier.clone();
        let builder = thread::Builder::new().name(format!("waiting {depth}"));
        builder.spawn(move || wait(depth, &barrier)).unwrap();
    }
    barrier.wait();
    thread::sleep(Duration::from_millis(20));
    let mut table = BTreeMap::new();
    table.insert("zero".to_string(), vec![3, 0]);
    match way.as_str() {
        "panic" => println!("{}", parse(&table, "z")),
        "read" => println!("{}", read(16 as *const u64, 4)),
        _ => println!("not a way to crash: {way}"),
    }
}
