//! The end of the process that has started this one.

/// Names the process that this one is to end with. What it starts itself has the variable, too, and another parent.
#[cfg(target_os = "linux")]
const PARENT: &str = "GRIDMPI_PARENT";

/// Asks for SIGTERM, which ends a run in order, when the process that `GRIDMPI_PARENT` names ends before this one: it may
/// be killed, as a notebook's kernel is.
pub(crate) fn end_with_parent() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        let parent = || getppid().map(|parent| parent.as_raw_nonzero().get().to_string());
        if std::env::var(PARENT).is_ok_and(|named| parent().as_ref() == Some(&named)) {
            let set = set_parent_process_death_signal(Some(Signal::TERM));
            if let Err(error) = set {
                log::debug!("nobody tells when process {:?} ends: {error}", parent());
            }
        }
    }
}
