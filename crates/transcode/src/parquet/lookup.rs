//! Which column or member a name is.

use std::collections::HashMap;

use crate::names::KNOWN;
use crate::text::Text;

/// Places by name. A name that [`Names`] knows has a number, by which its place is found once it was looked up. For the others:
/// items of one kind have their attributes in much the same order, so that the name behind the last one is guessed and compared
/// before it is looked up.
///
/// [`Names`]: crate::names::Names
#[derive(Debug)]
pub(super) struct Lookup {
    places: HashMap<Box<[u8]>, usize>,
    /// For each number of a known name what is known of its place.
    numbered: Box<[Numbered; KNOWN]>,
    /// Each place: its name, and the place that came behind it last.
    entries: Vec<Entry>,
    /// The place that came first last.
    first: usize,
}

#[derive(Debug, Clone, Copy)]
enum Numbered {
    NotLookedUp,
    Nowhere,
    At(u32),
}

#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    next: usize,
}

/// Where one object's reading stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last(Option<usize>);

impl Lookup {
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let entries: Vec<Entry> = names
            .enumerate()
            .map(|(index, name)| Entry {
                name: name.as_bytes().into(),
                next: index + 1,
            })
            .collect();
        Self {
            places: entries
                .iter()
                .enumerate()
                .map(|(index, entry)| (entry.name.clone(), index))
                .collect(),
            numbered: Box::new([Numbered::NotLookedUp; KNOWN]),
            entries,
            first: 0,
        }
    }

    /// The place of a name that stands behind `last`. `number` is that of the name if it is a known one; one and the same
    /// [`Names`](crate::names::Names) has to give all numbers.
    #[inline(always)]
    pub(super) fn find(
        &mut self,
        name: &Text<'_>,
        number: Option<usize>,
        last: &mut Last,
    ) -> Option<usize> {
        match number.and_then(|number| self.numbered.get(number)) {
            Some(Numbered::At(place)) => Some(*place as usize),
            Some(Numbered::Nowhere) => None,
            _ => self.look_up(name, number, last),
        }
    }

    #[inline(never)]
    fn look_up(
        &mut self,
        name: &Text<'_>,
        number: Option<usize>,
        last: &mut Last,
    ) -> Option<usize> {
        let place = match name.is_escaped() {
            true => self.find_text(name.to_text().as_bytes(), last),
            false => self.find_text(name.raw(), last),
        };
        if let Some(slot) = number.and_then(|number| self.numbered.get_mut(number)) {
            *slot = match place.map(u32::try_from) {
                None => Numbered::Nowhere,
                Some(Ok(place)) => Numbered::At(place),
                // It is looked up each time.
                Some(Err(_)) => Numbered::NotLookedUp,
            };
        }
        place
    }

    /// The place of a name that is none of the line's.
    pub(super) fn find_text(&mut self, name: &[u8], last: &mut Last) -> Option<usize> {
        let guess = match last.0 {
            Some(last) => self.entries[last].next,
            None => self.first,
        };
        let place = match self.entries.get(guess) {
            Some(entry) if *entry.name == *name => guess,
            _ => {
                let place = *self.places.get(name)?;
                match last.0 {
                    Some(last) => self.entries[last].next = place,
                    None => self.first = place,
                }
                place
            }
        };
        last.0 = Some(place);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::scan;

    #[test]
    fn any_order_finds_the_same_places() {
        let mut lookup = Lookup::new(["a", "b", "c"].into_iter());
        for order in ["abc", "cba", "bzzac", "ccc", "zab"] {
            let mut last = Last::default();
            for name in order.chars() {
                let wanted = "abc".find(name);
                let text = name.to_string();
                assert_eq!(
                    lookup.find_text(text.as_bytes(), &mut last),
                    wanted,
                    "{order}"
                );
                let line = format!("\"{name}\"");
                let text = scan(line.as_bytes(), 1).unwrap();
                for number in [None, Some(name as usize - 'a' as usize), Some(KNOWN)] {
                    assert_eq!(lookup.find(&text, number, &mut last), wanted, "{order}");
                }
            }
        }
    }
}
