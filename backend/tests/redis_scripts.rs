//! The house rules of Lua: a header that names every key and argument, and a caller that gives just these.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 50;
/// Arguments that come as often as there are events are named with this.
const MORE: &str = "and on:";

struct Lua {
    name: String,
    header: Vec<String>,
    body: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cluster/redis")
}

fn scripts() -> Vec<Lua> {
    let files = std::fs::read_dir(folder().join("lua")).expect("the folder of the scripts");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a script");
        let (header, body): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("--"));
        Lua {
            name: path.file_stem().expect("it has a name").to_string_lossy().into_owned(),
            header: header.into_iter().map(str::to_owned).collect(),
            body: body.join("\n"),
        }
    };
    files.map(|file| read(file.expect("a file").path())).collect()
}

/// The numbers in `NAME[1]`, `NAME[2]` and so on.
fn indexes(text: &str, name: &str) -> BTreeSet<usize> {
    let begin = format!("{name}[");
    let after = text.split(&begin).skip(1);
    after.filter_map(|rest| rest.split(']').next()?.parse().ok()).collect()
}

#[test]
fn every_script_has_a_header_that_names_what_it_uses() {
    let scripts = scripts();
    assert!(scripts.len() >= 7, "only {} scripts were found", scripts.len());
    for Lua { name, header, body } in scripts {
        let header = header.join("\n");
        assert!(header.contains("\n-- returns "), "{name}: does not say what it returns");
        assert!(!header.starts_with("-- KEYS"), "{name}: does not say what it does");
        let lines = body.lines().count() + header.lines().count();
        assert!(lines <= LINES_MAX, "{name}: has {lines} lines");
        for list in ["KEYS", "ARGV"] {
            let (named, used) = (indexes(&header, list), indexes(&body, list));
            assert_eq!(named, (1..=named.len()).collect(), "{name}: {list} are not counted from 1");
            assert!(used.is_subset(&named), "{name}: uses {list} {used:?} and names {named:?}");
        }
    }
}

/// A caller is a function of `scripts.rs` from the script's name to where it is invoked.
#[test]
fn every_caller_gives_what_the_header_names() {
    let rust = std::fs::read_to_string(folder().join("scripts.rs")).expect("the callers");
    for Lua { name, header, .. } in scripts() {
        let begin = format!(" {}.prepare_invoke()", name.to_uppercase());
        let calls: Vec<_> = rust.split(&begin).skip(1).collect();
        assert_eq!(calls.len(), 1, "{name}: has one caller");
        let call = calls[0].split(".invoke(").next().expect("it is invoked");
        let header = header.join("\n");
        for (list, gives) in [("KEYS", ".key("), ("ARGV", ".arg(")] {
            let (named, given) = (indexes(&header, list).len(), call.matches(gives).count());
            assert_eq!(given, named, "{name}: the header names {named} {list}, the caller gives {given}");
        }
        assert_eq!(header.contains(MORE), call.contains("for event in"), "{name}: arguments without end");
    }
}
