//! What counts as another crunch, and how older stores are compared.

use super::*;

fn identity(files: &[(&str, FileRole, &str)]) -> Identity {
    let file = |(name, role, digest): &(&str, FileRole, &str)| {
        (name.to_string(), IdentityFile { role: *role, digest: digest.to_string() })
    };
    Identity { files: files.iter().map(file).collect(), ..Identity::default() }
}

#[test]
fn what_changed_is_named_and_what_a_run_may_have_written_does_not_count() {
    let before = identity(&[
        ("./run", FileRole::Program, "1"),
        ("awk", FileRole::System, "2"),
        ("red.py", FileRole::Reduction, "3"),
        ("deck.in", FileRole::Argument, "4"),
    ]);
    let same = [("./run", FileRole::Program, "1"), ("deck.in", FileRole::Argument, "4")];
    let mut now = identity(&same);
    now.files.insert(
        "out.log".to_string(),
        IdentityFile { role: FileRole::Argument, digest: "5".to_string() },
    );
    let changes = before.changes(&mut now);
    assert_eq!(changes.refused, [""; 0]);
    assert!(changes.remarks[0].contains("awk"), "{changes:?}");
    assert!(!now.files.contains_key("out.log"), "it was not there at the first start");
    let mut now =
        identity(&[("./run", FileRole::Program, "9"), ("mesh.msh", FileRole::Input, "6")]);
    let refused = before.changes(&mut now).refusal().unwrap();
    for name in ["./run has changed", "deck.in is gone", "mesh.msh is new"] {
        assert!(refused.contains(name), "{refused}");
    }
}

#[test]
fn an_older_store_is_compared_by_what_it_has() {
    let digest = "0123456789abcdef0123456789abcdef";
    let read = |key: &str| -> Result<Option<String>, ()> {
        Ok(match key {
            "crunch" => Some(format!("python f.py:crunch ({digest}), load g.py:l ({digest})")),
            "seed" => Some("0".to_string()),
            "reduces" => Some(format!("[\"\",\"python r.py:s ({digest})\"]")),
            _ => None,
        })
    };
    let before = Identity::from_notes(read).unwrap();
    assert_eq!(before.keys["crunch"], "python f.py:crunch, load g.py:l");
    assert_eq!(before.reduces, ["", "python r.py:s"]);
    let mut now = before.clone();
    (now.is_partial, now.files.get_mut("f.py").unwrap().digest) = (false, "other".to_string());
    now.keys.insert("data".to_string(), "a".to_string());
    let changes = before.changes(&mut now);
    assert_eq!(changes.refused, ["f.py has changed (the file of a function)"]);
    assert!(changes.remarks[0].contains("did not record data"), "{changes:?}");
}
