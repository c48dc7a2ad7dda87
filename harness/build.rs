//! Compresses the debug information of the binary, which is larger than the program. A panic finds
//! its lines in it all the same.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The linkers of other systems have no such option.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    }
}
