//! Numbers in records, read as Python's `int()` reads them.
#![forbid(unsafe_code)]

/// Longest field of a line or INLINE record that counts as a number (see `func_ranges.MAX_FIELD`).
pub const MAX_FIELD: usize = 24;

/// Magnitude from which larger numbers are all alike: far above every address, far below overflow.
const HUGE: i128 = 1 << 120;

/// Return whether Python's `bytes.split()` splits at this byte.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Return the bytes without white space at both ends.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// Iterator over the fields that white space separates; `rest` is the text after the last one.
#[derive(Clone)]
pub struct Fields<'a> {
    pub rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let begin = self.rest.iter().position(|byte| !is_space(*byte))?;
        let text = self.rest.get(begin..)?;
        let end = text.iter().position(|byte| is_space(*byte)).unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        self.rest = rest;
        Some(field)
    }
}

/// Return the fields of a text.
pub fn fields(text: &[u8]) -> Fields<'_> {
    Fields { rest: text }
}

const fn digit_values() -> [u8; 256] {
    let mut values = [0xff; 256];
    let mut i = 0;
    while i < 10 {
        values[b'0' as usize + i] = i as u8;
        i += 1;
    }
    i = 0;
    while i < 6 {
        values[b'a' as usize + i] = 10 + i as u8;
        values[b'A' as usize + i] = 10 + i as u8;
        i += 1;
    }
    values
}

/// Value of each byte as a hexadecimal digit, 0xff for a byte that is none.
pub const DIGITS: [u8; 256] = digit_values();

/// Return a hexadecimal field of a line or INLINE record; None where it is no number or too long.
pub fn hexadecimal(field: &[u8]) -> Option<i128> {
    if field.len() > 15 {
        return if field.len() <= MAX_FIELD { long_hexadecimal(field) } else { None };
    }
    let mut number = 0u64;
    for byte in field {
        let digit = DIGITS[*byte as usize];
        if digit == 0xff {
            return long_hexadecimal(field);
        }
        number = number << 4 | u64::from(digit);
    }
    if field.is_empty() { None } else { Some(i128::from(number)) }
}

/// Return a decimal field of a line or INLINE record; None where it is no number or too long.
pub fn decimal(field: &[u8]) -> Option<i128> {
    if field.len() > MAX_FIELD {
        return None;
    }
    if !field.is_empty() && field.len() < 18 && field.iter().all(u8::is_ascii_digit) {
        let number = field.iter().fold(0u64, |number, byte| number * 10 + u64::from(byte - b'0'));
        return Some(i128::from(number));
    }
    general(field, 10)
}

/// Return a hexadecimal number of any length. Numbers past 2**120 are all alike.
pub fn long_hexadecimal(field: &[u8]) -> Option<i128> {
    general(field, 16)
}

/// Return the number that `int(field, base)` returns: with a sign, a prefix, single underscores.
fn general(field: &[u8], base: i128) -> Option<i128> {
    let (is_negative, mut digits) = match field {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, field),
    };
    let mut may_be_underscore = false;
    if base == 16
        && let [b'0', b'x' | b'X', rest @ ..] = digits
    {
        digits = rest;
        may_be_underscore = true;
    }
    let mut number = 0i128;
    let mut ends_in_digit = false;
    for byte in digits {
        if *byte == b'_' && may_be_underscore {
            may_be_underscore = false;
            ends_in_digit = false;
            continue;
        }
        let digit = i128::from(DIGITS[*byte as usize]);
        if digit >= base {
            return None;
        }
        number = (number * base + digit).min(HUGE);
        may_be_underscore = true;
        ends_in_digit = true;
    }
    if !ends_in_digit {
        return None;
    }
    Some(if is_negative { -number } else { number })
}
