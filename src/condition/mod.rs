//! Conditions and expressions as users write them, such as `alpha < 1 and model = 'ridge'`: translated to
//! safe SQL, checked for what SQL would answer surprisingly, and evaluated by SQLite.

mod expression;
mod names;
mod none;
mod permissions;
mod terms;
mod tokens;
mod translate;
mod types;

#[cfg(feature = "jobs")]
pub(crate) use expression::{Evaluator, Expression, ExpressionValue, LoopColumn};
#[cfg(feature = "cli")]
pub(crate) use expression::{in_words, sql_value};
#[cfg(feature = "cli")]
pub(crate) use names::{KnownName, Names};
#[cfg(feature = "cli")]
pub(crate) use permissions::Permissions;
pub(crate) use tokens::Holds;
#[cfg(feature = "cli")]
pub(crate) use translate::first_name;
#[cfg(feature = "cli")]
pub(crate) use translate::translate;
