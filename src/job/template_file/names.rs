//! What a template names, from minijinja's syntax tree: it alone knows where, and what is text, comment or raw.

use std::ops::Range;

use minijinja::Error;
use minijinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, Stmt};
use minijinja::machinery::{Span, parse};
use minijinja::syntax::SyntaxConfig;

/// What a template names, in the order of its text.
#[derive(Default)]
pub(super) struct TemplateNames {
    pub(super) named: Vec<NamedPlace>,
    /// The names of the template's own variables, and where they get a value.
    pub(super) assigned: Vec<(String, usize)>,
    pub(super) functions: Vec<(String, usize)>,
}

/// A variable, or a field of one.
pub(super) struct NamedPlace {
    pub(super) name: String,
    pub(super) field: Option<String>,
    pub(super) line: usize,
    /// Where it stands. (bytes)
    pub(super) range: Range<usize>,
    /// Whether it becomes text as it is.
    pub(super) is_text: bool,
}

pub(super) fn template_names(text: &str, syntax: &SyntaxConfig) -> Result<TemplateNames, Error> {
    let tree = parse(text, "", syntax.clone())?;
    let mut walk = NameWalk { text, line: (1, 0), found: TemplateNames::default() };
    walk.statement(&tree);
    walk.found.named.sort_by_key(|named| named.range.start);
    Ok(walk.found)
}

struct NameWalk<'t> {
    text: &'t str,
    /// A line, and where it was counted: minijinja's own count ends at 65,535.
    line: (usize, usize),
    found: TemplateNames,
}

impl NameWalk<'_> {
    fn line(&mut self, span: Span) -> usize {
        let at = (span.start_offset as usize).min(self.text.len());
        let (line, known) = if at < self.line.1 { (1, 0) } else { self.line };
        let newlines = self.text.as_bytes()[known..at].iter().filter(|byte| **byte == b'\n');
        self.line = (line + newlines.count(), at);
        self.line.0
    }

    fn all(&mut self, statements: &[Stmt]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Template(all) => self.all(&all.children),
            Stmt::EmitExpr(emitted) => self.expression(&emitted.expr, true),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(each) => {
                let line = self.line(each.span());
                self.found.assigned.push(("loop".to_string(), line));
                self.assign(&each.target);
                self.expression(&each.iter, false);
                each.filter_expr.iter().for_each(|filter| self.expression(filter, false));
                self.all(&each.body);
                self.all(&each.else_body);
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr, false);
                self.all(&condition.true_body);
                self.all(&condition.false_body);
            }
            Stmt::WithBlock(with) => {
                for (target, value) in &with.assignments {
                    self.assign(target);
                    self.expression(value, false);
                }
                self.all(&with.body);
            }
            Stmt::Set(set) => {
                self.assign(&set.target);
                self.expression(&set.expr, false);
            }
            Stmt::SetBlock(set) => {
                self.assign(&set.target);
                set.filter.iter().for_each(|filter| self.expression(filter, false));
                self.all(&set.body);
            }
            Stmt::AutoEscape(escape) => {
                self.expression(&escape.enabled, false);
                self.all(&escape.body);
            }
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter, false);
                self.all(&block.body);
            }
            Stmt::Do(called) => self.call(&called.call),
        }
    }

    fn assign(&mut self, target: &Expr) {
        match target {
            Expr::Var(variable) => {
                let line = self.line(variable.span());
                self.found.assigned.push((variable.id.to_string(), line));
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item)),
            other => self.expression(other, false), // an attribute of a namespace
        }
    }

    /// Visits an expression. `is_text` says whether its value is written as it is.
    fn expression(&mut self, expression: &Expr, is_text: bool) {
        if let Some((name, field)) = path(expression) {
            let span = expression.span();
            let range = span.start_offset as usize..span.end_offset as usize;
            // Only where it is known to stand there can something else take its place.
            let is_there = self.text.get(range.clone()).is_some_and(|text| text.starts_with(name));
            let line = self.line(span);
            let name = name.to_string();
            let is_text = is_text && is_there;
            self.found.named.push(NamedPlace { name, field, line, range, is_text });
            return;
        }
        match expression {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(slice) => {
                self.expression(&slice.expr, false);
                let parts = [&slice.start, &slice.stop, &slice.step];
                parts.into_iter().flatten().for_each(|part| self.expression(part, false));
            }
            Expr::UnaryOp(unary) => self.expression(&unary.expr, false),
            Expr::BinOp(binary) => {
                let joins = matches!(binary.op, BinOpKind::Concat);
                self.expression(&binary.left, joins);
                self.expression(&binary.right, joins);
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr, false);
                compare.ops.iter().for_each(|op| self.expression(&op.expr, false));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr, false);
                self.expression(&choice.true_expr, is_text);
                choice.false_expr.iter().for_each(|other| self.expression(other, is_text));
            }
            Expr::Filter(filter) => {
                let is_text = filter.name == "string";
                filter.expr.iter().for_each(|expr| self.expression(expr, is_text));
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                self.expression(&test.expr, false);
                self.arguments(&test.args);
            }
            Expr::GetAttr(attribute) => self.expression(&attribute.expr, false),
            Expr::GetItem(item) => {
                self.expression(&item.expr, false);
                self.expression(&item.subscript_expr, false);
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item, false)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item, false)),
            Expr::Map(map) => {
                map.keys.iter().chain(&map.values).for_each(|part| self.expression(part, false));
            }
        }
    }

    fn call(&mut self, call: &Call) {
        match &call.expr {
            Expr::Var(function) => {
                let line = self.line(function.span());
                self.found.functions.push((function.id.to_string(), line));
            }
            // A method; what it belongs to may be a loop's point.
            Expr::GetAttr(method) => self.expression(&method.expr, false),
            other => self.expression(other, false),
        }
        self.arguments(&call.args);
    }

    fn arguments(&mut self, arguments: &[CallArg]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => self.expression(value, false),
            }
        }
    }
}

/// A variable alone, or a field of one: `case.x`, `case["x"]`.
fn path<'e>(expression: &Expr<'e>) -> Option<(&'e str, Option<String>)> {
    match expression {
        Expr::Var(variable) => Some((variable.id, None)),
        Expr::GetAttr(attribute) => match &attribute.expr {
            Expr::Var(variable) => Some((variable.id, Some(attribute.name.to_string()))),
            _ => None,
        },
        Expr::GetItem(item) => match (&item.expr, &item.subscript_expr) {
            (Expr::Var(variable), Expr::Const(key)) => {
                Some((variable.id, Some(key.value.as_str()?.to_string())))
            }
            _ => None,
        },
        _ => None,
    }
}
