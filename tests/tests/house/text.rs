//! What stands in a Rust file, and what must not.

use crate::tree::{SourceFile, Tree};

const LINES_MAX: usize = 500;

/// Written in two halves, so that this file does not catch itself.
const LEFTOVERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimplemented", "!("),
    concat!("#[ig", "nore"),
];
const CLOCKS: &[&str] = &["SystemTime::now", "Instant::now", "OffsetDateTime::now_utc", "Utc::now"];
const SLEEP: &str = concat!("sle", "ep(");
const SLEEP_REASON: &str = "// sleep: ";

pub fn clocks_in_the_kernel(tree: &Tree) -> Vec<String> {
    lines_with(tree.rust().filter(|file| file.path.starts_with("kernel/src/")), CLOCKS, "reads a clock")
}

pub fn leftovers(tree: &Tree) -> Vec<String> {
    lines_with(tree.rust(), LEFTOVERS, "is a leftover")
}

pub fn missing_headers(tree: &Tree) -> Vec<String> {
    let bare = tree.rust().filter(|file| {
        let header = file.text.lines().next().and_then(|line| line.strip_prefix("//!"));
        header.is_none_or(|words| words.split_whitespace().count() < 2)
    });
    bare.map(|file| format!("{}:1: no header", file.path)).collect()
}

pub fn long_files(tree: &Tree) -> Vec<String> {
    let lengths = tree.rust().map(|file| (file, file.text.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(file, lines)| format!("{}:{LINES_MAX}: has {lines} lines", file.path)).collect()
}

/// Sleeps in test code (a test folder, or a `mod tests` at the end of a file) that give no reason
/// on their own line or the one above.
pub fn sleeping_tests(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree.rust() {
        let mut testing = file.is_test();
        let mut above = "";
        for (at, line) in file.lines() {
            testing |= line.trim_start().starts_with("#[cfg(test)]");
            let excused = line.contains(SLEEP_REASON) || above.trim_start().starts_with(SLEEP_REASON);
            if testing && line.contains(SLEEP) && !is_comment(line) && !excused {
                found.push(format!("{}:{at}: sleeps without a reason: {}", file.path, line.trim()));
            }
            above = line;
        }
    }
    found
}

fn lines_with<'a>(files: impl Iterator<Item = &'a SourceFile>, words: &[&str], fault: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (at, line) in file.lines() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{}:{at}: `{word}` {fault}", file.path));
            }
        }
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[test]
fn a_clock_in_the_kernel_is_caught_and_one_elsewhere_is_not() {
    let text = "//! x\nfn f() { Instant::now() }\n";
    let tree = Tree::made_of(&[("kernel/src/line.rs", text), ("turnline/src/clock.rs", text)]);
    assert_eq!(clocks_in_the_kernel(&tree), ["kernel/src/line.rs:2: `Instant::now` reads a clock"]);
}

#[test]
fn every_leftover_is_caught() {
    for word in LEFTOVERS {
        let text = format!("//! x\n{word}\n");
        let found = leftovers(&Tree::made_of(&[("edge/src/lib.rs", &text)]));
        assert_eq!(found, [format!("edge/src/lib.rs:2: `{word}` is a leftover")]);
    }
}

#[test]
fn a_file_without_a_header_is_caught() {
    let tree = Tree::made_of(&[
        ("a.rs", "use x;\n"),
        ("b.rs", ""),
        ("c.rs", "//! lib\n"),
        ("d.rs", "//! Says what it is for.\nuse x;\n"),
    ]);
    assert_eq!(missing_headers(&tree), ["a.rs:1: no header", "b.rs:1: no header", "c.rs:1: no header"]);
}

#[test]
fn a_long_file_is_caught_and_one_at_the_limit_is_not() {
    let (at_limit, over) = ("x\n".repeat(LINES_MAX), "x\n".repeat(LINES_MAX + 1));
    let tree = Tree::made_of(&[("limit.rs", &at_limit), ("over.rs", &over)]);
    assert_eq!(long_files(&tree), ["over.rs:500: has 501 lines"]);
}

#[test]
fn a_sleep_without_a_reason_is_caught() {
    let sleep = format!("    tokio::time::{SLEEP}SOON).await;\n");
    let excused = format!("    // sleep: lets the grace pass\n{sleep}");
    let unit = format!("//! x\nfn live() {{\n{sleep}}}\n#[cfg(test)]\nmod tests {{\n{sleep}}}\n");
    let tree = Tree::made_of(&[
        ("tests/tests/bare.rs", &sleep),
        ("tests/tests/excused.rs", &excused),
        ("edge/src/unit.rs", &unit),
    ]);
    let found = sleeping_tests(&tree);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("tests/tests/bare.rs:1: "), "{found:?}");
    assert!(found[1].starts_with("edge/src/unit.rs:7: "), "{found:?}");
}
