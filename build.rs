//! Lays the program out for the linker: `link/seldom.ld` says what and why.

fn main() {
    println!("cargo:rerun-if-changed=link/seldom.ld");
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{here}/link/seldom.ld");
}
