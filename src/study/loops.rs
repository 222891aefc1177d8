//! The loops of a nest as a tuple, so that crunch gets one reference per loop, each of its own type.

use std::sync::Arc;

use crate::executor::context::Context;
use crate::study::sources::Source;

/// A loop whose points are of type `T`. `K` is what rank 0 knows of a point before anything is crunched.
pub struct Over<T, K = T> {
    pub(super) source: Arc<dyn Source<T, K>>,
}

impl<T, K> Clone for Over<T, K> {
    fn clone(&self) -> Self {
        Over { source: self.source.clone() }
    }
}

/// The loops around crunch, outermost first: a tuple of at most eight.
pub trait Loops: Clone + Send + Sync + 'static {
    /// One reference per loop, to its point.
    type Points<'a>;

    /// One reference per loop, to what rank 0 knows of its point before anything is crunched.
    type Known<'a>;

    /// Gets the points with these indices and calls `crunch` with them. The outer error says that a point
    /// could not be loaded.
    fn call<R>(
        &self,
        indices: &[u64],
        context: &Context,
        crunch: &dyn for<'a> Fn(Self::Points<'a>, &Context) -> R,
    ) -> Result<R, String>;

    /// On rank 0: calls `select` with what is known of the points with these indices.
    fn select<R>(
        &self,
        indices: &[u64],
        select: &dyn for<'a> Fn(Self::Known<'a>) -> R,
    ) -> Result<R, String>;
}

/// At least one loop.
pub trait NotEmpty: Loops {}

/// Loops to which one more can be added inside.
pub trait Push<T, K = T>: Loops {
    /// These loops with one more inside.
    type Inside: NotEmpty;

    /// Adds the loop.
    fn push(self, inside: Over<T, K>) -> Self::Inside;
}

macro_rules! tuples {
    (push $($loop:ident $known:ident $level:tt)*) => {
        impl<$($loop: 'static, $known: 'static,)* T: 'static, K: 'static> Push<T, K>
            for ($(Over<$loop, $known>,)*)
        {
            type Inside = ($(Over<$loop, $known>,)* Over<T, K>,);

            fn push(self, inside: Over<T, K>) -> Self::Inside {
                ($(self.$level,)* inside,)
            }
        }

        impl<$($loop: 'static, $known: 'static,)* T: 'static, K: 'static> NotEmpty
            for ($(Over<$loop, $known>,)* Over<T, K>,)
        {
        }
    };
    ($($loop:ident $known:ident $level:tt)*) => {
        impl<$($loop: 'static, $known: 'static),*> Loops for ($(Over<$loop, $known>,)*) {
            type Points<'a> = ($(&'a $loop,)*);
            type Known<'a> = ($(&'a $known,)*);

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

            #[allow(non_snake_case, unused_variables, clippy::unused_unit)]
            fn select<Out>(
                &self,
                indices: &[u64],
                select: &dyn for<'a> Fn(Self::Known<'a>) -> Out,
            ) -> Result<Out, String> {
                $(let $loop = self.$level.source.known(indices[$level])?;)*
                Ok(select(($(&*$loop,)*)))
            }
        }
    };
}

/// Implements the traits for tuples of zero to eight loops.
macro_rules! up_to {
    ($($loop:ident $known:ident $level:tt)* ;) => {
        tuples!($($loop $known $level)*);
    };
    ($($loop:ident $known:ident $level:tt)* ; $next:ident $of:ident $at:tt $($rest:tt)*) => {
        tuples!($($loop $known $level)*);
        tuples!(push $($loop $known $level)*);
        up_to!($($loop $known $level)* $next $of $at ; $($rest)*);
    };
}

up_to!(; A Ka 0 B Kb 1 C Kc 2 D Kd 3 E Ke 4 F Kf 5 G Kg 6 H Kh 7);
