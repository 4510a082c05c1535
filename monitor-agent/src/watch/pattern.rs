//! What a watch pattern says: components, one of which may name the tenant.

use std::path::PathBuf;

use globset::{GlobBuilder, GlobMatcher};

/// Most components of a pattern.
pub const COMPONENTS_MAX: usize = 64;

/// One component of a path.
#[derive(Clone, Debug)]
pub enum Component {
    /// Just this name.
    Name(String),
    /// Any name that fits.
    Glob(GlobMatcher),
    /// Any name, which is the tenant's.
    Tenant,
}

impl Component {
    /// Whether a name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Glob(glob) => glob.is_match(name),
            Self::Tenant => monitor_model::id::TenantId::new(name).is_ok(),
        }
    }
}

/// A pattern, checked.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    components: Vec<Component>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It must say where it begins.
    #[error("it does not start with /")]
    Relative,
    /// Nothing to watch.
    #[error("it names the root directory: name a file or a directory below it")]
    Root,
    /// `..` and `.` say nothing new.
    #[error("it holds the component {component:?}: write the path without it")]
    Dots {
        /// The component.
        component: String,
    },
    /// `**` elsewhere than at the end.
    #[error(
        "** stands in the middle: it is allowed only as the last component, where it means everything below"
    )]
    Recursive,
    /// The tenant is named twice, or only in part.
    #[error("{{tenant}} must stand for one whole component, and only once")]
    Tenant,
    /// Too long.
    #[error("it has {components} components; at most {COMPONENTS_MAX} are allowed")]
    TooDeep {
        /// How many.
        components: usize,
    },
    /// A glob that is none.
    #[error("{component:?} is no glob: {cause}")]
    Glob {
        /// The component.
        component: String,
        /// What is wrong.
        cause: String,
    },
}

impl Pattern {
    /// Reads a pattern: `/srv/acme/key`, `/srv/*/keys/*.pem`, `/srv/{tenant}/**`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::Relative)?;
        let mut parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        if parts.last() == Some(&"**") {
            // The directory itself: the kernel looks at everything below.
            parts.pop();
        }
        if parts.is_empty() {
            return Err(PatternError::Root);
        }
        if parts.len() > COMPONENTS_MAX {
            return Err(PatternError::TooDeep {
                components: parts.len(),
            });
        }
        if text.matches("{tenant}").count() > 1 {
            return Err(PatternError::Tenant);
        }
        let components: Result<Vec<_>, _> = parts.into_iter().map(component).collect();
        Ok(Self {
            text: text.to_owned(),
            components: components?,
        })
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The components.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Whether a component names the tenant.
    #[must_use]
    pub fn names_tenant(&self) -> bool {
        self.components
            .iter()
            .any(|component| matches!(component, Component::Tenant))
    }

    /// The part before the first component that varies.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        let names = self
            .components
            .iter()
            .map_while(|component| match component {
                Component::Name(name) => Some(name.as_str()),
                Component::Glob(_) | Component::Tenant => None,
            });
        std::iter::once("/").chain(names).collect()
    }
}

fn component(text: &str) -> Result<Component, PatternError> {
    match text {
        "." | ".." => {
            return Err(PatternError::Dots {
                component: text.to_owned(),
            });
        }
        "{tenant}" => return Ok(Component::Tenant),
        _ if text.contains("{tenant}") => return Err(PatternError::Tenant),
        _ if text.contains("**") => return Err(PatternError::Recursive),
        _ => {}
    }
    if !text.contains(['*', '?', '[', '{', '\\']) {
        return Ok(Component::Name(text.to_owned()));
    }
    let wrong = |error: &globset::Error| PatternError::Glob {
        component: text.to_owned(),
        cause: error.kind().to_string(),
    };
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    Ok(Component::Glob(
        glob.map_err(|error| wrong(&error))?.compile_matcher(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_wrong_ones_refused() {
        let pattern = Pattern::new("/srv/{tenant}/keys/*.pem").unwrap();
        assert!(pattern.names_tenant());
        assert_eq!(pattern.root(), PathBuf::from("/srv"));
        assert_eq!(Pattern::new("/srv/acme/**").unwrap().components().len(), 2);
        let error = |text| Pattern::new(text).unwrap_err();
        assert_eq!(error("srv/x"), PatternError::Relative);
        assert_eq!(error("/**"), PatternError::Root);
        assert_eq!(error("/srv/**/x"), PatternError::Recursive);
        assert_eq!(error("/srv/a-{tenant}/x"), PatternError::Tenant);
        assert_eq!(error("/{tenant}/{tenant}"), PatternError::Tenant);
        assert!(matches!(error("/srv/../x"), PatternError::Dots { .. }));
        assert!(matches!(error("/srv/[x"), PatternError::Glob { .. }));
    }
}
