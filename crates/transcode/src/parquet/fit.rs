//! Reading a value into the slot of a column, as long as it fits.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::builder::{Builder, Context, Spans, Values};
use super::lookup::{Last, Lookup};
use super::numbers;
use super::unescape::push_text;
use crate::fault::LineFault;
use crate::text::Text;
use crate::walk::{Tag, Walk};

impl Values {
    /// Reads what a value holds, behind its tag, into the slot behind `slot` others; as [`Builder::push`].
    #[inline]
    pub(super) fn push(
        &mut self,
        slot: usize,
        tag: Tag,
        walk: &mut Walk<'_>,
        context: &mut Context,
        levels: usize,
    ) -> Result<bool, LineFault> {
        match (self, tag) {
            (Self::Text(spans), Tag::S) => push_string(spans, &walk.string()?, context),
            (Self::Bytes(spans), Tag::B) => push_binary(spans, &walk.binary()?, context),
            (Self::Integer(values), Tag::N) => return Ok(push_some(values, integer(walk)?)),
            (
                Self::Decimal {
                    values,
                    precision,
                    scale,
                },
                Tag::N,
            ) => {
                let number = walk.number()?;
                let value = numbers::decimal(&plain_bytes(&number), *precision, *scale);
                return Ok(push_some(values, value));
            }
            (Self::Double(values), Tag::N) => {
                let number = walk.number()?;
                return Ok(push_some(values, numbers::double(&plain_bytes(&number))));
            }
            (Self::Boolean(bits), Tag::Bool) => bits.push(walk.boolean()?),
            (Self::List { ends, element }, Tag::L) => {
                let levels = walk.level(levels)?;
                let fits = push_elements(
                    element,
                    walk,
                    context,
                    levels,
                    |element, slot, walk, context| element.push(slot, walk, context, levels),
                )?;
                ends.push(element.len());
                return Ok(fits);
            }
            (Self::Set { ends, element }, tag @ (Tag::Ss | Tag::Ns | Tag::Bs)) => {
                let tag = match tag {
                    Tag::Ss => Tag::S,
                    Tag::Ns => Tag::N,
                    _ => Tag::B,
                };
                let fits = push_elements(
                    element,
                    walk,
                    context,
                    levels,
                    |element, slot, walk, context| {
                        let fits = element.values.push(slot, tag, walk, context, 0)?;
                        if fits {
                            element.validity.push_value();
                        }
                        Ok(fits)
                    },
                )?;
                ends.push(element.len());
                return Ok(fits);
            }
            (Self::Struct { lookup, members }, Tag::M) => {
                let levels = walk.level(levels)?;
                return push_members(lookup, members, slot, walk, context, levels);
            }
            (Self::Map { ends, keys, value }, Tag::M) => {
                let levels = walk.level(levels)?;
                let fits = push_entries(keys, value, walk, context, levels)?;
                ends.push(value.len());
                return Ok(fits);
            }
            (_, tag) => {
                walk.content(tag, &mut context.names, levels)?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[inline]
fn push_some<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    let fits = value.is_some();
    values.extend(value);
    fits
}

#[inline]
fn push_string(spans: &mut Spans, text: &Text<'_>, context: &mut Context) {
    push_text(text, &mut spans.bytes);
    spans.end();
    context.bytes += text.raw().len() as u64;
}

fn push_binary(spans: &mut Spans, text: &Text<'_>, context: &mut Context) {
    // The walk has checked it.
    let decoded = match text.is_escaped() {
        true => STANDARD.decode_vec(text.to_text().as_bytes(), &mut spans.bytes),
        false => STANDARD.decode_vec(text.raw(), &mut spans.bytes),
    };
    debug_assert!(decoded.is_ok(), "the walk lets only base64 pass");
    spans.end();
    context.bytes += text.raw().len() as u64;
}

/// An integer that fits, or nothing for another number.
#[inline]
fn integer(walk: &mut Walk<'_>) -> Result<Option<i64>, LineFault> {
    let number = walk.number()?;
    Ok(numbers::integer(&plain_bytes(&number)))
}

/// A number's text; nobody escapes digits, but JSON lets one.
#[inline]
fn plain_bytes<'a>(number: &Text<'a>) -> Cow<'a, [u8]> {
    match number.is_escaped() {
        true => number.to_text().into_owned().into_bytes().into(),
        false => number.raw().into(),
    }
}

/// Reads elements with `push` as long as they fit, and passes over the rest.
fn push_elements<'a>(
    element: &mut Builder,
    walk: &mut Walk<'a>,
    context: &mut Context,
    levels: usize,
    push: impl Fn(&mut Builder, usize, &mut Walk<'a>, &mut Context) -> Result<bool, LineFault>,
) -> Result<bool, LineFault> {
    let mut elements = walk.array()?;
    while walk.element(&mut elements)? {
        let slot = element.len();
        context.bytes += element.slot_bytes;
        if !push(element, slot, walk, context)? {
            // The owner takes all of the list back; what follows has only to be good.
            element.truncate(slot);
            while walk.element(&mut elements)? {
                skip_element(walk, context, levels)?;
            }
            return Ok(false);
        }
    }
    Ok(true)
}

/// Passes over an element of a list, or over one of a set of texts. (Numbers and bytes of a set were of the wrong type from
/// the first on, and so were passed over as a whole.)
fn skip_element(
    walk: &mut Walk<'_>,
    context: &mut Context,
    levels: usize,
) -> Result<(), LineFault> {
    match walk.peek() {
        Some(b'"') => walk.string().map(drop),
        _ => walk.value(&mut context.names, levels).map(drop),
    }
}

fn push_members(
    lookup: &mut Lookup,
    members: &mut [Builder],
    slot: usize,
    walk: &mut Walk<'_>,
    context: &mut Context,
    levels: usize,
) -> Result<bool, LineFault> {
    let mut last = Last::default();
    let mut fits = true;
    let mut object = walk.object()?;
    while let Some(name) = walk.member(&mut object, &mut context.names)? {
        let place = lookup.find(&name, context.names.number(), &mut last);
        match place {
            Some(place) if fits => fits = members[place].push(slot, walk, context, levels)?,
            _ => {
                fits = false;
                walk.value(&mut context.names, levels)?;
            }
        }
    }
    Ok(fits)
}

fn push_entries(
    keys: &mut Spans,
    value: &mut Builder,
    walk: &mut Walk<'_>,
    context: &mut Context,
    levels: usize,
) -> Result<bool, LineFault> {
    let mut fits = true;
    let mut object = walk.object()?;
    while let Some(name) = walk.member(&mut object, &mut context.names)? {
        if fits {
            push_string(keys, &name, context);
            context.bytes += value.slot_bytes + 4;
            let slot = value.len();
            fits = value.push(slot, walk, context, levels)?;
            if !fits {
                value.truncate(slot);
            }
        } else {
            walk.value(&mut context.names, levels)?;
        }
    }
    Ok(fits)
}
