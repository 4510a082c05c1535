//! In the running kernel, as root.

use anyhow::Result;
use monitor_tests::cases::report::Report;

use super::{PLAYER, Play, arguments, report_of};
use crate::cache::Project;
use crate::player::{self, Player};

pub(super) fn play(project: &Project, play: &Play) -> Result<Report> {
    let mut words = Vec::new();
    for (flag, value) in [("--cases", &play.folder), ("--built", &play.built)] {
        words.extend([flag.to_owned(), value.display().to_string()]);
    }
    words.extend(arguments(play));
    let player = Player {
        name: "cases-host",
        program: PLAYER,
        programs: &play.programs,
        words,
    };
    // Its exit code says that a case failed, which the results say too.
    let (_, results) = player::run(project, player)?;
    report_of(&results)
}
