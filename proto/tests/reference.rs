//! The contract as a page, `docs/reference/api.md`, made from the comments in `monitor/v1/*.proto`.

#![expect(clippy::unwrap_used, reason = "tests may")]

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

const HEAD: &str = "\
<!-- Made from proto/monitor/v1/*.proto:
     MONITOR_WRITE_DOCS=1 cargo test -p monitor-proto --test reference -->
# API

The gRPC contract of package `monitor.v1`, over mutual TLS. Roles are those of the caller's certificate. Collector and
broker serve reflection, so that any gRPC client can call without the files. A field that is not set has its type's zero
value; where that is something else than absence, the field is optional. Numbers of fields are never reused.

";

/// The package, before every name.
const PACKAGE: &str = ".monitor.v1.";

/// What stands above a service, message, field or value, by its place in the file.
struct Comments(HashMap<Vec<i32>, String>);

impl Comments {
    fn of(file: &FileDescriptorProto) -> Self {
        let places = file.source_code_info.iter().flat_map(|info| &info.location);
        let comments = places.filter_map(|place| {
            let text = place.leading_comments.as_ref()?;
            Some((place.path.clone(), one_line(text)))
        });
        Self(comments.collect())
    }

    fn at(&self, path: &[i32], more: &[i32]) -> &str {
        let path = [path, more].concat();
        self.0.get(&path).map_or("", String::as_str)
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|").replace('<', "&lt;")
}

fn place(index: usize) -> i32 {
    i32::try_from(index).unwrap()
}

fn name(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

/// A link to a type of the contract; of another package, its name.
fn link(type_name: &str) -> String {
    let Some(name) = type_name.strip_prefix(PACKAGE) else {
        return format!("`{}`", type_name.trim_start_matches('.'));
    };
    format!("[{name}](#{})", name.to_lowercase().replace('.', ""))
}

/// The page's parts, by name.
#[derive(Default)]
struct Page {
    /// What each message and enum is, by its full name: for fields that say no more.
    types: HashMap<String, String>,
    services: BTreeMap<String, String>,
    messages: BTreeMap<String, String>,
    enums: BTreeMap<String, String>,
}

impl Page {
    fn of(set: &FileDescriptorSet) -> Self {
        let mut page = Self::default();
        for file in &set.file {
            if name(file.package.as_ref()) != "monitor.v1" {
                continue;
            }
            let comments = Comments::of(file);
            page.types(file, &comments);
        }
        for file in &set.file {
            if name(file.package.as_ref()) != "monitor.v1" {
                continue;
            }
            let comments = Comments::of(file);
            for (index, service) in file.service.iter().enumerate() {
                page.service(service, &comments, &[6, place(index)]);
            }
            for (index, message) in file.message_type.iter().enumerate() {
                page.message(message, &comments, &[4, place(index)], "");
            }
            for (index, of) in file.enum_type.iter().enumerate() {
                page.enumeration(of, &comments, &[5, place(index)], "");
            }
        }
        page
    }

    fn types(&mut self, file: &FileDescriptorProto, comments: &Comments) {
        let messages = file.message_type.iter().map(DescriptorProto::name);
        let enums = file.enum_type.iter().map(EnumDescriptorProto::name);
        let of = |kind: i32, index| comments.at(&[kind, place(index)], &[]).to_owned();
        let messages = messages
            .enumerate()
            .map(|(index, name)| (name, of(4, index)));
        let enums = enums.enumerate().map(|(index, name)| (name, of(5, index)));
        let all = messages.chain(enums);
        self.types
            .extend(all.map(|(name, what)| (format!("{PACKAGE}{name}"), what)));
    }

    /// What a field is: its own comment, or else that of its type.
    fn what<'a>(&'a self, field: &FieldDescriptorProto, own: &'a str) -> &'a str {
        let of_type = || self.types.get(field.type_name()).map(String::as_str);
        if own.is_empty() {
            of_type().unwrap_or_default()
        } else {
            own
        }
    }

    fn service(&mut self, service: &ServiceDescriptorProto, comments: &Comments, path: &[i32]) {
        let mut text = format!(
            "{}\n\n| call | takes | gives | what |\n|---|---|---|---|\n",
            comments.at(path, &[])
        );
        for (index, method) in service.method.iter().enumerate() {
            let stream = |is_stream| if is_stream { "stream of " } else { "" };
            _ = writeln!(
                text,
                "| `{}` | {}{} | {}{} | {} |",
                method.name(),
                stream(method.client_streaming()),
                link(method.input_type()),
                stream(method.server_streaming()),
                link(method.output_type()),
                comments.at(path, &[2, place(index)])
            );
        }
        self.services.insert(service.name().to_owned(), text);
    }

    fn message(
        &mut self,
        message: &DescriptorProto,
        comments: &Comments,
        path: &[i32],
        outer: &str,
    ) {
        let full = format!("{outer}{}", message.name());
        let mut text = format!("{}\n", comments.at(path, &[]));
        if !message.field.is_empty() {
            text.push_str("\n| field | type | what |\n|---|---|---|\n");
        }
        let mut shown = None;
        for (index, field) in message.field.iter().enumerate() {
            let one_of = field.oneof_index.filter(|_| !field.proto3_optional());
            if let Some(one) = one_of
                && shown != one_of
            {
                let group = message.oneof_decl.get(usize::try_from(one).unwrap());
                let (group, what) = (group.unwrap().name(), comments.at(path, &[8, one]));
                _ = writeln!(text, "| `{group}` | one of | {what} |");
            }
            shown = one_of;
            let indent = if one_of.is_some() { "– " } else { "" };
            let what = self.what(field, comments.at(path, &[2, place(index)]));
            let (number, kind) = (field.number(), kind(field));
            _ = writeln!(
                text,
                "| {indent}`{}` {number} | {kind} | {what} |",
                field.name()
            );
        }
        self.messages.insert(full.clone(), text);
        for (index, nested) in message.nested_type.iter().enumerate() {
            let path = [path, &[3, place(index)]].concat();
            self.message(nested, comments, &path, &format!("{full}."));
        }
        for (index, nested) in message.enum_type.iter().enumerate() {
            let path = [path, &[4, place(index)]].concat();
            self.enumeration(nested, comments, &path, &format!("{full}."));
        }
    }

    fn enumeration(
        &mut self,
        of: &EnumDescriptorProto,
        comments: &Comments,
        path: &[i32],
        outer: &str,
    ) {
        let mut text = format!(
            "{}\n\n| value | what |\n|---|---|\n",
            comments.at(path, &[])
        );
        for (index, value) in of.value.iter().enumerate() {
            let what = comments.at(path, &[2, place(index)]);
            _ = writeln!(text, "| `{}` {} | {what} |", value.name(), value.number());
        }
        self.enums.insert(format!("{outer}{}", of.name()), text);
    }

    fn text(&self) -> String {
        let mut page = HEAD.to_owned();
        for (title, parts) in [
            ("Services", &self.services),
            ("Messages", &self.messages),
            ("Enums", &self.enums),
        ] {
            _ = writeln!(page, "## {title}\n");
            for (name, text) in parts {
                _ = writeln!(page, "### {name}\n{text}");
            }
        }
        page.truncate(page.trim_end().len());
        page.push('\n');
        page
    }
}

/// A field's type, as the files write it.
fn kind(field: &FieldDescriptorProto) -> String {
    let base = match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        Type::Double => "double".to_owned(),
        Type::Float => "float".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Uint64 => "uint64".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Fixed64 => "fixed64".to_owned(),
        Type::Fixed32 => "fixed32".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::String => "string".to_owned(),
        Type::Group => "group".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Uint32 => "uint32".to_owned(),
        Type::Sfixed32 => "sfixed32".to_owned(),
        Type::Sfixed64 => "sfixed64".to_owned(),
        Type::Sint32 => "sint32".to_owned(),
        Type::Sint64 => "sint64".to_owned(),
    };
    match (field.label(), field.proto3_optional()) {
        (Label::Repeated, _) => format!("repeated {base}"),
        (_, true) => format!("optional {base}"),
        (_, false) => base,
    }
}

fn contract() -> FileDescriptorSet {
    FileDescriptorSet::decode(monitor_proto::DESCRIPTORS).unwrap()
}

#[test]
fn page_is_fresh() {
    let page = Page::of(&contract()).text();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/api.md");
    if std::env::var_os("MONITOR_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == page,
        "docs/reference/api.md is stale: MONITOR_WRITE_DOCS=1 cargo test -p monitor-proto --test reference"
    );
}

#[test]
fn every_link_on_the_page_leads_somewhere() {
    let text = Page::of(&contract()).text();
    let headings: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|name| name.to_lowercase().replace('.', ""))
        .collect();
    for part in text.split("](#").skip(1) {
        let target = part.split(')').next().unwrap();
        assert!(headings.iter().any(|heading| heading == target), "{target}");
    }
    assert!(headings.len() > 100, "{}", headings.len());
}

#[test]
fn services_messages_enums_and_calls_are_commented() {
    let page = Page::of(&contract());
    for (name, text) in page
        .services
        .iter()
        .chain(&page.messages)
        .chain(&page.enums)
    {
        assert!(!text.starts_with('\n'), "{name} has no comment");
    }
    for (name, text) in &page.services {
        assert!(!text.contains("|  |"), "a call of {name} has no comment");
    }
}
