//! What the shell runs for a line, and what is refused in one.

use std::path::{Path, PathBuf};

use crate::job::CommandWords;
use crate::job::placeholders::{Placeholder, Template, TemplatePart};
use crate::job::shell::ShellLine;
use crate::job::shell::nested::{ShellWords, in_command, is_harmless, is_shell, words};
use crate::job::shell::scan::{Unit, scan};
use crate::model::{Loop, Value};
use crate::util::programs::find_program;
use crate::util::text::beginning;

const BASH: &str = "bash";
const SH: &str = "/bin/sh";

/// The most ways to choose the branches of a command that are looked at.
const MOST_VARIANTS: usize = 4096;

impl ShellLine {
    /// A line for bash, or for `sh` where this machine has no bash.
    pub(crate) fn new(line: String) -> ShellLine {
        let shell = if find_program(Path::new(BASH)).is_ok() { BASH } else { SH };
        ShellLine { line, shell: shell.to_string() }
    }

    pub(crate) fn is_bash(&self) -> bool {
        self.shell == BASH
    }

    /// The path of the shell on this machine; an error says what is wrong with it.
    pub(crate) fn program(&self) -> Result<PathBuf, String> {
        find_program(Path::new(&self.shell))
    }
}

/// What the shell runs: the line with a variable in place of each placeholder.
pub(crate) struct ShellScript {
    pub(crate) text: String,
    pub(crate) has_pipe: bool,
    has_pipe_in_background: bool,
    words: ShellWords,
    variables: Vec<(String, Placeholder)>,
    has_eval: bool,
    in_arithmetic: Vec<usize>,
}

impl ShellScript {
    /// The error says where a placeholder must not stand.
    pub(crate) fn of(line: &str) -> Result<ShellScript, String> {
        let mut units = Vec::new();
        let mut variables: Vec<(String, Placeholder)> = Vec::new();
        for part in Template::parse(line)?.parts() {
            let place = match part {
                TemplatePart::Text(text) => {
                    units.extend(text.chars().map(Unit::Letter));
                    continue;
                }
                TemplatePart::Place(place) => place,
            };
            let known = variables.iter().position(|(_, known)| known == place);
            let number = known.unwrap_or_else(|| {
                let name = unused_name(place, &variables);
                variables.push((name, place.clone()));
                variables.len() - 1
            });
            units.push(Unit::Place(number));
        }
        let names: Vec<String> = variables.iter().map(|(name, _)| name.clone()).collect();
        let scanned = scan(&units, &names)?;
        Ok(ShellScript {
            text: scanned.script,
            has_pipe: scanned.has_pipe,
            has_pipe_in_background: scanned.has_pipe_in_background,
            words: words(&units),
            variables,
            has_eval: scanned.has_eval,
            in_arithmetic: scanned.in_arithmetic,
        })
    }

    /// The variables with their values.
    pub(crate) fn variables<'c>(
        &self,
        coordinates: &[(&str, Value)],
        cells: impl Fn(&str, &str) -> Option<&'c str>,
    ) -> Result<Vec<(&str, String)>, String> {
        let filled = self.variables.iter();
        filled.map(|(name, place)| Ok((name.as_str(), place.value(coordinates, &cells)?))).collect()
    }
}

/// A variable's name that tells the placeholder: `gridmpi_x`, `gridmpi_p_a`.
fn unused_name(place: &Placeholder, taken: &[(String, Placeholder)]) -> String {
    let mut name = format!("gridmpi_{}", place.name);
    name.extend(place.suffix().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    if taken.iter().any(|(taken, _)| *taken == name) {
        name += &format!("_{}", taken.len());
    }
    name
}

/// Refuses a line that this machine's shell cannot watch over, or in which a value could become code.
pub(crate) fn check(line: &ShellLine, loops: &[Loop]) -> Result<(), String> {
    let script = ShellScript::of(&line.line)?;
    if script.has_pipe && !line.is_bash() {
        return Err("a pipe needs bash, and there is none on PATH: in sh, a program that fails \
                    in front of a pipe goes unnoticed"
            .to_string());
    }
    if script.has_pipe_in_background {
        return Err("a pipe in the background, in which a program that fails goes unnoticed: write ( a | b ) &, in parentheses".to_string());
    }
    if let Some(signal) = script.words.traps().filter(|_| script.has_pipe) {
        return Err(format!(
            "trap ... {signal} in a line with a pipe: gridmpi needs that trap to notice a program that fails in front of a pipe; leave it to a script of its own"
        ));
    }
    if script.has_eval && !script.variables.is_empty() {
        return Err("eval would run values as code: call the program without it".to_string());
    }
    for number in &script.in_arithmetic {
        let place = &script.variables[*number].1;
        // A shell takes `inf` for a variable without a value.
        let no_number = |value: &Value| !value.as_f64().is_some_and(f64::is_finite);
        if let Some(value) = place.find(&place.loop_in(loops).points, &no_number) {
            return Err(format!(
                "{place} stands in arithmetic, where a string can run as code, inf is 0 and 010 is octal, and has the value {}: only numbers may stand there",
                shown(&value)
            ));
        }
    }
    let places = || script.variables.iter().map(|(_, place)| place);
    if evaluates(&line.line)
        && let Some((place, value)) = find(places(), loops, &has_command)
    {
        return Err(format!(
            "{place}: the value {value} could run as code, because this line has arithmetic, [[ ]] or the like, where the shell evaluates what stands in brackets: leave that to a program",
        ));
    }
    if let Some(word) = script.words.takes_values_as_code() {
        refuse_code(word, places(), loops)?;
    }
    Ok(())
}

/// Refuses a command that gives a shell values as code.
pub(crate) fn check_command(words: &CommandWords, loops: &[Loop]) -> Result<(), String> {
    let parsed = |words: Vec<&str>| -> Vec<Template> {
        words.into_iter().filter_map(|word| Template::parse(word).ok()).collect()
    };
    let all = parsed(words.all());
    let Some(shell) = all.iter().find(|word| is_shell(word)) else { return Ok(()) };
    let variants = words.variants(MOST_VARIANTS).ok_or_else(|| {
        format!("{shell} may get over {MOST_VARIANTS} different command lines, too many to look for values that it could run as code: leave some of the ifs to a script")
    })?;
    let reads_code = variants.into_iter().find_map(|variant| in_command(&parsed(variant)));
    match reads_code {
        Some(word) => refuse_code(&word, all.iter().flat_map(Template::places), loops),
        None => Ok(()),
    }
}

/// The first value of these placeholders that is as wanted.
fn find<'p>(
    mut places: impl Iterator<Item = &'p Placeholder>,
    loops: &[Loop],
    wanted: &dyn Fn(&Value) -> bool,
) -> Option<(&'p Placeholder, String)> {
    places.find_map(|place| {
        let value = place.find(&place.loop_in(loops).points, wanted)?;
        Some((place, shown(&value)))
    })
}

/// An error if one of the values is code to a shell.
fn refuse_code<'p>(
    word: &str,
    places: impl Iterator<Item = &'p Placeholder>,
    loops: &[Loop],
) -> Result<(), String> {
    let is_code = |value: &Value| !is_harmless(&value.to_string());
    if let Some((place, value)) = find(places, loops, &is_code) {
        return Err(format!(
            "{place}: the value {value} could run as code, because `{word}` reads a part of this line as code: give it the value as an argument, as in bash -c './fit \"$1\"' bash {place}",
        ));
    }
    Ok(())
}

fn shown(value: &str) -> String {
    beginning(&format!("{value:?}"), 60)
}

/// Whether bash may run a command in this value when it is evaluated as a number or as the name of a
/// variable: `a[$(command)]`, of which the line or another value may have the rest.
fn has_command(value: &Value) -> bool {
    let text = value.to_string();
    text.contains('`') || text.contains("$(") || text.ends_with('$')
}

/// Whether a line may evaluate values, also those that it has given to variables. Says yes too often
/// rather than too rarely.
fn evaluates(line: &str) -> bool {
    const SIGNS: [&str; 6] = ["((", "[[", "$[", "]=", "]+=", "${"];
    const WORDS: [&str; 10] =
        ["-v", "-i", "let", "declare", "typeset", "local", "unset", "read", "readarray", "mapfile"];
    let is_one = |word: &str| WORDS.contains(&word);
    SIGNS.iter().any(|sign| line.contains(sign))
        || line.split(|c: char| c.is_whitespace() || ";&|()`{}".contains(c)).any(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(line: &str) -> String {
        ShellScript::of(line).unwrap().text
    }

    #[test]
    fn variables_take_the_place_of_placeholders() {
        for (line, text) in [
            ("echo {x} > log.{x}", r#"echo "${gridmpi_x}" > log."${gridmpi_x}""#),
            ("echo '{{' \"{a.b} c\" {{x}}", r#"echo '{' "${gridmpi_a_b} c" {x}"#),
            ("v=\"$(./fit {x} \"{x}\")\"", r#"v="$(./fit "${gridmpi_x}" "${gridmpi_x}")""#),
            (
                "cat <<END # it's\na {x} $(b c) {x}\nEND\n./fit {x}",
                "cat <<END # it's\na ${gridmpi_x} $(b c) ${gridmpi_x}\nEND\n./fit \"${gridmpi_x}\"",
            ),
            (
                "cat <<-'END' <<B\n\t\"\n\tEND\n{x}\nB\n",
                "cat <<-'END' <<B\n\t\"\n\tEND\n${gridmpi_x}\nB\n",
            ),
            ("cat <<<{x} \\\" {x}", r#"cat <<<"${gridmpi_x}" \" "${gridmpi_x}""#),
            (
                "echo $(( {x} + (1) )) ; ({x})",
                r#"echo $(( ${gridmpi_x} + (1) )) ; ("${gridmpi_x}")"#,
            ),
            (
                "echo ${{y:-'}}'}}{x} $'\\'' # {x}",
                r#"echo ${y:-'}'}"${gridmpi_x}" $'\'' # ${gridmpi_x}"#,
            ),
            (
                "echo {a.b} {a_b} {x.é}",
                r#"echo "${gridmpi_a_b}" "${gridmpi_a_b_1}" "${gridmpi_x__}""#,
            ),
        ] {
            assert_eq!(script(line), text, "{line}");
        }
    }

    #[test]
    fn placeholders_that_cannot_be_made_safe_are_refused() {
        for (line, why) in [
            ("echo 'it is {x}'", "inside '...'"),
            ("echo $'{x}'", "inside '...'"),
            ("echo \\{x}", "after a backslash"),
            ("echo \"\\{x}\"", "after a backslash"),
            ("echo `./fit {x}`", "$(...)"),
            ("echo \"`./fit \"{x}\"`\"", "$(...)"),
            ("echo ${{y:-{x}}}", "inside ${...}"),
            ("echo ${x}", "after '$'"),
            ("cat <<\\END\n{x}\nEND", "<<END, without quotes"),
            ("cat <<{x}\n{x}\n", "end of a here-document"),
            ("cat <<END\n$(echo {x})\nEND", "of a here-document"),
            ("cat <<END\n\\{x}\nEND", "after a backslash"),
        ] {
            let refused = ShellScript::of(line).map(|script| script.text);
            assert!(
                refused.as_ref().is_err_and(|error| error.contains(why)),
                "{line}: {refused:?}"
            );
        }
    }

    #[test]
    fn pipes_and_eval_are_seen() {
        for (line, has_pipe, has_eval) in [
            ("a | b", true, false),
            ("a |& b", true, false),
            ("x=$(a|b)", true, false),
            ("((a | b) | c)", true, false),
            ("a || b; c >| d; echo '|' \"|\" \\| # |", false, false),
            ("cat <<END\n|\nEND", false, false),
            ("eval a", false, true),
            ("x=1 eval a", false, true),
            ("if eval a; then b; fi", false, true),
            ("echo eval; ./eval; fit --eval", false, false),
            ("x=`eval a`", false, true),
        ] {
            let script = ShellScript::of(line).unwrap();
            assert_eq!((script.has_pipe, script.has_eval), (has_pipe, has_eval), "{line}");
        }
    }
}
