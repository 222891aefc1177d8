//! What a call of crunch needs of its host.

use serde::{Serialize, de::DeserializeOwned};

use crate::study::Study;

impl<R, S> Study<R, S>
where
    R: Serialize + DeserializeOwned + 'static,
    S: Serialize + DeserializeOwned + 'static,
{
    /// Says how many GPUs a call of crunch needs: whole ones, or a part of one, such as 0.5, if several calls share
    /// one. Each host's GPUs are divided among the workers on it, and a worker makes as many calls at a time as its
    /// share allows. [`Context::gpus`](crate::Context::gpus) names them. No result depends on it.
    pub fn gpus(mut self, gpus: f64) -> Self {
        self.policy.needs.gpus = Some(gpus);
        self
    }

    /// Says how many cores a call of crunch needs; [`Context::cores`](crate::Context::cores) has the same number
    /// then. No result depends on it.
    pub fn cores(mut self, cores: u32) -> Self {
        self.policy.needs.cores = Some(cores);
        self
    }

    /// Says how many bytes of memory a call of crunch needs: no more calls run on a host at a time than it has
    /// memory for. Nothing ends a call that uses more. No result depends on it.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.policy.needs.memory = Some(bytes);
        self
    }
}
