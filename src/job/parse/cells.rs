//! What the cells of a column are: numbers, or text that only looks like numbers, such as 007.

use crate::job::parse::written::{plainly, without_unit};
use crate::model::Value;

/// What a cell looks like.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CellForm {
    /// Nothing, or a text that stands for it.
    Missing,
    Number(Value, NumberForm),
    /// Digits that a number would not keep: a zero in front, or too many of them.
    Code,
    /// A number but for its decimal sign, which is the other one.
    OtherSign,
    /// A number as people write it, such as 1,234.5.
    Written,
    Word,
}

/// Whether a number can be anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberForm {
    /// It has a point, a minus sign or a signed exponent.
    Number,
    /// Digits alone.
    Digits,
    /// An exponent without sign or point: 1e5 can be a name.
    BareExponent,
}

/// Why a column is not read.
#[derive(Debug, PartialEq)]
pub(super) enum Unclear {
    /// The cell at this row can be a number or a name, and no other cell tells.
    Exponent(usize),
    /// All are numbers if the one at this row has the other decimal sign.
    OtherSign(usize),
    /// The cell at this row is no number, and the column must have numbers.
    NoNumber(usize),
    /// All are numbers if the one at this row is one that people write otherwise.
    Written(usize),
}

/// What a job file says of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Text,
    Numbers,
}

/// What a cell looks like, with this decimal sign.
pub(super) fn look(text: &str, decimal: char) -> CellForm {
    match parse(text, decimal) {
        None if parse(text, other_sign(decimal)).is_some() => CellForm::OtherSign,
        None if plainly(text, None).is_some() => CellForm::Written,
        None => CellForm::Word,
        Some(parts) => parts.look(),
    }
}

fn other_sign(decimal: char) -> char {
    if decimal == ',' { '.' } else { ',' }
}

/// The parts of a decimal number.
struct DecimalParts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: Option<&'a str>,
    exponent: Option<&'a str>,
}

fn parse(text: &str, decimal: char) -> Option<DecimalParts<'_>> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    if let Some(exponent) = exponent {
        let bare = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if bare.is_empty() || !digits(bare) {
            return None;
        }
    }
    let (whole, fraction) = match mantissa.split_once(decimal) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let some = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
    let all = digits(whole) && fraction.is_none_or(digits);
    (some && all).then_some(DecimalParts {
        negative: text.starts_with('-'),
        whole,
        fraction,
        exponent,
    })
}

impl DecimalParts<'_> {
    fn look(&self) -> CellForm {
        if self.whole.len() > 1 && self.whole.starts_with('0') {
            return CellForm::Code;
        }
        let look = match self.exponent {
            _ if self.negative || self.fraction.is_some() => NumberForm::Number,
            Some(exponent) if exponent.starts_with(['+', '-']) => NumberForm::Number,
            Some(_) => NumberForm::BareExponent,
            None => NumberForm::Digits,
        };
        match self.number() {
            Value::Float(number) if !self.is_kept_by(number) => CellForm::Code,
            number => CellForm::Number(number, look),
        }
    }

    /// The nearest number.
    fn number(&self) -> Value {
        let sign = if self.negative { "-" } else { "" };
        let whole = format!("{sign}{}", self.whole);
        if let (None, None, Ok(whole)) = (self.fraction, self.exponent, whole.parse()) {
            return Value::Int(whole);
        }
        let fraction = self.fraction.unwrap_or_default();
        let exponent = self.exponent.unwrap_or("0");
        let text = format!("{whole}.{fraction}e{exponent}");
        Value::Float(text.parse().unwrap_or(f64::NAN))
    }

    /// Whether a number has all these digits: written with as many, it is the same.
    fn is_kept_by(&self, number: f64) -> bool {
        let fraction = self.fraction.unwrap_or_default();
        if self.fraction.is_none() && self.exponent.is_none() {
            return false; // a whole number over 64 bits
        }
        let digits = format!("{}{fraction}", self.whole);
        let digits = digits.trim_start_matches('0').trim_end_matches('0');
        if digits.is_empty() {
            return true;
        }
        let written = format!("{:.*e}", digits.len() - 1, number.abs());
        let mantissa = written.split('e').next().unwrap_or_default();
        number.is_finite() && mantissa.chars().filter(char::is_ascii_digit).eq(digits.chars())
    }
}

/// Whether a cell is what programs and people write into a column of numbers where there is none: an infinity, a
/// number too large, an error of a spreadsheet (#N/A), or signs alone (-, ?, .).
fn stands_for_no_number(cell: &str) -> bool {
    let bare = cell.strip_prefix(['+', '-']).unwrap_or(cell).to_lowercase();
    let too_large = || {
        parse(cell, '.').is_some_and(|parts| parts.exponent.is_some())
            && insisted(cell, '.').is_none()
    };
    bare == "inf"
        || bare == "infinity"
        || cell.starts_with('#')
        || !cell.contains(char::is_alphanumeric)
        || too_large()
}

/// The first cell that makes text of a column in which most cells are numbers, and none a code such as 007.
pub(super) fn odd_one(
    cells: &[&str],
    decimal: Option<char>,
    missing: impl Fn(&str) -> bool,
) -> Option<usize> {
    let (mut numbers, mut words, mut first) = (0, 0, None);
    for (row, cell) in cells.iter().enumerate().filter(|(_, cell)| !missing(cell)) {
        match look(cell, decimal.unwrap_or('.')) {
            CellForm::Number(..) | CellForm::Written => numbers += 1,
            CellForm::OtherSign if decimal != Some('.') => numbers += 1,
            CellForm::Code => return None,
            _ => {
                words += 1;
                first = first.or(Some(row));
            }
        }
    }
    first.filter(|_| numbers > words)
}

/// The first cell that has more digits than a number keeps, in a column of numbers with fractions: no identifiers.
pub(super) fn first_too_long(
    cells: &[&str],
    decimal: Option<char>,
    missing: impl Fn(&str) -> bool,
) -> Option<usize> {
    let sign = decimal.unwrap_or('.');
    let (mut first, mut has_fraction) = (None, false);
    for (row, cell) in cells.iter().enumerate().filter(|(_, cell)| !missing(cell)) {
        let parts = parse(cell, sign)?;
        has_fraction |= parts.fraction.is_some() || parts.exponent.is_some();
        let is_too_long = match parts.look() {
            CellForm::Number(Value::Int(whole), _) => whole.unsigned_abs() > 1 << 53,
            CellForm::Number(..) => false,
            _ if parts.whole.len() > 1 && parts.whole.starts_with('0') => return None,
            _ => true,
        };
        first = first.or(is_too_long.then_some(row));
    }
    first.filter(|_| has_fraction)
}

/// The first cell with the sign of a unit, such as 5%, in a column that has numbers but for these.
pub(super) fn first_with_unit(
    cells: &[&str],
    decimal: Option<char>,
    missing: impl Fn(&str) -> bool,
) -> Option<usize> {
    let mut first = None;
    for (row, cell) in cells.iter().enumerate().filter(|(_, cell)| !missing(cell)) {
        let bare = without_unit(cell);
        match look(bare.unwrap_or(cell), decimal.unwrap_or('.')) {
            CellForm::Number(..) | CellForm::Written | CellForm::OtherSign => {}
            _ => return None,
        }
        first = first.or(bare.map(|_| row));
    }
    first
}

/// The number that the user says a cell is.
fn insisted(text: &str, decimal: char) -> Option<Value> {
    let number = parse(text, decimal)?.number();
    number.as_f64().filter(|number| number.is_finite()).map(|_| number)
}

/// The values of a column. `missing` says which cells are none in a column of numbers.
pub(super) fn column(
    cells: &[&str],
    told: Told,
    decimal: Option<char>,
    missing: impl Fn(&str) -> bool,
) -> Result<Vec<Value>, Unclear> {
    let text = || cells.iter().map(|cell| Value::from(*cell)).collect();
    let sign = decimal.unwrap_or('.');
    match told {
        Told::Text => return Ok(text()),
        Told::Numbers => {
            let number = |(row, cell): (usize, &&str)| match missing(cell) {
                true => Ok(Value::Null),
                false => insisted(cell, sign).ok_or(Unclear::NoNumber(row)),
            };
            return cells.iter().enumerate().map(number).collect();
        }
        Told::Nothing => {}
    }
    let looks: Vec<CellForm> = cells
        .iter()
        .map(|cell| if missing(cell) { CellForm::Missing } else { look(cell, sign) })
        .collect();
    let first = |is: fn(&CellForm) -> bool| looks.iter().position(is);
    // Who says that the sign is a point knows what a comma is.
    let other = first(|cell| *cell == CellForm::OtherSign).filter(|_| decimal != Some('.'));
    if let Some(row) = other
        && first(|cell| matches!(cell, CellForm::Word | CellForm::Code)).is_none()
    {
        return Err(Unclear::OtherSign(row));
    }
    let no_number = |cell: &CellForm| !matches!(cell, CellForm::Number(..) | CellForm::Missing);
    let is_written = |(look, cell): (&CellForm, &&str)| match look {
        CellForm::Written => true,
        CellForm::OtherSign => plainly(cell, Some(sign)).is_some(),
        _ => false,
    };
    let number = |cell: &CellForm| matches!(cell, CellForm::Number(..));
    // Points are finite, and what stands for none makes no text of numbers.
    let others = || looks.iter().zip(cells).filter(|(look, _)| no_number(look));
    if let Some(row) = looks.iter().zip(cells).position(is_written)
        && others().all(|(look, cell)| is_written((look, cell)) || stands_for_no_number(cell))
    {
        return Err(Unclear::Written(row));
    }
    if first(number).is_some()
        && others().all(|(_, cell)| stands_for_no_number(cell))
        && let Some(row) = first(no_number)
    {
        return Err(Unclear::NoNumber(row));
    }
    if first(no_number).is_some() || first(number).is_none() {
        return Ok(text());
    }
    // Where others have fractions, a whole number is kept as they are.
    let is_fraction = |cell: &CellForm| matches!(cell, CellForm::Number(Value::Float(_), _));
    let is_long = |cell: &CellForm| matches!(cell, CellForm::Number(Value::Int(n), _) if n.unsigned_abs() > 1 << 53);
    if first(is_fraction).is_some() && first(is_long).is_some() {
        return Ok(text());
    }
    let bare = first(|cell| matches!(cell, CellForm::Number(_, NumberForm::BareExponent)));
    if let Some(row) = bare
        && first(|cell| matches!(cell, CellForm::Number(_, NumberForm::Number))).is_none()
    {
        return Err(Unclear::Exponent(row));
    }
    let value = |cell: CellForm| match cell {
        CellForm::Number(value, _) => value,
        _ => Value::Null,
    };
    Ok(looks.into_iter().map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_all_digits_of_its_cell() {
        for text in ["0", "-5", "+5", "0.5", ".5", "5.", "1e-3", "12.50", "9223372036854775807"] {
            assert!(matches!(look(text, '.'), CellForm::Number(..)), "{text}");
        }
        // As numpy.savetxt writes 0.1, and as Python prints 0.1 + 0.2.
        for (text, number) in
            [("1.000000000000000056e-01", 0.1), ("0.30000000000000004", 0.1 + 0.2)]
        {
            assert_eq!(look(text, '.'), CellForm::Number(Value::Float(number), NumberForm::Number));
        }
        for text in ["007", "00", "-01", "01.5", "12345678901234567890", "1e400", "1e-400"] {
            assert_eq!(look(text, '.'), CellForm::Code, "{text}");
        }
        assert_eq!(look("20230101123456789.12", '.'), CellForm::Code);
        for text in ["", "A3", "TRUE", "inf", "nan", "0x10", "1e", "-", ".", "1_0", "1.2.3"] {
            assert_eq!(look(text, '.'), CellForm::Word, "{text}");
        }
        assert_eq!(look("1,5", '.'), CellForm::OtherSign);
        assert_eq!(look("1,5", ','), CellForm::Number(Value::Float(1.5), NumberForm::Number));
        assert_eq!(look("1.5", ','), CellForm::OtherSign);
        assert_eq!(look("1.5.2", ','), CellForm::Word);
    }

    #[test]
    fn a_column_has_numbers_or_text() {
        let of = |cells: &[&str], told| column(cells, told, None, |cell| cell.is_empty());
        let text = |cells: &[&str]| Ok(cells.iter().map(|cell| Value::from(*cell)).collect());
        for cells in [
            &["5", "001"][..],
            &["1e5", "A3"],
            &["1", "TRUE"],
            &["", ""],
            &["0.5", "9007199254740993"],
            &["a", "1,5"],
        ] {
            assert_eq!(of(cells, Told::Nothing), text(cells), "{cells:?}");
        }
        let numbers = Ok(vec![Value::Int(41), Value::Null, Value::Float(12.5)]);
        assert_eq!(of(&["41", "", "12.5"], Told::Nothing), numbers);
        assert_eq!(of(&["2", "1e5"], Told::Nothing), Err(Unclear::Exponent(1)));
        assert!(of(&["-2", "1e5"], Told::Nothing).is_ok_and(|v| v[1] == Value::Float(1e5)));
        assert_eq!(of(&["2", "1,5"], Told::Nothing), Err(Unclear::OtherSign(1)));
        assert_eq!(of(&["2", "-Inf"], Told::Nothing), Err(Unclear::NoNumber(1)));
        assert_eq!(of(&["inf", "x", "2"], Told::Nothing), text(&["inf", "x", "2"]));
        assert_eq!(of(&["2", "1e5"], Told::Text), text(&["2", "1e5"]));
        let told = of(&["007", "1e5", ""], Told::Numbers);
        assert_eq!(told, Ok(vec![Value::Int(7), Value::Float(1e5), Value::Null]));
        assert_eq!(of(&["7", "x"], Told::Numbers), Err(Unclear::NoNumber(1)));
    }
}
