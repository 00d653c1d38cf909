//! Writes the valid inputs from which fuzzing begins to `fuzz/corpus`. To be run again when a format changes.

use std::path::Path;
use std::{fs, io};

use synod_sim::fuzz::{TARGETS, corpus};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (target, _) in TARGETS {
        fs::create_dir_all(root.join(target))?;
        for (name, bytes) in corpus::seeds(target) {
            fs::write(root.join(target).join(name), bytes)?;
        }
    }
    Ok(())
}
