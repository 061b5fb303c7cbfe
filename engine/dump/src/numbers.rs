//! Numbers in records, of which a large module has some ten million.

/// Append a number in base 16, and the character after it.
pub fn push_hex(record: &mut Vec<u8>, number: u64, end: u8) {
    let digits = (67 - number.leading_zeros()).max(4) / 4;
    let digit = |place: u32| b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
    record.extend((0..digits.min(16)).rev().map(digit));
    record.push(end);
}

/// Append a number in base 10, and the character after it.
pub fn push_decimal(record: &mut Vec<u8>, mut number: u64, end: u8) {
    let start = record.len();
    loop {
        record.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = record.get_mut(start..) {
        digits.reverse();
    }
    record.push(end);
}
