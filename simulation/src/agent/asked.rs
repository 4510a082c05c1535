//! What is asked of a kernel and is not simulated: nothing is watched, nothing is
//! held to scopes.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use monitor_agent::{
    enforce::kernel::Scopes,
    inspect::Objects,
    kernel::{FileIdentity, KernelError, WatchName},
    watch::resolve::Look,
};
use monitor_common::{
    SessionMark,
    scope::{ScopeCell, ScopeKey, SessionScopes},
};
use monitor_model::{enforce::Away, id::SessionId};

#[derive(Debug)]
pub(super) struct NoScopes;

impl Scopes for NoScopes {
    fn put(&self, _: &[(ScopeKey, ScopeCell)]) -> Result<(), KernelError> {
        Ok(())
    }
    fn retain(&self, _: &BTreeSet<u32>) -> Result<usize, KernelError> {
        Ok(0)
    }
    fn bind(&self, _: SessionMark, _: &SessionScopes) -> Result<(), KernelError> {
        Ok(())
    }
    fn unbind(&self, _: SessionMark) -> Result<(), KernelError> {
        Ok(())
    }
    fn bound(&self) -> Result<Vec<(SessionId, SessionScopes)>, KernelError> {
        Ok(Vec::new())
    }
    fn lease(&self, _: Option<Duration>, _: Away) -> Result<(), KernelError> {
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct NoObjects;

impl Look for NoObjects {
    fn identify(&self, _: &Path) -> io::Result<FileIdentity> {
        Err(io::ErrorKind::NotFound.into())
    }
}

impl Objects for NoObjects {
    fn watched(&self, _: &FileIdentity) -> Result<Option<u32>, KernelError> {
        Ok(None)
    }
    fn watched_name(&self, _: &WatchName) -> Result<Option<u32>, KernelError> {
        Ok(None)
    }
}
