//! What an event was decided on, beside what the caller said: the object first,
//! then the words.

use monitor_model::event::{Action, FileObject};

/// Rows of what happened, for a table of facts.
pub(super) fn rows(action: &Action) -> Vec<(String, String)> {
    let row = |name: &str, text: String| (name.to_owned(), text);
    let mut rows = Vec::new();
    if let Action::Exec {
        exe,
        argv,
        given,
        interpreter,
        script,
        ..
    } = action
    {
        rows.push(row("object", identity(exe)));
        rows.extend(
            script
                .as_ref()
                .map(|script| row("script", identity(script))),
        );
        rows.push(row("path as given", given.to_string()));
        if !interpreter.0.is_empty() {
            rows.push(row("interpreter as named", interpreter.to_string()));
        }
        rows.extend(
            argv.first()
                .map(|first| row("calls itself", first.to_string())),
        );
    }
    if let Action::Credential {
        object,
        class,
        technique,
        other,
        ..
    } = action
    {
        rows.push(row("object", identity(object)));
        rows.extend(other.as_ref().map(|new| row("new name", new.to_string())));
        let technique = technique.as_ref().map(|id| format!(", ATT&CK {id}"));
        rows.push(row(
            "class",
            format!("{class}{}", technique.unwrap_or_default()),
        ));
    }
    rows
}

/// A file as the kernel knows it, and where it was found.
fn identity(file: &FileObject) -> String {
    let FileObject {
        device,
        inode,
        generation,
        path,
    } = file;
    format!("{path} (device {device}, inode {inode}, generation {generation})")
}
