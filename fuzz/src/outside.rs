//! What comes from outside: a broker's answers, files of rules and of grants.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use hyper::{HeaderMap, StatusCode, body::Bytes};
use monitor_collector::{alert::sigma, http::Answer, revoke::webhook::answer};
use monitor_model::clock::UnixNs;
use monitor_transport::grant_file;
use tempfile::TempDir;

/// When everything happens.
const NOW: UnixNs = UnixNs::from_seconds(1_700_000_000);

/// Two bytes of status and what `Retry-After` and the body are, a zero byte between.
pub(crate) fn broker(bytes: &[u8]) -> bool {
    let Some((status, rest)) = bytes.split_first_chunk::<2>() else {
        return false;
    };
    let Ok(status) = StatusCode::from_u16(u16::from_be_bytes(*status)) else {
        return false;
    };
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let (field, body) = (parts.next().unwrap_or_default(), parts.next());
    let mut fields = HeaderMap::new();
    if let Ok(value) = field.try_into() {
        fields.insert("retry-after", value);
    }
    let answer = Answer {
        status,
        fields,
        body: Bytes::copy_from_slice(body.unwrap_or_default()),
    };
    answer::read(&answer, NOW).is_ok()
}

/// A folder in memory with one file.
struct Ground {
    folder: TempDir,
    file: PathBuf,
}

impl Ground {
    fn new(name: &str) -> Option<Self> {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.ok()?;
        let file = folder.path().join(name);
        Some(Self { folder, file })
    }
}

thread_local! {
    static RULES: RefCell<Option<Ground>> = const { RefCell::new(None) };
    static GRANTS: RefCell<Option<Ground>> = const { RefCell::new(None) };
}

/// A rule in Sigma's form.
pub(crate) fn sigma(bytes: &[u8]) -> bool {
    let in_folder = |folder: &Path, _: &Path| sigma::read(folder).ok();
    let read = RULES.with_borrow_mut(|ground| put(ground, "rule.yml", bytes, in_folder));
    assert!(read.is_some(), "the rules' ground cannot be used");
    read.is_some_and(|(rules, files)| {
        let refused = files.iter().filter(|file| file.refused.is_some()).count();
        assert!(rules.len() + refused == 1, "{files:?}");
        refused == 0
    })
}

/// A grant in a file.
pub(crate) fn grant(bytes: &[u8]) -> bool {
    let of_file = |_: &Path, file: &Path| Some(grant_file::load(file, NOW).is_ok());
    let read = GRANTS.with_borrow_mut(|ground| put(ground, "grant.toml", bytes, of_file));
    assert!(read.is_some(), "the grants' ground cannot be used");
    read == Some(true)
}

fn put<T>(
    ground: &mut Option<Ground>,
    name: &str,
    bytes: &[u8],
    read: impl FnOnce(&Path, &Path) -> Option<T>,
) -> Option<T> {
    if ground.is_none() {
        *ground = Ground::new(name);
    }
    let ground = ground.as_ref()?;
    fs::write(&ground.file, bytes).ok()?;
    read(ground.folder.path(), &ground.file)
}
