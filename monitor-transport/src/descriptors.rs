//! How many files and connections a service may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many descriptors as the system gives (the soft limit goes up to the
/// hard one), and says how many that is; none: no limit. Services are started
/// with 1,024 as a rule, for programs that use `select`; ours do not.
#[must_use]
pub fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, most) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}
