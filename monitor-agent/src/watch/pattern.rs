//! What a watch pattern says: components, one of which may name the tenant,
//! from the root directory or from every home directory.

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
    /// Any name.
    Any,
}

impl Component {
    /// Whether a name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Glob(glob) => glob.is_match(name),
            Self::Tenant => monitor_model::id::TenantId::new(name).is_ok(),
            Self::Any => true,
        }
    }
}

/// Where a pattern begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// `/`.
    Root,
    /// `~`: each home directory, see [`super::Homes`].
    Home,
}

/// A pattern, checked.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    start: Start,
    components: Vec<Component>,
    except: Vec<GlobMatcher>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It must say where it begins.
    #[error("it does not start with / or ~/")]
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
    /// Reads a pattern: `/srv/acme/key`, `/srv/*/keys/*.pem`, `/srv/{tenant}/**`,
    /// `~/.ssh/id_*`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let (start, rest) = match (text.strip_prefix('/'), text.strip_prefix("~/")) {
            (Some(rest), _) => (Start::Root, rest),
            (None, Some(rest)) => (Start::Home, rest),
            (None, None) => return Err(PatternError::Relative),
        };
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
            start,
            components: components?,
            except: Vec::new(),
        })
    }

    /// The same without files whose names fit one of these globs.
    ///
    /// # Errors
    /// [`PatternError::Glob`].
    pub fn except(mut self, names: &[String]) -> Result<Self, PatternError> {
        for name in names {
            self.except.push(glob(name)?);
        }
        Ok(self)
    }

    /// Whether a file of this name does not count though the pattern fits.
    #[must_use]
    pub fn excepts(&self, name: &str) -> bool {
        self.except.iter().any(|glob| glob.is_match(name))
    }

    /// Where it begins.
    #[must_use]
    pub const fn start(&self) -> Start {
        self.start
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
    Ok(Component::Glob(glob(text)?))
}

fn glob(text: &str) -> Result<GlobMatcher, PatternError> {
    let built = GlobBuilder::new(text).literal_separator(true).build();
    let wrong = |error: globset::Error| PatternError::Glob {
        component: text.to_owned(),
        cause: error.kind().to_string(),
    };
    Ok(built.map_err(wrong)?.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_wrong_ones_refused() {
        let pattern = Pattern::new("/srv/{tenant}/keys/*.pem").unwrap();
        assert!(pattern.names_tenant());
        assert_eq!(pattern.start(), Start::Root);
        assert_eq!(Pattern::new("~/.ssh/id_*").unwrap().start(), Start::Home);
        let pattern = Pattern::new("/x/*")
            .unwrap()
            .except(&["*.pub".to_owned()])
            .unwrap();
        assert!(pattern.excepts("a.pub") && !pattern.excepts("a.pub2"));
        assert_eq!(Pattern::new("/srv/acme/**").unwrap().components().len(), 2);
        let error = |text| Pattern::new(text).unwrap_err();
        assert_eq!(error("srv/x"), PatternError::Relative);
        assert_eq!(error("~alice/x"), PatternError::Relative);
        assert_eq!(error("/**"), PatternError::Root);
        assert_eq!(error("~/**"), PatternError::Root);
        assert_eq!(error("/srv/**/x"), PatternError::Recursive);
        assert_eq!(error("/srv/a-{tenant}/x"), PatternError::Tenant);
        assert_eq!(error("/{tenant}/{tenant}"), PatternError::Tenant);
        assert!(matches!(error("/srv/../x"), PatternError::Dots { .. }));
        assert!(matches!(error("/srv/[x"), PatternError::Glob { .. }));
    }
}
