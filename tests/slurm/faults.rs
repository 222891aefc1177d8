//! What goes wrong on a cluster, and whether the job gets over it by itself.

use crate::common::Desk;
use crate::{ends, job, log, show, started, submit, wait_until};

#[test]
fn an_element_of_an_array_at_its_limit_is_started_again_alone() {
    let desk = Desk::new();
    // As if the allocation of the last element ended in 20 s. Its number is that of the array.
    let short = r#"[slurm]
setup = [
    'echo "$SLURM_ARRAY_TASK_ID $SLURM_JOB_ID" >> starts',
    '[ "$SLURM_ARRAY_TASK_ID$SLURM_RESTART_COUNT" != 2 ] || export SLURM_JOB_END_TIME=$(($(date +%s) + 20))',
]
"#;
    let jobs = [("ended", 4, 0.1), ("runs", 120, 0.5), ("limited", 60, 0.5)];
    for (name, tasks, seconds) in jobs {
        desk.write(&format!("{name}.toml"), &(job(name, tasks, seconds) + short));
    }
    let files = ["ended.toml", "runs.toml", "limited.toml", "--nodes", "1", "--threads", "2"];
    let array = submit(&desk, &[&files[..], &["--time", "3", "--", "--mem=100"]].concat());
    wait_until(&desk, 60, "requeue", || show(&format!("{array}_2"), "Restarts") == "1");
    assert_eq!(show(&format!("{array}_0"), "JobState"), "COMPLETED", "{}", log(&desk));
    assert!(started(&desk, "runs").0 < 120, "one element runs while another is requeued");
    wait_until(&desk, 90, "end of the limited one", || {
        desk.path("results/limited/summary.json").exists()
    });
    for (index, (name, tasks, _)) in jobs.iter().enumerate() {
        let element = format!("{array}_{index}");
        ends(&desk, &element, 60, "COMPLETED", "0:0");
        assert_eq!(show(&element, "Restarts"), if index == 2 { "1" } else { "0" }, "{name}");
        assert_eq!(started(&desk, name), (*tasks as usize, *tasks as usize), "{}", log(&desk));
    }
    let starts = std::fs::read_to_string(desk.path("starts")).unwrap();
    assert_eq!(starts.matches(&format!("2 {array}\n")).count(), 2, "{starts}");
    assert_eq!(starts.lines().count(), 4, "{starts}");
    assert!(!log(&desk).contains("requeue is refused"), "{}", log(&desk));
}
