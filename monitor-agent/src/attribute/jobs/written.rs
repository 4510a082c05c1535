//! Who wrote the files that daemons act on, by what the kernel calls the file.
//!
//! In: changes of watched files of the classes [`CLASSES`]. Out: the writer of a
//! file, by device and inode. Bound: [`WRITINGS_MAX`]; the oldest is forgotten.

use std::{
    collections::{HashMap, VecDeque},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use monitor_model::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{Action, Attribution, Carrier, Event, Operation, Step},
};

/// Classes of the catalogue whose files say what a daemon is to start.
pub const CLASSES: [&str; 2] = ["scheduled-job", "service-unit"];
/// Most files that are remembered.
pub const WRITINGS_MAX: usize = 8_192;
/// A job of at that is older than this was run or removed long ago.
const AT_AGE_MAX_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// A file, as `stat` tells it.
pub type FileKey = (u64, u64);

/// A file that somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writing {
    /// The file.
    pub file: FileKey,
    /// Its last name that is known: a label.
    pub path: PathLabel,
    /// Who wrote last.
    pub attribution: Attribution,
    /// The account of who wrote.
    pub uid: u32,
    /// When.
    pub at: UnixNs,
}

impl Writing {
    /// The step that it is.
    #[must_use]
    pub fn step(&self, carrier: Carrier) -> Step {
        Step {
            carrier,
            name: self.path.text.clone(),
            at: Some(self.at),
            session: self.attribution.session,
        }
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct Written {
    files: HashMap<FileKey, Writing>,
    order: VecDeque<FileKey>,
    new: Vec<Writing>,
}

impl Written {
    /// Adds or replaces.
    pub fn put(&mut self, writing: Writing) {
        let file = writing.file;
        if self.files.insert(file, writing).is_none() {
            self.order.push_back(file);
        }
        while self.files.len() > WRITINGS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.files.remove(&oldest);
            }
        }
    }

    /// What is new since this was last asked.
    pub fn take_new(&mut self) -> Vec<Writing> {
        std::mem::take(&mut self.new)
    }

    /// Learns from a change of such a file. Whoever changed it last stands for
    /// it, also somebody who is not known.
    pub fn learn(&mut self, event: &Event) {
        let Action::Credential {
            object,
            class,
            operation,
            other,
            denied: false,
            ..
        } = &event.action
        else {
            return;
        };
        if !CLASSES.contains(&class.as_str()) || !changes_content(*operation) {
            return;
        }
        let file = (object.device, object.inode);
        let known = self.files.get(&file);
        // A new name is no new content: who moves the file in place of the
        // daemon's own program does what the writer began.
        let is_new_name = matches!(operation, Operation::Renamed | Operation::Linked);
        let keeps_writer = is_new_name && event.attribution.session.is_none() && known.is_some();
        let writing = Writing {
            file,
            path: other.as_ref().unwrap_or(&object.path).clone(),
            attribution: match known {
                Some(known) if keeps_writer => known.attribution.clone(),
                Some(_) | None => event.attribution.clone(),
            },
            uid: match known {
                Some(known) if keeps_writer => known.uid,
                Some(_) | None => event.process.as_ref().map_or(0, |process| process.uid),
            },
            at: event.at,
        };
        if known != Some(&writing) {
            self.put(writing.clone());
            self.new.push(writing);
        }
    }

    /// Who wrote a file, and the step that says so; nobody where that is not
    /// known.
    #[must_use]
    pub fn step(
        &self,
        (path, file): &(Vec<u8>, FileKey),
        carrier: Carrier,
    ) -> (Option<Attribution>, Step) {
        match self.files.get(file) {
            Some(writing) if writing.attribution.session.is_some() => {
                (Some(writing.attribution.clone()), writing.step(carrier))
            }
            found => (
                None,
                Step {
                    carrier,
                    name: monitor_model::bytes::ByteText(path.clone()),
                    at: found.map(|writing| writing.at),
                    session: None,
                },
            ),
        }
    }

    /// Jobs of at that an account left and that are due.
    #[must_use]
    pub fn jobs_of_at(&self, uid: u32, now: UnixNs) -> Vec<&Writing> {
        let is_due = |writing: &&Writing| {
            writing.uid == uid
                && due_at(&writing.path.text.0)
                    .is_some_and(|due| due <= now.0 && now.0 - due < AT_AGE_MAX_NS)
        };
        let mut due: Vec<_> = self.files.values().filter(is_due).collect();
        due.sort_by_key(|writing| (writing.at, writing.file));
        due
    }
}

/// Whether an operation decides what a file says.
const fn changes_content(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Created
            | Operation::Write
            | Operation::ReadWrite
            | Operation::Truncated
            | Operation::Renamed
            | Operation::Linked
    )
}

/// When a job of at is due: its name says so, in minutes since 1970
/// (`a0000101c2b3f4`: queue, number, time). `batch` waits for a quiet machine,
/// so its jobs may start later.
fn due_at(path: &[u8]) -> Option<u64> {
    const NAME_BYTES: usize = 14;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let folder = path.parent()?.file_name()?.as_bytes();
    if !matches!(folder, b"atjobs" | b"at" | b"jobs") {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    if name.len() != NAME_BYTES {
        return None;
    }
    let minutes = u64::from_str_radix(name.get(6..)?, 16).ok()?;
    minutes.checked_mul(60 * 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_of_at_says_in_its_name_when_it_is_due() {
        let due =
            due_at(b"/var/spool/cron/atjobs/a00001001c2b3f4c").map(|due| due / 60_000_000_000);
        assert_eq!(due, None, "one digit too many");
        let due = due_at(b"/var/spool/cron/atjobs/a00001001c2b3f").map(|due| due / 60_000_000_000);
        assert_eq!(due, Some(0x001c_2b3f));
        assert_eq!(due_at(b"/etc/cron.d/a00001001c2b3f"), None);
        assert_eq!(due_at(b"/var/spool/cron/atjobs/.lockfile-of-x"), None);
    }
}
