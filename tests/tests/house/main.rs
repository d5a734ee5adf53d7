//! The house rules, checked like any other behaviour: who may import whom, what a file looks like,
//! what a test may do. Each rule is a function over the tree, and is seen to catch a violation.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod imports;
mod layout;
mod text;
mod tree;

use tree::Tree;

/// Runs one rule over this checkout and shows every violation at once.
fn check(rule: &str, violations: fn(&Tree) -> Vec<String>) {
    let tree = Tree::of_this_checkout();
    assert!(tree.files.len() > 20, "the checkout was not found: only {} files seen", tree.files.len());
    let found = violations(&tree);
    assert!(found.is_empty(), "\n{rule}\n  {}\n", found.join("\n  "));
}

#[test]
fn crates_import_only_what_they_may() {
    check(
        "Services import kernel and edge, never each other, never backend (see CONTRIBUTING.md):",
        imports::between_crates,
    );
}

#[test]
fn only_backend_knows_a_database() {
    check(
        "Only `backend`, and `bench` for its floors, may depend on a database or broker client:",
        imports::of_databases,
    );
}

#[test]
fn the_kernel_depends_on_nothing_that_does_io() {
    check("`kernel` is pure: no runtime, no network, no randomness:", imports::of_the_kernel);
}

#[test]
fn the_kernel_reads_no_clock() {
    check("`kernel` takes `now` as an argument:", text::clocks_in_the_kernel);
}

#[test]
fn every_rust_file_opens_with_a_header() {
    check("Every .rs file opens with a `//!` header that says what it is for:", text::missing_headers);
}

#[test]
fn files_stay_short() {
    check("A Rust file has at most 500 lines:", text::long_files);
}

#[test]
fn nothing_is_left_undone() {
    check("Rust code has no leftovers:", text::leftovers);
}

#[test]
fn tests_do_not_sleep_and_hope() {
    check("A test waits for an event; one that must sleep says `// sleep: why` there:", text::sleeping_tests);
}

#[test]
fn no_file_is_a_drawer() {
    check("A file is named after what it holds:", layout::drawers);
}

#[test]
fn top_level_folders_are_the_known_ones() {
    check("A new top-level folder needs a decision first:", layout::unknown_folders);
}

#[test]
fn migrations_are_numbered() {
    check("Migrations are `0001_name.sql`, numbered from 1 without gaps:", layout::misnumbered_migrations);
}
