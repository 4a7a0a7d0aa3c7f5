//! Hands one property to libFuzzer: the target that `SLUICE_FUZZ_TARGET` names. Without it, lists the targets.
//!
//! Before the fuzzer reads its corpus, the target's seeds are written to the folder that `SLUICE_FUZZ_SEEDS` names.
//! Knows nothing of what is asserted.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs, io, process};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sluice_fuzz::mutation::Mutator;
use sluice_fuzz::{TARGETS, Target};

/// How many mutants of eight are made by libFuzzer, which knows bytes only.
const BLIND_OF_EIGHT: u32 = 2;

struct Fuzzing {
    target: &'static Target,
    mutator: Mutator,
}

fn fuzzing() -> &'static Fuzzing {
    static FUZZING: OnceLock<Fuzzing> = OnceLock::new();
    FUZZING.get_or_init(|| {
        let Ok(name) = env::var("SLUICE_FUZZ_TARGET") else {
            TARGETS
                .iter()
                .for_each(|target| println!("{}", target.name));
            process::exit(0);
        };
        let target = Target::named(&name).unwrap_or_else(|| panic!("no target {name:?}"));
        let seeds = [target.seeds(), target.recorded()].concat();
        let folder = PathBuf::from(
            env::var_os("SLUICE_FUZZ_SEEDS").expect("SLUICE_FUZZ_SEEDS names a folder"),
        );
        write(&folder, &seeds).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        Fuzzing {
            target,
            mutator: Mutator::new(&seeds),
        }
    })
}

fn write(folder: &Path, seeds: &[Vec<u8>]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("{number:04}")), seed)?;
    }
    Ok(())
}

fuzz_target!(init: { fuzzing(); }, |input: &[u8]| {
    (fuzzing().target.check)(input);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 8 < BLIND_OF_EIGHT {
        return fuzzer_mutate(data, size, max_size);
    }
    let mutant = fuzzing().mutator.mutate(&data[..size], u64::from(seed));
    let size = mutant.len().min(max_size);
    data[..size].copy_from_slice(&mutant[..size]);
    size
});
