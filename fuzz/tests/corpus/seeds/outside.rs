//! What people, brokers and hosts write.

use std::path::Path;

use monitor_ledger::{
    bundle::FACTS,
    checkpoint,
    leaf::{Blinding, Leaf, Parts},
    merkle::Frontier,
    proof::Tree,
};
use ssh_key::{
    LineEnding,
    private::{Ed25519Keypair, KeypairData, PrivateKey},
};

use super::{Seeds, log, seeds};

pub(crate) fn token() -> Seeds {
    let keys = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA"}]}"#;
    let claims = |more: &str| {
        let claims = format!(
            "{{\"alg\":\"EdDSA\",\"kid\":\"k\"}}\n{{\"iss\":\"https://issuer.example\",\"aud\":[\"monitor\"],\"exp\":1700000900,\"nbf\":1700000000,\"sub\":\"eve\",{more}}}"
        );
        claims.into_bytes()
    };
    seeds([
        ("keys", keys.to_vec()),
        ("soc", claims("\"role\":\"soc\"")),
        (
            "auditor",
            claims("\"role\":[\"auditor\",\"x\"],\"tenants\":[\"acme\"]"),
        ),
    ])
}

pub(crate) fn identity() -> Seeds {
    let user = PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[2; 32])), "x");
    let public = user.unwrap().public_key().to_openssh().unwrap();
    seeds([
        ("certificate", include_bytes!("peer.der").to_vec()),
        (
            "uri",
            b"monitor://auditor/eve?tenant=acme&tenant=globex".to_vec(),
        ),
        ("public-key", public.into_bytes()),
        (
            "page",
            b"17979cfe362a0000.01ARZ3NDEKTSV4RRFFQ69G5FAV".to_vec(),
        ),
    ])
}

/// Files of the bundle that the target has, each with its place among them.
pub(crate) fn bundle() -> Seeds {
    let blinding = Blinding([3; 32]);
    let leaf = |position| {
        let parts = Parts {
            stored_at_unix_ns: position,
            event: &[],
            judgement: &[],
        };
        Leaf::new(&blinding, position, parts)
    };
    let mut frontier = Frontier::default();
    (1..=5).for_each(|position| frontier.push(leaf(position).hash(), |_| {}));
    let tree = Tree {
        size: 5,
        root: frontier.root(),
    };
    let note = checkpoint::sign(&log(), &tree).unwrap();
    let key = format!("{}\n", log().verifier().as_str());
    let facts = br#"{"schema_version":1,"tenant":"acme"}"#;
    assert_eq!(FACTS, "bundle.json");
    let entries = (1..=5).flat_map(|position| {
        let leaf = leaf(position).to_bytes();
        let length = u16::try_from(leaf.len()).unwrap().to_be_bytes();
        [length.to_vec(), leaf.to_vec()].concat()
    });
    let contents = (1..=5).flat_map(|position| {
        let (_, judgement) = blinding.at(position);
        [[0xff; 4].as_slice(), &[0; 4], &judgement].concat()
    });
    let hashes = (1..=5).flat_map(|position| leaf(position).hash());
    let file = |place: u8, bytes: Vec<u8>| [vec![place], bytes].concat();
    seeds([
        ("facts", file(0, facts.to_vec())),
        ("checkpoint", file(1, note.clone())),
        ("cosigned", file(3, note)),
        ("key", file(4, key.into_bytes())),
        ("hashes", file(5, hashes.collect())),
        ("contents", file(2, contents.collect())),
        ("entries", file(6, entries.collect())),
    ])
}

pub(crate) fn submission() -> Seeds {
    let tree = Tree {
        size: 42,
        root: [5; 32],
    };
    let note = checkpoint::sign(&log(), &tree).unwrap();
    let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
    let of = |begin: String| [begin.into_bytes(), note.clone()].concat();
    seeds([
        ("first", of("old 0\n\n".to_owned())),
        ("later", of(format!("old 20\n{hash}{hash}\n"))),
    ])
}

pub(crate) fn answer() -> Seeds {
    let of = |status: u16, rest: &[u8]| [&status.to_be_bytes()[..], rest].concat();
    let done = b"\0{\"schema_version\":1,\"revoked\":[{\"serial\":\"12\",\"grant\":\"g1\",\"outcome\":\"revoked\",\"at\":\"2026-01-31T18:00:00Z\"}],\"published_at\":\"2026-01-31T18:00:01Z\",\"list_number\":7}";
    seeds([("done", of(200, done))])
}

pub(crate) fn sigma() -> Seeds {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = root.join("monitor-collector/src/alert/sigma/rules/linux");
    let (rules, files) = monitor_collector::alert::sigma::read(&folder).unwrap();
    assert_eq!(rules.len(), files.len());
    let read = |path: &String| {
        (
            path.replace('/', "-"),
            std::fs::read(folder.join(path)).unwrap(),
        )
    };
    files.iter().map(|file| read(&file.path)).collect()
}

pub(crate) fn grant() -> Seeds {
    let text = br#"id = "G-1"
principal = "alice"
tenant = "acme"
ticket = "INC-4711"
purpose = "replace a disk"
approved_by = "bob"
tier = "production"
kind = "just_in_time"
not_before = "2026-01-01T00:00:00Z"
expires = "2026-01-01T08:00:00Z"
[scope]
destinations = ["10.20.0.0/24:*", "[fd00::/64]:443"]
credentials = ["/srv/acme/credentials/**"]
programs = ["/usr/bin/{ssh,scp}"]
"#;
    seeds([("dated", text.to_vec())])
}

pub(crate) fn arguments() -> Seeds {
    seeds([
        ("mysql", b"mysql\0mysql\0-u\0root\0-phunter2\0--host=db\0".to_vec()),
        (
            "shell",
            b"bash\0bash\0-c\0curl -u eve:hunter2 'https://eve:pw@x/' -H \"Authorization: Bearer abc\"; PASSWORD=$(cat x) psql postgres://a:b@c/d\0"
                .to_vec(),
        ),
        (
            "nested",
            b"sudo\0sudo\0-u\0ops\0env\0TOKEN=abc\0sh\0-c\0sshpass -p 'a b' ssh x \"mysql --password=y\"\0"
                .to_vec(),
        ),
        (
            "words",
            b"vault\0vault\0login\0token=hvs.CAESIJ\0--header\0X-Api-Key: 0123456789abcdef".to_vec(),
        ),
        (
            "key",
            b"echo\0echo\0-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\0".to_vec(),
        ),
    ])
}

pub(crate) fn key() -> Seeds {
    let key = PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&[2; 32])), "x");
    let text = key.unwrap().to_openssh(LineEnding::LF).unwrap();
    seeds([("ed25519", text.as_bytes().to_vec())])
}

pub(crate) fn procfs() -> Seeds {
    let stat = b"17 (a) R) S 16 17 17 34816 17 4194304 1 0 0 0 0 0 0 0 20 0 1 0 9001 1 1\n";
    let mounts = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n25 1 0:23 / / rw - fuse.sshfs a@b: rw\n";
    seeds([("stat", stat.to_vec()), ("mounts", mounts.to_vec())])
}
