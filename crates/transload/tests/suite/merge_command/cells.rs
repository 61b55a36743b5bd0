//! What becomes of the cells of workbooks.

use std::fs;

use rust_xlsxwriter::{ExcelDateTime, Format, Formula};
use serde_json::json;
use tempfile::TempDir;

use super::raw::{archive, write_xlsx};
use super::{failed, folder, merged, run, texts, workbook, write};

/// A workbook of these rows, see [`write_xlsx`].
fn raw_xlsx(folder: &TempDir, name: &str, rows: &str) {
    write_xlsx(&folder.path().join(name), |out| {
        out.write_all(rows.as_bytes())
    });
}

#[test]
fn every_cell_is_written_as_it_is_meant() {
    let folder = folder();
    workbook(&folder, "a.xlsx", |book| {
        let sheet = book.add_worksheet();
        texts(sheet, 0, &["id", "value"]);
        texts(sheet, 1, &["00123", " with blanks "]);
        texts(
            sheet,
            2,
            &["633680713291900633", "a \"quoted\", text\nof two lines"],
        );
        sheet.write_number(3, 0, 123_456_789_012.0).unwrap();
        sheet.write_number(3, 1, -0.1).unwrap();
        let zeros = Format::new().set_num_format("00000");
        sheet.write_number_with_format(4, 0, 501, &zeros).unwrap();
        let dashes = Format::new().set_num_format("000-00-0000");
        sheet
            .write_number_with_format(4, 1, 12_345_678, &dashes)
            .unwrap();
        sheet.write_number(5, 0, 7).unwrap();
        sheet.write_boolean(5, 1, true).unwrap();
        let date = Format::new().set_num_format("dd.mm.yyyy");
        let day = ExcelDateTime::from_ymd(2026, 1, 31).unwrap();
        sheet.write_number(6, 0, 8).unwrap();
        sheet.write_datetime_with_format(6, 1, &day, &date).unwrap();
        let time = Format::new().set_num_format("d/m/yy h:mm");
        let moment = ExcelDateTime::from_ymd(2026, 1, 31)
            .unwrap()
            .and_hms(12, 34, 56)
            .unwrap();
        sheet.write_number(7, 0, 9).unwrap();
        sheet
            .write_datetime_with_format(7, 1, &moment, &time)
            .unwrap();
        let money = Format::new().set_num_format("#,##0.00 \"EUR\"");
        sheet.write_number(8, 0, 10).unwrap();
        sheet
            .write_number_with_format(8, 1, 1234.5, &money)
            .unwrap();
        sheet.write_number(9, 0, 11).unwrap();
        let formula = Formula::new("=A1&A2").set_result("joined");
        sheet.write_formula(9, 1, formula).unwrap();
    });
    write(&folder, "b.csv", "\u{feff}id;other\n00456;\" x;y\"\n");
    let (text, result) = merged(&folder, &["a.xlsx", "b.csv", "--add", "processed=false"]);
    assert_eq!(
        text,
        "id,value,other,processed\n\
         00123, with blanks ,,false\n\
         633680713291900633,\"a \"\"quoted\"\", text\nof two lines\",,false\n\
         123456789012,-0.1,,false\n\
         00501,012-34-5678,,false\n\
         7,true,,false\n\
         8,2026-01-31,,false\n\
         9,2026-01-31T12:34:56,,false\n\
         10,1234.5,,false\n\
         11,joined,,false\n\
         00456,, x;y,false\n"
    );
    let mut result = result;
    assert!(result["seconds"].take().as_f64().unwrap() >= 0.0);
    assert_eq!(
        result,
        json!({
            "command": "merge",
            "output": "out.csv",
            "files": 2,
            "sheets": 2,
            "rows": 10,
            "bytes": text.len(),
            "columns": ["id", "value", "other", "processed"],
            "key": ["id"],
            "duplicates": 0,
            "duplicates_that_differ": 0,
            "duplicate_keys": 0,
            "duplicate_examples": [],
            "rows_without_value": 0,
            "rows_without_key": 0,
            "title_rows": 0,
            "numbers_rounded": 0,
            "numbers_padded": 2,
            "numbers_of_unknown_format": 0,
            "skipped": [],
            "seconds": null,
        })
    );
    let (text, _) = merged(
        &folder,
        &[
            "b.csv",
            "a.xlsx",
            "--trim",
            "--columns",
            "value,id",
            "--key",
            "id",
        ],
    );
    assert!(
        text.starts_with("value,id\n,00456\nwith blanks,00123\n"),
        "{text}"
    );
}

#[test]
fn texts_outside_of_the_shared_strings_are_read_too() {
    let folder = folder();
    raw_xlsx(
        &folder,
        "a.xlsx",
        "<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>id</t></is></c><c r=\"B1\" t=\"str\"><v>name</v></c></row>\
         <row r=\"2\"><c r=\"B2\" t=\"inlineStr\"><is><r><t xml:space=\"preserve\">two </t></r><r><t>runs</t></r></is></c>\
         <c r=\"A2\" t=\"inlineStr\"><is><t>007</t></is></c></row>\
         <row><c><v>8</v></c><c t=\"d\"><v>2026-01-31</v></c></row>",
    );
    let (text, _) = merged(&folder, &["a.xlsx"]);
    assert_eq!(text, "id,name\n007,two runs\n8,2026-01-31\n");
}

#[test]
fn cells_that_would_change_are_refused_by_their_names() {
    let folder = folder();
    workbook(&folder, "a.xlsx", |book| {
        let sheet = book.add_worksheet().set_name("Ids").unwrap();
        texts(sheet, 0, &["id", "value"]);
        sheet.write_number(1, 0, 1_234_567_890_123_456.0).unwrap();
        sheet.write_number(2, 0, 1).unwrap();
        sheet.write_number(2, 1, 0.1 + 0.2).unwrap();
        let formula = Formula::new("=NA()").set_result("#N/A");
        sheet.write_number(6, 0, 2).unwrap();
        sheet.write_formula(6, 1, formula).unwrap();
    });
    let message = failed(&folder, 1, &["a.xlsx"]);
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 4, "{message}");
    assert!(
        lines[0].starts_with("a.xlsx, sheet Ids, A2: 1234567890123456 has more than 15 digits")
    );
    assert!(
        lines[1].starts_with("a.xlsx, sheet Ids, B3: 0.30000000000000004 has more than 15 digits")
    );
    assert!(
        lines[2].starts_with("a.xlsx, sheet Ids, B7: #N/A: correct the formula"),
        "{message}"
    );
    assert_eq!(
        lines[3],
        "error: 3 cells cannot be taken as they are, and nothing was written"
    );
    let message = failed(
        &folder,
        1,
        &["a.xlsx", "--columns", "id", "--accept-rounded=value"],
    );
    assert!(
        message.contains("A2") && !message.contains("B3"),
        "{message}"
    );
    let (text, result) = merged(&folder, &["a.xlsx", "--columns", "id", "--accept-rounded"]);
    assert_eq!(text, "id\n1234567890123456\n1\n2\n");
    assert_eq!(result["numbers_rounded"], 1);
    let message = failed(&folder, 2, &["a.xlsx", "--accept-rounded=price"]);
    assert!(
        message.contains("no file has the column \"price\" of --accept-rounded"),
        "{message}"
    );
}

#[test]
fn a_formula_without_a_result_is_refused() {
    let folder = folder();
    let rows = |second: &str| {
        format!(
            "<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>id</t></is></c><c r=\"B1\" t=\"inlineStr\"><is><t>name</t></is></c></row>\
             <row r=\"2\"><c r=\"A2\"><v>1</v></c><c r=\"B2\"{second}</c></row>"
        )
    };
    raw_xlsx(
        &folder,
        "no-result.xlsx",
        &rows("><f>A2&amp;\"x\"</f><v></v>"),
    );
    let message = failed(&folder, 1, &["no-result.xlsx"]);
    assert!(
        message.starts_with(
            "no-result.xlsx, sheet Ids, B2: a formula whose result is not in the file"
        ),
        "{message}"
    );
    assert_eq!(
        merged(&folder, &["no-result.xlsx", "--columns", "id"]).0,
        "id\n1\n"
    );
    // An empty text is a result.
    raw_xlsx(
        &folder,
        "empty.xlsx",
        &rows(" t=\"str\"><f>\"\"</f><v></v>"),
    );
    assert_eq!(merged(&folder, &["empty.xlsx"]).0, "id,name\n1,\n");
    raw_xlsx(&folder, "result.xlsx", &rows("><f>A2+1</f><v>2</v>"));
    assert_eq!(merged(&folder, &["result.xlsx"]).0, "id,name\n1,2\n");
}

#[test]
fn an_ods_workbook_is_read_and_its_unknown_formats_are_told() {
    let folder = folder();
    let cell = |kind: &str, attributes: &str, text: &str| {
        format!(
            "<table:table-cell office:value-type=\"{kind}\" {attributes}><text:p>{text}</text:p></table:table-cell>"
        )
    };
    let row = |cells: &[String]| format!("<table:table-row>{}</table:table-row>", cells.concat());
    let content = |extra: &str| {
        let rows = [
            row(&[cell("string", "", "id"), cell("string", "", "value")]),
            row(&[
                cell("string", "", "007"),
                cell("date", "office:date-value=\"2026-01-31\"", "31.01.26"),
            ]),
            row(&[
                cell("float", "office:value=\"501\"", "00501"),
                cell("boolean", "office:boolean-value=\"true\"", "TRUE"),
            ]),
            extra.to_owned(),
        ];
        format!(
            "<office:document-content xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" xmlns:table=\"urn:oasis:names:tc:opendocument:xmlns:table:1.0\" xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\" xmlns:calcext=\"urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0\"><office:body><office:spreadsheet><table:table table:name=\"Ids\">{}</table:table></office:spreadsheet></office:body></office:document-content>",
            rows.concat()
        )
    };
    let ods = |name: &str, extra: &str| {
        let manifest = "<manifest:manifest xmlns:manifest=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\"/>";
        archive(
            &folder.path().join(name),
            &[
                ("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
                ("META-INF/manifest.xml", manifest),
                ("content.xml", &content(extra)),
            ],
        );
    };
    ods("a.ods", "");
    let (code, _, err) = run(&folder, &["a.ods", "-o", "out.csv"]);
    assert_eq!(code, 0, "{err}");
    let text = fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert_eq!(text, "id,value\n007,2026-01-31\n501,true\n");
    assert!(
        err.contains("the number formats of a.ods cannot be read"),
        "{err}"
    );
    let fault = cell(
        "string",
        "office:string-value=\"\" calcext:value-type=\"error\" table:formula=\"of:=NA()\"",
        "#N/A",
    );
    let unknown = "<table:table-cell table:formula=\"of:=1\"/>".to_owned();
    ods(
        "b.ods",
        &(row(&[cell("string", "", "1"), fault]) + &row(&[cell("string", "", "2"), unknown])),
    );
    let message = failed(&folder, 1, &["b.ods"]);
    assert!(message.contains("b.ods, sheet Ids, B4: #N/A"), "{message}");
    assert!(
        message.contains("b.ods, sheet Ids, B5: a formula whose result"),
        "{message}"
    );
}
