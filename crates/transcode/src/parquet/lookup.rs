//! Which column or member a name is.

use std::collections::HashMap;

/// Places by name. Items of one kind have their attributes in much the same order, so that the name behind the last one is
/// guessed and compared before it is looked up.
#[derive(Debug)]
pub(super) struct Lookup {
    places: HashMap<Box<[u8]>, usize>,
    /// Each place: its name, and the place that came behind it last.
    entries: Vec<Entry>,
    /// The place that came first last.
    first: usize,
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
            entries,
            first: 0,
        }
    }

    /// The place of the name that stands behind `last`.
    #[inline]
    pub(super) fn find(&mut self, name: &[u8], last: &mut Last) -> Option<usize> {
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

    #[test]
    fn any_order_finds_the_same_places() {
        let mut lookup = Lookup::new(["a", "b", "c"].into_iter());
        for order in ["abc", "cba", "bzzac", "ccc", "zab"] {
            let mut last = Last::default();
            for name in order.chars() {
                let wanted = "abc".find(name);
                assert_eq!(
                    lookup.find(name.to_string().as_bytes(), &mut last),
                    wanted,
                    "{order}"
                );
            }
        }
    }
}
