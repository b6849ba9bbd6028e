//! The pages of `console/` are embedded. A checkout where they were not built yet still compiles: the server then shows a plain
//! page of its own in their place.

fn main() {
    let dist = std::path::Path::new("../console/dist");
    // A folder that cannot be made is named by the macro that embeds it.
    let _ = std::fs::create_dir_all(dist);
    println!("cargo:rerun-if-changed={}", dist.display());
    println!("cargo:rerun-if-changed=build.rs");
}
