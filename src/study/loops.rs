//! The loops of a nest as a tuple, so that crunch gets one reference per loop, each of its own type.

use std::sync::Arc;

use crate::executor::context::Context;
use crate::study::sources::Source;

/// A loop whose points are of type `T`.
pub struct Over<T> {
    pub(super) source: Arc<dyn Source<T>>,
}

/// The loops around crunch, outermost first: a tuple of at most eight.
pub trait Loops: Send + Sync + 'static {
    /// One reference per loop, to its point.
    type Points<'a>;

    /// Gets the points with these indices and calls `crunch` with them. The outer error says that a point
    /// could not be loaded.
    fn call<R>(
        &self,
        indices: &[u64],
        context: &Context,
        crunch: &dyn for<'a> Fn(Self::Points<'a>, &Context) -> R,
    ) -> Result<R, String>;
}

/// Loops to which one more can be added inside.
pub trait Push<T>: Loops {
    /// These loops with one more inside.
    type Inside: Loops;

    /// Adds the loop.
    fn push(self, inside: Over<T>) -> Self::Inside;
}

macro_rules! tuples {
    (push $($loop:ident $level:tt)*) => {
        impl<$($loop: 'static,)* Last: 'static> Push<Last> for ($(Over<$loop>,)*) {
            type Inside = ($(Over<$loop>,)* Over<Last>,);

            fn push(self, inside: Over<Last>) -> Self::Inside {
                ($(self.$level,)* inside,)
            }
        }
    };
    ($($loop:ident $level:tt)*) => {
        impl<$($loop: 'static),*> Loops for ($(Over<$loop>,)*) {
            type Points<'a> = ($(&'a $loop,)*);

            #[allow(non_snake_case, unused_variables, clippy::unused_unit)]
            fn call<Out>(
                &self,
                indices: &[u64],
                context: &Context,
                crunch: &dyn for<'a> Fn(Self::Points<'a>, &Context) -> Out,
            ) -> Result<Out, String> {
                $(let $loop = self.$level.source.point($level, indices[$level], context)?;)*
                Ok(crunch(($(&*$loop,)*), context))
            }
        }
    };
}

/// Implements the traits for tuples of zero to eight loops.
macro_rules! up_to {
    ($($loop:ident $level:tt)* ;) => {
        tuples!($($loop $level)*);
    };
    ($($loop:ident $level:tt)* ; $next:ident $at:tt $($rest:tt)*) => {
        tuples!($($loop $level)*);
        tuples!(push $($loop $level)*);
        up_to!($($loop $level)* $next $at ; $($rest)*);
    };
}

up_to!(; A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
