//! Where files lie and what they are called.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::Tree;

const FOLDERS: &[&str] = &[
    ".cargo",
    ".ci",
    "active-queue",
    "backend",
    "client-channel",
    "deploy",
    "docs",
    "edge",
    "expiration",
    "kernel",
    "reservation-api",
    "tests",
    "turnline",
    "waiting-queue",
    "web",
];

/// Names under which anything ends up.
const DRAWERS: &[&str] = &["util", "utils", "common", "manager", "helper", "helpers", "misc"];

/// Rust files and folders called after nothing.
pub fn drawers(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree.rust() {
        let words = file.path.trim_end_matches(".rs").split(['/', '_', '-']);
        if let Some(word) = words.into_iter().find(|word| DRAWERS.contains(word)) {
            found.push(format!("{}: `{word}` says nothing about what is in it", file.path));
        }
    }
    found
}

pub fn unknown_folders(tree: &Tree) -> Vec<String> {
    let tops: BTreeSet<&str> =
        tree.files.iter().filter_map(|file| file.path.split_once('/')).map(|(top, _)| top).collect();
    let unknown = tops.into_iter().filter(|top| !FOLDERS.contains(top));
    unknown.map(|top| format!("{top}/: not one of {FOLDERS:?}")).collect()
}

pub fn misnumbered_migrations(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: BTreeMap<&str, Vec<(&str, Option<u32>)>> = BTreeMap::new();
    for file in tree.files.iter().filter(|file| file.path.contains("migrations/")) {
        let (folder, name) = file.path.rsplit_once('/').expect("it has a folder");
        folders.entry(folder).or_default().push((name, migration_number(name)));
    }
    for (folder, mut migrations) in folders {
        migrations.sort_by_key(|(_, number)| number.unwrap_or(0));
        let mut expected = 1;
        for (name, number) in migrations {
            match number {
                None => found.push(format!("{folder}/{name}: not called 0001_name.sql")),
                Some(number) if number == expected => expected += 1,
                Some(_) => found.push(format!("{folder}/{name}: number {expected:04} was expected here")),
            }
        }
    }
    found
}

/// `0007_seats.sql` is 7.
fn migration_number(name: &str) -> Option<u32> {
    let (number, words) = name.strip_suffix(".sql")?.split_once('_')?;
    let lowercase = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let well_named = number.len() == 4 && !words.is_empty() && words.chars().all(lowercase);
    well_named.then(|| number.parse().ok()).flatten()
}

#[test]
fn a_drawer_is_caught() {
    let tree = Tree::made_of(&[
        ("edge/src/http_utils.rs", ""),
        ("tests/common/mod.rs", ""),
        ("edge/src/problem.rs", ""),
        ("edge/src/commonly.rs", ""),
    ]);
    assert_eq!(
        drawers(&tree),
        [
            "edge/src/http_utils.rs: `utils` says nothing about what is in it",
            "tests/common/mod.rs: `common` says nothing about what is in it",
        ]
    );
}

#[test]
fn a_new_top_level_folder_is_caught() {
    let tree = Tree::made_of(&[("README.md", ""), ("kernel/src/lib.rs", ""), ("scripts/x.sh", "")]);
    let found = unknown_folders(&tree);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("scripts/: "), "{found:?}");
}

#[test]
fn gaps_doubles_and_bad_names_of_migrations_are_caught() {
    let gap = Tree::made_of(&[("b/migrations/0001_a.sql", ""), ("b/migrations/0003_c.sql", "")]);
    assert_eq!(misnumbered_migrations(&gap), ["b/migrations/0003_c.sql: number 0002 was expected here"]);
    let double = Tree::made_of(&[("b/migrations/0001_a.sql", ""), ("b/migrations/0001_b.sql", "")]);
    assert_eq!(misnumbered_migrations(&double).len(), 1);
    let named = Tree::made_of(&[("b/migrations/1_a.sql", ""), ("b/migrations/0001_A.sql", "")]);
    assert_eq!(misnumbered_migrations(&named).len(), 2);
    let fine = Tree::made_of(&[("b/migrations/0001_a.sql", ""), ("b/migrations/0002_b.sql", "")]);
    assert_eq!(misnumbered_migrations(&fine), [""; 0]);
}
