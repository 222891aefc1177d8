//! Texts in the room that a terminal has: columns that share its width, and lines that are broken at spaces.

use ratatui::text::Span;

/// The least width to which a column is shrunk, and the most that one takes which does not get the rest.
const LEAST: u16 = 8;
const WIDEST: u16 = 40;

/// The space between columns.
pub(super) const GAP: u16 = 2;

/// What of a cell is shown where it does not fit.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fit {
    /// All: the column does not shrink.
    Whole,
    /// The end: names and points mostly begin alike.
    End,
    /// The beginning.
    Beginning,
}

/// How many columns of a terminal a text takes.
fn wide(text: &str) -> u16 {
    Span::raw(text).width().min(usize::from(u16::MAX)) as u16
}

/// The widths at which all cells fit.
fn natural(header: &[&str], rows: &[Vec<String>]) -> Vec<u16> {
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| wide(cell));
        cells.chain([wide(header[column])]).max().unwrap_or(0)
    };
    (0..header.len()).map(widest).collect()
}

/// Whether all cells fit into so much room.
pub(super) fn is_room(header: &[&str], rows: &[Vec<String>], room: u16) -> bool {
    let gaps = u32::from(GAP) * header.len().saturating_sub(1) as u32;
    let all: u32 = natural(header, rows).into_iter().map(u32::from).sum();
    all + gaps <= u32::from(room)
}

/// The widths of columns in so much room. Those that may shrink share what the others leave; the widest shrinks first.
pub(super) fn widths(fits: &[Fit], header: &[&str], rows: &[Vec<String>], room: u16) -> Vec<u16> {
    let mut widths = natural(header, rows);
    let last = fits.iter().rposition(|fit| *fit == Fit::End);
    for (column, width) in widths.iter_mut().enumerate() {
        if Some(column) != last {
            *width = (*width).min(WIDEST);
        }
    }
    let room = room.saturating_sub(GAP * fits.len().saturating_sub(1) as u16);
    loop {
        let all: u32 = widths.iter().map(|width| u32::from(*width)).sum();
        let can_shrink = |column: &usize| fits[*column] != Fit::Whole && widths[*column] > LEAST;
        let next = (0..fits.len()).filter(can_shrink).max_by_key(|column| widths[*column]);
        match next {
            Some(column) if all > u32::from(room) => widths[column] -= 1,
            _ => return widths,
        }
    }
}

/// A cell in a column of that width.
pub(super) fn fitted(cell: &str, width: u16, fit: Fit) -> String {
    if fit == Fit::Whole || wide(cell) <= width {
        return cell.to_string();
    }
    let mut room = width.saturating_sub(1);
    let mut kept = Vec::new();
    let mut take = |letter: char| {
        let takes = wide(letter.encode_utf8(&mut [0; 4]));
        let fits = takes <= room;
        room = room.saturating_sub(takes);
        if fits {
            kept.push(letter);
        }
        fits
    };
    match fit {
        Fit::End => {
            let _ = cell.chars().rev().take_while(|letter| take(*letter)).count();
            kept.push('…');
            kept.reverse();
        }
        _ => {
            let _ = cell.chars().take_while(|letter| take(*letter)).count();
            kept.push('…');
        }
    }
    kept.into_iter().collect()
}

/// A text in lines of that width, broken at spaces where there are any.
pub(super) fn wrapped(text: &str, width: u16) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        let gap = u16::from(!line.is_empty());
        if wide(&line).saturating_add(gap).saturating_add(wide(word)) <= width {
            line.extend((gap > 0).then_some(' '));
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for letter in word.chars() {
            let takes = wide(letter.encode_utf8(&mut [0; 4]));
            if !line.is_empty() && wide(&line).saturating_add(takes) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(letter);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_their_end() {
        assert_eq!(fitted("data/long/name-1.csv", 12, Fit::End), "…/name-1.csv");
        assert_eq!(fitted("incomplete: all", 8, Fit::Beginning), "incompl…");
        assert_eq!(fitted("short", 5, Fit::End), "short");
        assert_eq!(fitted("日本語日本語", 5, Fit::End), "…本語");
        assert_eq!(fitted("abc", 0, Fit::End), "…");
    }

    #[test]
    fn columns_share_what_there_is() {
        let row = ["1", &"h".repeat(30), "crunching", &"p".repeat(60)].map(String::from).to_vec();
        let fits = [Fit::Whole, Fit::End, Fit::Whole, Fit::End];
        let header = ["rank", "host", "state", "where"];
        assert_eq!(widths(&fits, &header, std::slice::from_ref(&row), 58), [4, 20, 9, 19]);
        assert_eq!(widths(&fits, &header, std::slice::from_ref(&row), 200), [4, 30, 9, 60]);
        assert_eq!(widths(&fits, &header, &[row], 10), [4, 8, 9, 8]);
    }

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrapped("40 of 100 runs, 1 failed", 12), ["40 of 100", "runs, 1", "failed"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("", 3), [""]);
        assert_eq!(wrapped("ab", 0), ["a", "b"]);
    }
}
