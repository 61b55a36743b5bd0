//! An input file of any kind as sheets of rows.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use calamine::{Ods, Reader, SheetType, SheetVisible, Sheets, Xls, Xlsb, Xlsx};
use records::Delimiter;

use super::csv_file::CsvFile;
use super::error::MergeError;
use super::row::Row;
use super::workbook::Workbook;

/// What is done with each row that has a value; it says whether to go on.
pub(super) type TakeRow<'a> = &'a mut dyn FnMut(&mut Row) -> Result<ControlFlow<()>, MergeError>;

/// How a workbook begins that is a zip archive, and one that is an OLE file.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
const OLE_MAGIC: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
/// Files of these names are workbooks, or are not what their name says.
const WORKBOOK_EXTENSIONS: [&str; 8] =
    ["xlsx", "xlsm", "xltx", "xltm", "xls", "xlsb", "ods", "ots"];

/// A file that can be read more than once.
pub(super) enum Input {
    Workbook(Box<Workbook>),
    Csv(CsvFile),
}

/// A sheet of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SheetInfo {
    /// None for a CSV file.
    pub(super) name: Option<String>,
    pub(super) is_hidden: bool,
    /// Whether it has cells: a sheet may also be a chart.
    pub(super) has_cells: bool,
}

impl Input {
    /// Opens the file. By its first bytes it is a workbook or a CSV file; by its name the workbook is of one kind or the other.
    /// `bytes_read` counts what is read of it.
    pub(super) fn open(path: &Path, bytes_read: &Rc<Cell<u64>>) -> Result<Self, MergeError> {
        let unopened = |source| MergeError::Unopened {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(unopened)?;
        let mut magic = Vec::new();
        let read = Read::by_ref(&mut file).take(8).read_to_end(&mut magic);
        read.map_err(unopened)?;
        file.rewind().map_err(unopened)?;
        let file = BufReader::new(Counted {
            file,
            bytes_read: Rc::clone(bytes_read),
        });
        let extension = extension(path);
        let sheets = if magic.starts_with(ZIP_MAGIC) {
            match extension.as_str() {
                "ods" | "ots" => Ods::new(file).map(Sheets::Ods).map_err(Into::into),
                "xlsb" => Xlsb::new(file).map(Sheets::Xlsb).map_err(Into::into),
                _ => Xlsx::new(file).map(Sheets::Xlsx).map_err(Into::into),
            }
        } else if magic.starts_with(OLE_MAGIC) && matches!(extension.as_str(), "xls" | "xlt") {
            Xls::new(file).map(Sheets::Xls).map_err(Into::into)
        } else if magic.starts_with(OLE_MAGIC) {
            // A workbook with a password is an OLE file with an encrypted zip archive in it.
            return Err(MergeError::Encrypted(path.to_owned()));
        } else if WORKBOOK_EXTENSIONS.contains(&extension.as_str()) {
            return Err(MergeError::NoWorkbook(path.to_owned()));
        } else {
            return CsvFile::open(path, bytes_read).map(Self::Csv);
        };
        let sheets = sheets.map_err(|source: calamine::Error| MergeError::Workbook {
            place: path.display().to_string(),
            source: Box::new(source),
        })?;
        Ok(Self::Workbook(Box::new(Workbook::new(path, sheets))))
    }

    pub(super) fn sheets(&self) -> Vec<SheetInfo> {
        match self {
            Self::Csv(_) => vec![SheetInfo {
                name: None,
                is_hidden: false,
                has_cells: true,
            }],
            Self::Workbook(book) => book
                .metadata()
                .iter()
                .map(|sheet| SheetInfo {
                    name: Some(sheet.name.clone()),
                    is_hidden: sheet.visible != SheetVisible::Visible,
                    has_cells: sheet.typ == SheetType::WorkSheet,
                })
                .collect(),
        }
    }

    /// Hands on every row that has a value. The answer is whether there were cells without one.
    pub(super) fn rows(
        &mut self,
        sheet: Option<&str>,
        delimiter: Option<Delimiter>,
        take: TakeRow<'_>,
    ) -> Result<bool, MergeError> {
        match self {
            Self::Workbook(book) => book.rows(sheet.unwrap_or_default(), take),
            Self::Csv(file) => {
                file.rows(delimiter.unwrap_or(Delimiter::Comma), take)?;
                Ok(false)
            }
        }
    }
}

/// In lower case.
fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().to_lowercase()
}

/// The file that a spreadsheet program puts beside a workbook while that is open: it is no workbook.
pub(super) fn is_lock_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("~$") || name.starts_with(".~lock.")
}

/// Bytes of a regular file.
pub(super) fn file_bytes(path: &Path) -> Result<u64, MergeError> {
    let found = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            MergeError::Missing(path.to_owned())
        }
        _ => MergeError::Unopened {
            path: path.to_owned(),
            source,
        },
    })?;
    match found.is_file() {
        true => Ok(found.len()),
        false => Err(MergeError::NotAFile(path.to_owned())),
    }
}

/// The one path of a file, however it is reached.
pub(super) fn canonical(path: &Path) -> Result<PathBuf, MergeError> {
    fs::canonicalize(path).map_err(|source| MergeError::Unopened {
        path: path.to_owned(),
        source,
    })
}

/// A file that counts what is read of it.
pub(super) struct Counted {
    file: File,
    bytes_read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.bytes_read.set(self.bytes_read.get() + length as u64);
        Ok(length)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
