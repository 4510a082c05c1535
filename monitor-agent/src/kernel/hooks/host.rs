//! The ground that the monitor stands on.

use super::Hook;

pub(super) const HOOKS: &[Hook] = &[];
