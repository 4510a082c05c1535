//! Files that people write, by each program's reader.

use std::path::Path;

use monitor_agent::directory::Directory;
use toml::{Table, Value};

/// Where the file would stand: nothing is there.
const BESIDE: &str = "/nonexistent/monitor.toml";

/// Whether some program takes it.
pub(crate) fn text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let path = Path::new(BESIDE);
    let mut is_taken = monitor_agent::config::Config::parse(text, path).is_ok();
    is_taken |= Directory::parse(text, path).is_ok();
    is_taken |= monitor_broker::config::Config::parse(path, text).is_ok();
    is_taken |= monitor_witness::config::Config::parse(path, text).is_ok();
    if !names_files(text) {
        is_taken |= monitor_collector::config::Config::parse(path, text).is_ok();
    }
    is_taken
}

/// Whether the collector would read other files for it: no file of this machine
/// is opened because chance wrote its name.
fn names_files(text: &str) -> bool {
    let Ok(table) = text.parse::<Table>() else {
        return false;
    };
    let alert = table.get("alert").and_then(Value::as_table);
    let of_alert = |key| alert.is_some_and(|alert| alert.contains_key(key));
    table.contains_key("include") || of_alert("rules") || of_alert("sigma")
}
