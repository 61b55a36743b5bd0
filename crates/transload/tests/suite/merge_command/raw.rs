//! Workbooks by hand, where no crate writes what is to be read.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// A zip archive of these files, and of one more that is written bit by bit.
fn archive_with(
    path: &Path,
    files: &[(&str, &str)],
    last: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, text) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.start_file(last, options).unwrap();
    write(&mut zip).unwrap();
    zip.finish().unwrap();
}

/// A zip archive of these files.
#[allow(dead_code, reason = "not every test that has this module needs it")]
pub(crate) fn archive(path: &Path, files: &[(&str, &str)]) {
    let ((last, text), files) = files.split_last().unwrap();
    archive_with(path, files, last, |out| out.write_all(text.as_bytes()));
}

/// A workbook with one sheet `Ids` of the rows that are written (SpreadsheetML), as programs other than Excel write it.
pub(crate) fn write_xlsx(path: &Path, rows: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006/relationships";
    let book = format!(
        "<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets><sheet name=\"Ids\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"
    );
    let relations = |kind: &str, target: &str| {
        format!(
            "<Relationships xmlns=\"{package}\"><Relationship Id=\"r1\" Type=\"{office}/{kind}\" Target=\"{target}\"/></Relationships>"
        )
    };
    let files = [
        (
            "[Content_Types].xml",
            "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>",
        ),
        (
            "_rels/.rels",
            &relations("officeDocument", "xl/workbook.xml"),
        ),
        ("xl/workbook.xml", &book),
        (
            "xl/_rels/workbook.xml.rels",
            &relations("worksheet", "worksheets/sheet1.xml"),
        ),
    ];
    archive_with(path, &files, "xl/worksheets/sheet1.xml", |out| {
        write!(out, "<worksheet xmlns=\"{main}\"><sheetData>")?;
        rows(&mut *out)?;
        write!(out, "</sheetData></worksheet>")
    });
}
