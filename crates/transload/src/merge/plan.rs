//! What is known before the first row is written: sheets, headers, columns.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use records::Delimiter;

use super::error::MergeError;
use super::header::{self, Header, HeaderRow, WINDOW_ROWS, Wanted};
use super::input::{Input, SheetInfo, canonical, file_bytes, is_lock_file};
use super::place::Place;
use super::{AcceptRounded, Job, Skipped};
use crate::ingest::FileVersion;
use crate::wording::quoted;

/// The sheets in the order in which they are written, and the columns of the output.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) files: Vec<FilePlan>,
    /// The columns of the inputs, without those that are added.
    pub(super) columns: Vec<String>,
    /// The columns of the key, by their places in `columns`.
    pub(super) key: Vec<usize>,
    pub(super) skipped: Vec<Skipped>,
    /// Bytes of all files.
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct FilePlan {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// What it was before its first row was read.
    pub(super) version: Option<FileVersion>,
    pub(super) sheets: Vec<SheetPlan>,
}

#[derive(Debug)]
pub(super) struct SheetPlan {
    /// None for a CSV file.
    pub(super) name: Option<String>,
    pub(super) delimiter: Option<Delimiter>,
    pub(super) header: Header,
    /// What each column of the sheet becomes.
    pub(super) targets: Vec<Target>,
}

/// What a column of a sheet becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A column of the output, by its place.
    Column(usize),
    /// Nothing, since the output has other columns.
    Left,
    /// It has no name, so it may not have a value either.
    Unnamed,
}

impl Plan {
    /// Reads the headers of all sheets.
    pub(super) fn make(job: &Job<'_>) -> Result<Self, MergeError> {
        let mut plan = Self {
            files: Vec::new(),
            columns: Vec::new(),
            key: Vec::new(),
            skipped: Vec::new(),
            bytes: 0,
        };
        let mut seen = HashSet::new();
        for path in job.files {
            if is_lock_file(path) {
                plan.skip(path, None, "the lock file of an open workbook");
                continue;
            }
            let bytes = file_bytes(path)?;
            let version = FileVersion::at(path).ok();
            if !seen.insert(canonical(path)?) {
                return Err(MergeError::Twice(path.clone()));
            }
            plan.bytes += bytes;
            let sheets = plan.sheets_of(job, path)?;
            plan.files.push(FilePlan {
                path: path.clone(),
                bytes,
                version,
                sheets,
            });
        }
        let mut sheets = plan.files.iter().flat_map(|file| &file.sheets);
        let has_workbook = sheets.any(|sheet| sheet.name.is_some());
        if let ([name, ..], false) = (job.sheets, has_workbook || !plan.skipped.is_empty()) {
            return Err(MergeError::NoWorkbookForSheet(name.clone()));
        }
        plan.choose_columns(job)?;
        plan.choose_key(job)?;
        plan.check_added(job)?;
        plan.aim(job)?;
        Ok(plan)
    }

    /// The sheet of this number, counted over all files.
    pub(super) fn place(&self, mut sheet: usize) -> Place<'_> {
        for file in &self.files {
            match file.sheets.get(sheet) {
                Some(found) => return place_of(file, found),
                None => sheet -= file.sheets.len(),
            }
        }
        unreachable!("every row is of a sheet of the plan")
    }

    fn skip(&mut self, path: &Path, sheet: Option<String>, reason: &'static str) {
        self.skipped.push(Skipped {
            file: path.to_owned(),
            sheet,
            reason,
        });
    }

    fn sheets_of(&mut self, job: &Job<'_>, path: &Path) -> Result<Vec<SheetPlan>, MergeError> {
        let mut input = Input::open(path, &Rc::new(Cell::new(0)))?;
        let mut sheets = Vec::new();
        for sheet in self.chosen(job, path, &input.sheets())? {
            match survey(job, path, &mut input, sheet.clone())? {
                Some(sheet) => sheets.push(sheet),
                None => self.skip(path, sheet, "empty"),
            }
        }
        Ok(sheets)
    }

    /// The names of the sheets that are read; a CSV file is always.
    fn chosen(
        &mut self,
        job: &Job<'_>,
        path: &Path,
        found: &[SheetInfo],
    ) -> Result<Vec<Option<String>>, MergeError> {
        if let [SheetInfo { name: None, .. }] = found {
            return Ok(vec![None]);
        }
        let names = || found.iter().filter_map(|sheet| sheet.name.as_deref());
        if let Some(missing) = job.sheets.iter().find(|name| !names().any(|n| n == *name)) {
            return Err(MergeError::NoSheet {
                path: path.to_owned(),
                sheet: missing.clone(),
                found: quoted(names()),
            });
        }
        let mut chosen = Vec::new();
        for sheet in found {
            let name = sheet.name.clone().unwrap_or_default();
            let is_named = job.sheets.contains(&name);
            if !sheet.has_cells {
                self.skip(path, Some(name), "no cells, such as a chart");
            } else if is_named || (job.sheets.is_empty() && !sheet.is_hidden) {
                chosen.push(Some(name));
            } else if job.sheets.is_empty() {
                self.skip(path, Some(name), "hidden");
            } else {
                self.skip(path, Some(name), "not named by --sheet");
            }
        }
        Ok(chosen)
    }

    fn sheets(&self) -> impl Iterator<Item = (Place<'_>, &SheetPlan)> {
        self.files.iter().flat_map(|file| {
            let with_place = |sheet| (place_of(file, sheet), sheet);
            file.sheets.iter().map(with_place)
        })
    }

    /// All columns in the order in which they first appear, or those that were asked for.
    fn choose_columns(&mut self, job: &Job<'_>) -> Result<(), MergeError> {
        let mut all: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        for (_, sheet) in self.sheets() {
            for name in sheet.header.names.iter().flatten() {
                if seen.insert(name.clone()) {
                    all.push(name.clone());
                }
            }
        }
        if all.is_empty() {
            return Err(MergeError::Nothing);
        }
        let rounded = match job.accept_rounded {
            AcceptRounded::In(columns) => columns,
            AcceptRounded::Nowhere | AcceptRounded::Everywhere => &[],
        };
        for (option, names) in [("--columns", job.columns), ("--accept-rounded", rounded)] {
            if let Some(missing) = names.iter().find(|name| !seen.contains(*name)) {
                return Err(MergeError::NoColumn {
                    option,
                    name: missing.clone(),
                    found: quoted(all.iter().map(String::as_str)),
                });
            }
        }
        self.columns = match job.columns {
            [] => all,
            chosen => chosen.to_vec(),
        };
        Ok(())
    }

    fn choose_key(&mut self, job: &Job<'_>) -> Result<(), MergeError> {
        let (names, why) = match job.key {
            [] => (
                &self.columns[..1],
                "the key (the first column, as there is no --key)",
            ),
            names => (names, "the key (--key)"),
        };
        let mut key = Vec::new();
        for name in names {
            let Some(place) = self.columns.iter().position(|column| column == name) else {
                return Err(MergeError::NoKeyColumn {
                    name: name.clone(),
                    found: quoted(self.columns.iter().map(String::as_str)),
                });
            };
            key.push(place);
            if let Some((place, sheet)) = self.sheets().find(|(_, sheet)| !sheet.header.has(name)) {
                return Err(MergeError::SheetWithoutKey {
                    place: place.to_string(),
                    name: name.clone(),
                    why,
                    found: quoted(sheet.header.names.iter().flatten().map(String::as_str)),
                });
            }
        }
        self.key = key;
        Ok(())
    }

    fn check_added(&self, job: &Job<'_>) -> Result<(), MergeError> {
        for (name, _) in job.added {
            if !self.columns.contains(name) {
                continue;
            }
            let place = self.sheets().find(|(_, sheet)| sheet.header.has(name));
            return Err(MergeError::AddedColumnExists {
                place: place.map_or_else(String::new, |(place, _)| place.to_string()),
                name: name.clone(),
            });
        }
        Ok(())
    }

    /// Finds the column of the output for each column of each sheet.
    fn aim(&mut self, job: &Job<'_>) -> Result<(), MergeError> {
        let places: HashMap<&String, usize> = self.columns.iter().zip(0..).collect();
        for file in &mut self.files {
            for sheet in &mut file.sheets {
                let mut taken = HashSet::new();
                for name in &sheet.header.names {
                    let place = name.as_ref().and_then(|name| places.get(name).copied());
                    let target = match (name, place) {
                        (_, Some(place)) => Target::Column(place),
                        (None, None) if job.columns.is_empty() => Target::Unnamed,
                        (_, None) => Target::Left,
                    };
                    if let (Some(name), Some(place)) = (name, place)
                        && !taken.insert(place)
                    {
                        return Err(MergeError::ColumnTwice {
                            place: Place::sheet(&file.path, sheet.name.as_deref())
                                .row(sheet.header.row)
                                .to_string(),
                            name: name.clone(),
                        });
                    }
                    sheet.targets.push(target);
                }
            }
        }
        Ok(())
    }
}

fn place_of<'a>(file: &'a FilePlan, sheet: &'a SheetPlan) -> Place<'a> {
    Place::sheet(&file.path, sheet.name.as_deref())
}

/// Finds the header of a sheet; none if the sheet is empty.
fn survey(
    job: &Job<'_>,
    path: &Path,
    input: &mut Input,
    sheet: Option<String>,
) -> Result<Option<SheetPlan>, MergeError> {
    let wanted = Wanted {
        columns: job.columns,
        key: job.key,
    };
    let delimiter = match input {
        Input::Csv(file) => Some(file.delimiter(job.header_row, wanted)?),
        Input::Workbook(_) => None,
    };
    let mut window = Vec::new();
    input.rows(sheet.as_deref(), delimiter, &mut |row| {
        let is_enough = match job.header_row {
            HeaderRow::Given(number) => row.number >= number,
            HeaderRow::Found => window.len() + 1 >= WINDOW_ROWS,
            HeaderRow::None => true,
        };
        window.push(std::mem::take(row));
        Ok(match is_enough {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    })?;
    if window.is_empty() {
        return Ok(None);
    }
    let Some(header) = header::find(&window, job.header_row, wanted) else {
        return Err(MergeError::NoHeader {
            place: Place::sheet(path, sheet.as_deref()).to_string(),
            first: quoted(window[0].cells().map(|(_, text, _)| text)),
            wanted: job.columns.iter().chain(job.key).cloned().collect(),
            row: match job.header_row {
                HeaderRow::Given(number) => Some(number),
                _ => None,
            },
        });
    };
    Ok(Some(SheetPlan {
        name: sheet,
        delimiter,
        header,
        targets: Vec::new(),
    }))
}
