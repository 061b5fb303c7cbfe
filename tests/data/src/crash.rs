//! The part that fails: a division that nobody checked, under a few inlined calls, ending in a panic.
#![no_std]

use core::panic::PanicInfo;

struct Bill {
    pence: i64,
}

trait Split {
    fn split(&self, people: i64) -> i64;
}

impl Split for Bill {
    #[inline(always)]
    fn split(&self, people: i64) -> i64 {
        rounded(self.pence, people)
    }
}

#[inline(always)]
fn rounded(pence: i64, people: i64) -> i64 {
    divided(pence + people / 2, people)
}

#[inline(always)]
fn divided(pence: i64, people: i64) -> i64 {
    pence / people
}

#[no_mangle]
pub extern "C" fn crash_rs_share(pence: i64, people: i64) -> i64 {
    let bills = [Bill { pence }, Bill { pence: pence / 7 }];
    bills.iter().map(|bill| bill.split(people)).filter(|share| *share > 0).max().unwrap_or(0)
}

#[panic_handler]
#[inline(never)]
fn stop(_info: &PanicInfo) -> ! {
    abort()
}

#[inline(always)]
fn abort() -> ! {
    unsafe {
        core::arch::asm!("ud2", options(noreturn));
    }
}
