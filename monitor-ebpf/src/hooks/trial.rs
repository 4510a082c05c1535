//! Whether hooks of a tier are really called: on kernels whose list of
//! security modules lacks bpf, programs of that tier load, attach, and are
//! never called. The agent attaches these for a moment, does what they see,
//! and looks. They are in no version beside another: no switch leads to them.

use super::security::{ALLOW, Arguments, both};
use crate::{atomic::Number, maps::TRIAL};

both! {
    /// `int sb_statfs(struct dentry *dentry)`
    trial_lsm, trial_fentry => count
}

#[inline(always)]
fn count<C: Arguments>(_: &C) -> i32 {
    let entry = u32::from(!C::CAN_DENY);
    if let Some(count) = TRIAL.get_ptr_mut(entry) {
        // SAFETY: the number is a map value.
        unsafe { Number::at(count) }.fetch_add(1);
    }
    ALLOW
}
