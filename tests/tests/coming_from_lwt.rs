//! The tables of "Coming from Lwt" and "Coming from Netmulticore" are complete: each of their names in
//! `names/` and `names_netmulticore/` has one row, which says where it has gone. That the links lead somewhere
//! is for rustdoc to check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A guide: the folder of its pages, that of its names, and how many those are at least.
const GUIDES: [(&str, &str, usize); 2] = [
    ("../src/docs/coming_from_lwt", "names", 400),
    ("../src/docs/coming_from_netmulticore", "names_netmulticore", 200),
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The texts of all files in a folder, by path.
fn texts(folder: &str) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(here(folder)).unwrap();
    let texts: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    assert!(!texts.is_empty(), "{folder}");
    texts
}

/// The cells of a row of a table, or nothing. A bar inside a cell is written `\|`.
fn cells(line: &str) -> Vec<String> {
    let Some(row) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { return vec![] };
    let row = row.replace("\\|", "\0");
    row.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

/// The names in the first cell of a row: `` `one`, `two` ``.
fn names(cell: &str) -> Option<Vec<String>> {
    cell.split(", ").map(|name| Some(name.strip_prefix('`')?.strip_suffix('`')?.to_owned())).collect()
}

/// The rows whose first cell has names, by name.
fn rows(pages: &str) -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::new();
    for (path, text) in texts(pages) {
        for line in text.lines() {
            let cells = cells(line);
            for name in cells.first().and_then(|cell| names(cell)).unwrap_or_default() {
                let twice = rows.insert(name.clone(), cells[1..].to_vec());
                assert!(twice.is_none(), "{}: `{name}` has a row already", path.display());
            }
        }
    }
    rows
}

/// The names that are to have a row.
fn expected(names: &str, least: usize) -> BTreeSet<String> {
    let mut expected = BTreeSet::new();
    for (path, text) in texts(names) {
        for name in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(expected.insert(name.to_owned()), "{}: {name} twice", path.display());
        }
    }
    assert!(expected.len() > least, "only {} names", expected.len());
    expected
}

#[test]
fn every_name_has_a_row_and_every_row_a_name() {
    for (pages, names, least) in GUIDES {
        let (rows, expected) = (rows(pages), expected(names, least));
        let missing: Vec<_> = expected.iter().filter(|name| !rows.contains_key(*name)).collect();
        assert!(missing.is_empty(), "without a row: {missing:#?}");
        let unknown: Vec<_> = rows.keys().filter(|name| !expected.contains(*name)).collect();
        assert!(unknown.is_empty(), "not in the list of names: {unknown:#?}");
    }
}

#[test]
fn every_row_has_a_counterpart_or_a_reason() {
    for (name, cells) in GUIDES.into_iter().flat_map(|(pages, ..)| rows(pages)) {
        let [counterpart, note] = &cells[..] else { panic!("`{name}`: {} cells", cells.len() + 1) };
        if counterpart == "none" {
            assert!(!note.is_empty(), "`{name}` has no counterpart, and no reason");
        } else {
            assert!(counterpart.contains('`'), "`{name}`: {counterpart}");
        }
    }
}
