//! LIFECYCLE.md shows the table and the diagram of the code.

use std::{env, fs};

use moorline_session::lifecycle::{diagram, table};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../LIFECYCLE.md");

#[test]
fn the_document_shows_the_table_and_the_diagram_of_the_code() {
    let document = fs::read_to_string(DOCUMENT).expect("LIFECYCLE.md is at the root");
    let expected = with_part(&document, "diagram", &format!("```mermaid\n{}\n```", diagram()));
    let expected = with_part(&expected, "table", &table());
    if env::var_os("MOORLINE_WRITE_DOCS").is_some() {
        fs::write(DOCUMENT, &expected).expect("LIFECYCLE.md can be written");
        return;
    }
    assert!(
        document == expected,
        "LIFECYCLE.md does not show the lifecycle of the code; to write it anew: \
         MOORLINE_WRITE_DOCS=1 cargo test -p moorline-session --test lifecycle_document"
    );
}

/// The document with `content` between the marks of the part.
fn with_part(document: &str, part: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- {part}: begin -->"), format!("<!-- {part}: end -->"));
    let (head, rest) = document.split_once(&begin).expect("the part begins");
    let (_, tail) = rest.split_once(&end).expect("the part ends");
    format!("{head}{begin}\n{content}\n{end}{tail}")
}
