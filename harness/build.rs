//! Makes the binary smaller by what only a profiler reads.
//!
//! Debug information, which is larger than the program, is compressed: a panic finds its lines in it
//! all the same. Symbols, which say names of functions a second time, are left out: build with
//! `SLOTPROOF_SYMBOLS=1` for `perf`, which knows no others.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SLOTPROOF_SYMBOLS");
    // The linkers of other systems have no such options.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    println!("cargo:rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    // What is tested is rebuilt more often than it is copied.
    let is_released = std::env::var("PROFILE").as_deref() == Ok("release");
    if is_released && std::env::var_os("SLOTPROOF_SYMBOLS").is_none() {
        println!("cargo:rustc-link-arg-bins=-Wl,--discard-all");
    }
}
