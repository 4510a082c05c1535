//! The table of programs that take secrets in their arguments. A row a family.
//! Sources: the programs' manuals.

use super::programs::{Argument, Opt, Program, Texts};

mod services;
mod system;

pub(super) use services::SERVICES;
pub(super) use system::SYSTEM;

const fn options(names: &'static [&'static str], options: &'static [Opt]) -> Program {
    Program {
        names,
        options,
        arguments: &[],
        valued: &[],
        texts: Texts::Any,
    }
}

const fn arguments(
    names: &'static [&'static str],
    arguments: &'static [Argument],
    valued: &'static [&'static str],
) -> Program {
    Program {
        names,
        options: &[],
        arguments,
        valued,
        texts: Texts::Any,
    }
}

const fn patterns(names: &'static [&'static str]) -> Program {
    Program {
        names,
        options: &[],
        arguments: &[],
        valued: &[],
        texts: Texts::Patterns,
    }
}
