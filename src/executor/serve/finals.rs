//! The final function in a child that serves many calls.

use std::sync::Arc;

use crate::executor::serve::child::ServeSetup;
use crate::executor::serve::client::{ServeCall, ServeClient};
use crate::executor::serve::crunch::{given, loaded, of_place};
use crate::executor::serve::lines::record;
use crate::executor::{FinalCaller, GivenFinal, Slot};
use crate::job::Job;
use crate::model::{RunError, Scored, Value};
use crate::util::error::Result;
use crate::wire::requests::MasterClient;

pub(crate) struct ServeFinal {
    job: Arc<Job>,
    place: Slot,
    pub(crate) client: ServeClient,
}

impl ServeFinal {
    pub(crate) fn new(
        job: &Arc<Job>,
        setup: ServeSetup,
        master: &Arc<dyn MasterClient>,
    ) -> ServeFinal {
        let place = setup.place;
        // Each call gets data of its own, which it may change.
        ServeFinal { job: job.clone(), place, client: ServeClient::new(setup, Some(master), 0) }
    }
}

impl FinalCaller for ServeFinal {
    fn call(&mut self, called: &GivenFinal) -> Result<Scored, RunError> {
        let job = &self.job;
        let mut fields = given(job, called.coordinates, called.points);
        fields.extend(record([
            ("summary", called.record.clone()),
            ("folder", called.folder.to_string_lossy().as_ref().into()),
            ("seed", Value::Int(called.seed.into())),
            ("attempt", Value::Int(called.attempt.into())),
        ]));
        fields.extend(of_place(self.place));
        let data = job.final_data().and_then(|level| loaded(job, level, called.points));
        let data = match data {
            Some((name, _)) if !self.client.child()?.hello.takes(name) => None,
            data => data,
        };
        let timeout = job.finally.as_ref().and_then(|spec| spec.timeout);
        self.client.forget_data();
        let value =
            self.client.call(&ServeCall { fields, data, timeout, output: Arc::default() })?;
        Ok(Scored { value: value.into(), ..Scored::default() })
    }
}
