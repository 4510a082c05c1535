use super::*;

#[test]
fn every_item_parses_and_has_class_technique_and_patterns() {
    let catalogue = Catalogue::built_in().unwrap();
    assert!(catalogue.items.len() > 30);
    for item in &catalogue.items {
        assert!(!item.patterns.is_empty(), "{}", item.id);
        assert!(
            !item.label.class.is_empty() && !item.what.is_empty(),
            "{}",
            item.id
        );
        assert!(!item.technique_name.is_empty(), "{}", item.id);
        assert!(item.label.technique.as_deref().is_some_and(is_technique));
        assert_eq!(item.label.item.as_deref(), Some(item.id.as_str()));
        for program in item
            .expectation
            .readers
            .iter()
            .chain(&item.expectation.writers)
        {
            assert!(program.is_absolute(), "{}", program.display());
        }
    }
}

#[test]
fn every_pattern_stands_once() {
    let catalogue = Catalogue::built_in().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for pattern in catalogue.items.iter().flat_map(|item| &item.patterns) {
        assert!(
            seen.insert(pattern.text()),
            "{} stands twice",
            pattern.text()
        );
    }
}

#[test]
fn the_kinds_of_secrets_of_a_jump_host_are_there() {
    let catalogue = Catalogue::built_in().unwrap();
    let texts: Vec<&str> = catalogue
        .items
        .iter()
        .flat_map(|item| item.patterns.iter().map(Pattern::text))
        .collect();
    for wanted in [
        "~/.ssh/id_ed25519",
        "~/.ssh/authorized_keys",
        "/etc/shadow",
        "/etc/sudoers.d/**",
        "/tmp/krb5cc_*",
        "/etc/krb5.keytab",
        "~/.aws/credentials",
        "~/.kube/config",
        "~/.vault-token",
        "/run/docker.sock",
        "~/.git-credentials",
        "~/.netrc",
        "~/.pgpass",
        "~/.my.cnf",
        "~/.gnupg/private-keys-v1.d/**",
        "~/*.kdbx",
        "/etc/ssl/private/**",
        "/etc/pam.d/**",
        "/etc/ld.so.preload",
        "/etc/cron.d/**",
        "/etc/systemd/**",
        "/proc/kcore",
        "/dev/mem",
        "/dev/net/tun",
        "/sys/kernel/tracing/uprobe_events",
    ] {
        assert!(texts.contains(&wanted), "{wanted}");
    }
}

#[test]
fn what_everybody_reads_is_told_only_when_it_changes() {
    let catalogue = Catalogue::built_in().unwrap();
    let operations = |id: &str| {
        let item = catalogue.items.iter().find(|item| item.id == id);
        item.unwrap().label.operations
    };
    for id in [
        "account-database",
        "sshd-configuration",
        "cron-job",
        "systemd-unit",
        "ssh-authorized-keys",
    ] {
        assert_eq!(operations(id), Operations::Changes, "{id}");
    }
    for id in [
        "ssh-private-key",
        "shadow",
        "kerberos-cache",
        "container-socket",
    ] {
        assert_eq!(operations(id), Operations::All, "{id}");
    }
}

#[test]
fn items_are_switched_off_and_given_to_a_tenant_by_id() {
    let given = Given {
        id: "kubeconfig".into(),
        tenant: Some("acme".parse().unwrap()),
        tier: Some(Tier::Production),
        readers: vec!["/usr/bin/kubectl".into()],
    };
    let (all, _) = Catalogue::built_in().unwrap().rules(&[], &[]);
    let off = ["shadow".to_owned()];
    let (rules, expectations) = Catalogue::built_in().unwrap().rules(&off, &[given]);
    let of = |rules: &[Rule], id: &str| {
        let of_item = rules
            .iter()
            .filter(|rule| rule.label.item.as_deref() == Some(id));
        of_item.cloned().collect::<Vec<_>>()
    };
    assert!(of(&rules, "shadow").is_empty() && !of(&all, "shadow").is_empty());
    let kube = of(&rules, "kubeconfig");
    assert!(!kube.is_empty());
    for rule in kube {
        assert_eq!(rule.label.tenant, Some("acme".parse().unwrap()));
        assert_eq!(rule.label.tier, Some(Tier::Production));
    }
    assert!(
        of(&rules, "aws")
            .iter()
            .all(|rule| rule.label.tenant.is_none())
    );
    let readers = expectations
        .iter()
        .find(|of| of.item == "kubeconfig")
        .unwrap();
    assert_eq!(readers.readers, [PathBuf::from("/usr/bin/kubectl")]);
}

#[test]
fn wrong_items_are_refused_with_line_and_key() {
    let item = |id: &str, technique: &str, pattern: &str| {
        format!(
            "[[item]]\nid = \"{id}\"\nwhat = \"w\"\nclass = \"c\"\ntechnique = \"{technique}\"\n\
             technique_name = \"n\"\nowner = \"host\"\npatterns = [\"{pattern}\"]\n"
        )
    };
    let error = |text: &str| Catalogue::parse(text).unwrap_err().to_string();
    assert!(error(&item("a", "T12", "/x")).contains(":5: item.technique is \"T12\""));
    assert!(error(&item("a", "T1000", "x")).contains(":8: item.patterns is \"x\""));
    let twice = item("a", "T1000", "/x") + &item("a", "T1000", "/y");
    assert!(error(&twice).contains("item.id is \"a\""));
}

#[test]
fn numbers_of_techniques_are_told_from_others() {
    for right in ["T1078", "T1552.004"] {
        assert!(is_technique(right));
    }
    for wrong in [
        "",
        "T",
        "1078",
        "T107",
        "T1078.",
        "T1552.04",
        "T1552.0044",
        "t1078",
        "T1O78",
    ] {
        assert!(!is_technique(wrong), "{wrong}");
    }
}

/// `MONITOR_WRITE_DOCS=1 cargo test -p monitor-agent --lib catalogue` writes it.
#[test]
fn the_page_says_what_the_catalogue_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/catalogue.md");
    let made = page::markdown(&Catalogue::built_in().unwrap());
    if std::env::var_os("MONITOR_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == made,
        "docs/reference/catalogue.md is stale: MONITOR_WRITE_DOCS=1 cargo test -p monitor-agent --lib catalogue"
    );
}
