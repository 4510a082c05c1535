use super::*;
use crate::watch::Pattern;

/// Who files are by what `stat` says: for tests without probes.
#[derive(Debug)]
pub(crate) struct Stat;

impl Look for Stat {
    fn identify(&self, path: &Path) -> io::Result<FileIdentity> {
        FileIdentity::of(path)
    }
}

fn rule_at(text: &str) -> Rule {
    Rule {
        pattern: Pattern::new(text).unwrap(),
        label: Label::of_class("key"),
    }
}

fn rule(folder: &Path, pattern: &str) -> Rule {
    rule_at(&format!("{}/{pattern}", folder.display()))
}

fn look(rules: &[Rule]) -> Resolved {
    resolve(rules, &Homes::default(), &Stat)
}

fn found(rules: &[Rule]) -> Vec<(bool, Option<String>)> {
    let resolved = look(rules);
    let mut found: Vec<_> = resolved
        .files
        .iter()
        .map(|(file, label)| {
            (
                file.is_directory,
                label.tenant.as_ref().map(ToString::to_string),
            )
        })
        .collect();
    found.sort();
    found
}

/// Names that are watched in a directory.
fn names(resolved: &Resolved, directory: &Path) -> Vec<String> {
    let directory = FileIdentity::of(directory).unwrap();
    let of_directory = resolved.names.keys().filter(|(of, _)| *of == directory);
    of_directory
        .map(|(_, name)| String::from_utf8(name.clone()).unwrap())
        .collect()
}

#[test]
fn files_directories_globs_and_tenants_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for tenant in ["acme", "globex"] {
        fs::create_dir_all(root.join(tenant).join("credentials")).unwrap();
        fs::write(root.join(tenant).join("a.pem"), "").unwrap();
        fs::write(root.join(tenant).join("a.txt"), "").unwrap();
    }
    assert_eq!(found(&[rule(root, "acme/a.pem")]), [(false, None)]);
    assert_eq!(found(&[rule(root, "acme/*.pem")]), [(false, None)]);
    assert_eq!(found(&[rule(root, "acme/nothing")]), []);
    let homes = Homes::default();
    assert!(fits(&rule(root, "acme/*.pem"), &homes));
    assert!(!fits(&rule(root, "acme/*.key"), &homes));
    assert!(!fits(&rule(root, "acme/nothing"), &homes));
    let tenants = [Some("acme".to_owned()), Some("globex".to_owned())];
    let wanted = |is_directory| tenants.clone().map(|tenant| (is_directory, tenant));
    assert_eq!(
        found(&[rule(root, "{tenant}/credentials/**")]),
        wanted(true)
    );
    assert_eq!(found(&[rule(root, "{tenant}/*.pem")]), wanted(false));
}

#[test]
fn a_fixed_name_is_watched_before_a_file_has_it_and_a_glob_once_one_has() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let resolved = look(&[
        rule(root, "token"),
        rule(root, "*.pem"),
        rule(root, "no/where"),
    ]);
    assert!(resolved.files.is_empty());
    assert_eq!(names(&resolved, root), ["token"]);
    fs::write(root.join("a.pem"), "").unwrap();
    let resolved = look(&[rule(root, "token"), rule(root, "*.pem")]);
    assert_eq!(names(&resolved, root), ["a.pem", "token"]);
    assert_eq!(resolved.files.len(), 1);
}

#[test]
fn a_file_renamed_over_another_is_found_and_the_name_stays() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let rules = [rule(root, "key")];
    fs::write(root.join("key"), "old").unwrap();
    let before = look(&rules);
    fs::write(root.join("new"), "new").unwrap();
    let new = FileIdentity::of(&root.join("new")).unwrap();
    fs::rename(root.join("new"), root.join("key")).unwrap();
    let after = look(&rules);
    assert_eq!(after.files.keys().copied().collect::<Vec<_>>(), [new]);
    assert_ne!(before.files, after.files);
    assert_eq!(before.names, after.names);
}

#[test]
fn parents_that_are_missing_are_followed_until_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let rules = [rule(folder.path(), "acme/*.pem")];
    let before = look(&rules);
    assert!(before.files.is_empty());
    let filters = &before.directories[folder.path()];
    assert!(filters.iter().any(|filter| filter.matches(b"acme")));
    assert!(!filters.iter().any(|filter| filter.matches(b"other")));
    fs::create_dir(folder.path().join("acme")).unwrap();
    let between = look(&rules);
    let filters = &between.directories[&folder.path().join("acme")];
    assert!(filters.iter().any(|filter| filter.matches(b"x.pem")));
    assert!(!filters.iter().any(|filter| filter.matches(b"x.txt")));
}

#[test]
fn homes_stand_for_the_sign_and_a_new_one_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("home/alice/.ssh")).unwrap();
    fs::create_dir_all(at("root")).unwrap();
    fs::write(at("home/alice/.ssh/id_x"), "").unwrap();
    fs::write(at("home/alice/.ssh/id_x.pub"), "").unwrap();
    fs::write(at("passwd"), "").unwrap();
    let homes = Homes {
        passwd: at("passwd"),
        folder: at("home"),
        root: at("root"),
    };
    let mut rules = [rule_at("~/.ssh/id_*")];
    let pattern = rules[0].pattern.clone();
    rules[0].pattern = pattern.except(&["*.pub".to_owned()]).unwrap();
    let resolved = resolve(&rules, &homes, &Stat);
    let key = FileIdentity::of(&at("home/alice/.ssh/id_x")).unwrap();
    assert_eq!(resolved.files.keys().copied().collect::<Vec<_>>(), [key]);
    for (directory, name) in [
        ("home", "bob"),
        ("", "passwd"),
        ("root", ".ssh"),
        ("home/alice", ".ssh"),
    ] {
        let filters = &resolved.directories[&at(directory).components().collect::<PathBuf>()];
        assert!(
            filters.iter().any(|filter| filter.matches(name.as_bytes())),
            "{directory}/{name}"
        );
    }
}

#[test]
fn of_two_rules_for_a_file_the_first_counts() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "").unwrap();
    let mut rules = [rule(folder.path(), "a"), rule(folder.path(), "*")];
    rules[0].label.class = "first".into();
    let resolved = look(&rules);
    let classes: Vec<_> = resolved
        .files
        .values()
        .chain(resolved.names.values())
        .map(|label| label.class.as_str())
        .collect();
    assert_eq!(classes, ["first", "first"]);
}

#[test]
fn a_target_of_a_symbolic_link_is_followed_and_its_name_watched() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir(root.join("real")).unwrap();
    fs::write(root.join("real/key"), "").unwrap();
    std::os::unix::fs::symlink("real/key", root.join("key")).unwrap();
    let resolved = look(&[rule(&root, "key")]);
    assert_eq!(resolved.files.len(), 1);
    assert_eq!(names(&resolved, &root), ["key"]);
    assert_eq!(names(&resolved, &root.join("real")), ["key"]);
    assert!(
        resolved.directories[&root.join("real")]
            .iter()
            .any(|filter| filter.matches(b"key"))
    );
}

#[test]
fn names_that_the_kernel_cannot_hold_are_watched_by_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let long = "k".repeat(WATCH_NAME_BYTES_MAX + 1);
    fs::write(folder.path().join(&long), "").unwrap();
    let resolved = look(&[rule(folder.path(), &long)]);
    assert_eq!((resolved.files.len(), resolved.names.len()), (1, 0));
}
