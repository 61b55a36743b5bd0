//! Attributes of an item that is made up, and how an export and plain JSON write them.

/// An attribute's value. Texts are as JSON escapes them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Attribute {
    /// `S`.
    Text(String),
    /// `N`.
    Number(String),
    /// `B`, in base64.
    Binary(String),
    /// `BOOL`.
    Bool(bool),
    /// `NULL`.
    Null,
    /// `SS`.
    Texts(Vec<String>),
    /// `NS`.
    Numbers(Vec<String>),
    /// `L`.
    List(Vec<Attribute>),
    /// `M`.
    Map(Members),
}

/// The attributes of an item or a map, in their order.
pub(super) type Members = Vec<(&'static str, Attribute)>;

impl Attribute {
    /// Writes it as an export does, with the tag of its type.
    pub(super) fn write_tagged(&self, out: &mut String) {
        let tag = match self {
            Self::Text(_) => "S",
            Self::Number(_) => "N",
            Self::Binary(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::Texts(_) => "SS",
            Self::Numbers(_) => "NS",
            Self::List(_) => "L",
            Self::Map(_) => "M",
        };
        out.push_str("{\"");
        out.push_str(tag);
        out.push_str("\":");
        match self {
            Self::Text(text) | Self::Number(text) | Self::Binary(text) => quote(text, out),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Null => out.push_str("true"),
            Self::Texts(texts) | Self::Numbers(texts) => write_list(texts, out, |text, out| {
                quote(text, out);
            }),
            Self::List(values) => write_list(values, out, Self::write_tagged),
            Self::Map(members) => write_members(members, out, Self::write_tagged),
        }
        out.push('}');
    }

    /// Writes its value alone, as JSON.
    pub(super) fn write_plain(&self, out: &mut String) {
        match self {
            Self::Text(text) | Self::Binary(text) => quote(text, out),
            Self::Number(digits) => out.push_str(digits),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Null => out.push_str("null"),
            Self::Texts(texts) => write_list(texts, out, |text, out| quote(text, out)),
            Self::Numbers(numbers) => {
                write_list(numbers, out, |digits, out| out.push_str(digits));
            }
            Self::List(values) => write_list(values, out, Self::write_plain),
            Self::Map(members) => write_members(members, out, Self::write_plain),
        }
    }
}

/// Writes an item as a line of a full export has it, without the line's end.
pub(super) fn write_export_line(item: &Members, out: &mut String) {
    out.push_str("{\"Item\":");
    write_members(item, out, Attribute::write_tagged);
    out.push('}');
}

/// Writes an item as plain JSON, without a line's end.
pub(super) fn write_plain_line(item: &Members, out: &mut String) {
    write_members(item, out, Attribute::write_plain);
}

fn write_members(members: &Members, out: &mut String, write: fn(&Attribute, &mut String)) {
    out.push('{');
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        quote(name, out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

fn write_list<T>(values: &[T], out: &mut String, write: impl Fn(&T, &mut String)) {
    out.push('[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(value, out);
    }
    out.push(']');
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}
