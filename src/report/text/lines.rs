//! A table written row by row: the first rows determine the column widths. So memory does not grow with the
//! number of rows.

use std::fmt::Write;

use crate::util::text::{beginning, visible};

/// Number of rows that determine the column widths.
const LOOKED_AT: usize = 200;

/// Maximum width of a cell; a longer one is cut, with `...` for the rest. (characters)
const WIDEST: usize = 200;

/// A table that is being written.
pub(crate) struct Lines {
    /// Whether each column is right-aligned; numbers are.
    right: Vec<bool>,
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Lines {
    /// A table with these columns; the flag marks numbers.
    pub(crate) fn new(header: impl IntoIterator<Item = (String, bool)>) -> Lines {
        let (names, right): (Vec<String>, Vec<bool>) = header.into_iter().unzip();
        Lines { right, waiting: vec![fitting(names)], widths: None }
    }

    /// Adds a row; returns the text that can be written so far.
    pub(crate) fn row(&mut self, cells: Vec<String>) -> String {
        self.waiting.push(fitting(cells));
        if self.widths.is_some() || self.waiting.len() > LOOKED_AT {
            self.rest()
        } else {
            String::new()
        }
    }

    /// The remaining text.
    pub(crate) fn rest(&mut self) -> String {
        let width = |column| {
            let cells = self.waiting.iter().filter_map(|row: &Vec<String>| row.get(column));
            cells.map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
        };
        let all = || (0..self.right.len()).map(width).collect();
        let widths = self.widths.take().unwrap_or_else(all);
        let mut text = String::new();
        for row in self.waiting.drain(..) {
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let written = match right {
                    true => write!(text, "{cell:>width$}  "),
                    false => write!(text, "{cell:<width$}  "),
                };
                written.expect("a string takes any text");
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        self.widths = Some(widths);
        text
    }
}

/// Cells that fit into the table, and on one line.
fn fitting(cells: Vec<String>) -> Vec<String> {
    let fit = |cell: String| {
        if cell.len() <= WIDEST && cell.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return cell; // a million of them need not be copied
        }
        // One more than fits, so that the cut shows.
        let start: String = cell.chars().take(WIDEST + 1).collect();
        beginning(&visible(&start), WIDEST)
    };
    cells.into_iter().map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_cells_are_cut_and_control_characters_spelled_out() {
        let mut lines = Lines::new([("a\u{1b}".to_string(), false), ("n".to_string(), true)]);
        let mut text = lines.row(vec!["é".repeat(70_000), "1\n2".to_string()]);
        text += &lines.rest();
        let all: Vec<&str> = text.lines().collect();
        assert_eq!(all.len(), 2);
        assert!(all[0].starts_with(r"a\u001b "), "{}", all[0]);
        assert_eq!(all[1], format!(r"{}...  1\n2", "é".repeat(WIDEST)));
    }

    #[test]
    fn columns_line_up_however_many_rows_there_are() {
        let mut lines = Lines::new([("name".to_string(), false), ("n".to_string(), true)]);
        let mut text = String::new();
        for i in 0..1000 {
            text += &lines.row(vec![format!("row {}", i % 100), i.to_string()]);
        }
        text += &lines.rest();
        let all: Vec<&str> = text.lines().collect();
        assert_eq!(all.len(), 1001);
        assert_eq!((all[0], all[1], all[101]), ("name      n", "row 0     0", "row 0   100"));
    }
}
