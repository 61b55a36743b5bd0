//! Which kind of thing an item is, by its discriminator.

use records::{MAX_DEPTH, Number};

use crate::fault::LineFault;
use crate::line::{Line, LineForm, Part};
use crate::names::Names;
use crate::walk::{Tag, Walk};

/// What an attribute of the line's item says, as text: that of an S, or the canonical spelling of an N, so that 1 and 1.0 are
/// one. Nothing if the item has no such attribute, or one of another type.
///
/// The item is the new image; of an item that was removed, the old image, or its keys where the export has no old images. No
/// shaping is applied: the attribute is called what the table calls it. The line is read only as far as needed.
///
/// # Errors
/// If the line cannot be read that far.
pub fn entity_of(
    line: &[u8],
    form: LineForm,
    attribute: &str,
) -> Result<Option<String>, LineFault> {
    // Who reads the whole line finds names that are there twice.
    let mut names = Names::allowing_twice();
    let mut line = Line::open_unchecked(line, form)?;
    let (mut of_keys, mut of_old_image) = (None, None);
    while let Some(part) = line.next_part()? {
        match part {
            Part::WriteMicros(_) => {}
            Part::Item | Part::NewImage => return find(&mut line.walk, attribute, &mut names),
            Part::Keys => of_keys = read_on(&mut line.walk, attribute, &mut names)?,
            Part::OldImage => {
                of_old_image = Some(read_on(&mut line.walk, attribute, &mut names)?);
            }
        }
    }
    Ok(of_old_image.unwrap_or(of_keys))
}

/// Finds the text, and reads the item to its end.
fn read_on(
    walk: &mut Walk<'_>,
    attribute: &str,
    names: &mut Names,
) -> Result<Option<String>, LineFault> {
    let found = find(&mut { *walk }, attribute, names)?;
    names.clear();
    walk.item(names)?;
    Ok(found)
}

fn find(
    walk: &mut Walk<'_>,
    attribute: &str,
    names: &mut Names,
) -> Result<Option<String>, LineFault> {
    walk.object()?;
    let mut first = true;
    while let Some(name) = walk.name(first)? {
        first = false;
        if !name.is(attribute) {
            walk.value(names, MAX_DEPTH)?;
            continue;
        }
        let tag = walk.tag()?;
        let text = match tag {
            Tag::S => walk.string()?,
            Tag::N => walk.number()?,
            _ => return Ok(None),
        };
        if std::str::from_utf8(text.raw()).is_err() {
            return Err(LineFault::at(text.start(), "UTF-8"));
        }
        let text = text.to_text();
        if tag == Tag::N
            && let Ok(number) = Number::parse(&text)
        {
            return Ok(Some(number.as_str().to_owned()));
        }
        return Ok(Some(text.into_owned()));
    }
    Ok(None)
}
