//! Files that appear whole or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes collected before each write to the system.
const BUFFER_BYTES: usize = 256 * 1024;

/// Why an output cannot be written. The messages say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The output names a folder.
    #[error("{0:?} names a folder: --output expects the name of a file, such as {example:?}", example = .0.join("data.csv"))]
    IsFolder(PathBuf),
    /// The folder of the output is not there.
    #[error(
        "the folder {folder:?} does not exist: create it (mkdir -p {folder:?}) or choose another --output"
    )]
    NoFolder {
        /// The missing folder.
        folder: PathBuf,
    },
    /// What should be the folder of the output is something else.
    #[error(
        "{folder:?} is not a folder, so no file can be written into it: choose another --output"
    )]
    NotAFolder {
        /// The file in the place of the folder.
        folder: PathBuf,
    },
    /// The file that would be replaced is write-protected.
    #[error(
        "{0:?} is read-only: make it writable (chmod u+w), delete it or choose another --output"
    )]
    ReadOnly(PathBuf),
    /// Another process writes the same output at this moment.
    #[error("another run is writing {0:?} now: wait for it or choose another --output")]
    Busy(PathBuf),
    /// The system refused an operation.
    #[error("cannot {operation} {path:?}{}", advice(source))]
    Io {
        /// Such as `write`.
        operation: &'static str,
        /// The file that the operation was on.
        path: PathBuf,
        /// The answer of the system.
        source: io::Error,
    },
}

impl OutputError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (free some space, ask for fewer --rows or choose an --output elsewhere)"
        }
        io::ErrorKind::PermissionDenied => " (choose an --output where you may write)",
        _ => "",
    }
}

/// Runs `write` on a [`WholeFile`].
///
/// # Errors
/// An output that cannot be written, or the error of `write`.
pub(crate) fn write_file<T>(
    output: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>,
) -> Result<T, OutputError> {
    let mut file = WholeFile::create(output)?;
    let result = write(&mut file.out).map_err(OutputError::io("write", &file.path))?;
    file.finish()?;
    Ok(result)
}

/// A file that is written through a buffer under the name `<output>.partial`, locked, and renamed when it is complete.
///
/// Dropped before that, it removes the partial file and leaves a file that was there before as it was. A killed process
/// leaves its partial file, which the next run replaces. What is neither a file nor absent, such as a pipe or `/dev/null`, is
/// written in place.
#[derive(Debug)]
pub(crate) struct WholeFile {
    out: BufWriter<File>,
    /// Where the bytes go until the file is complete.
    path: PathBuf,
    /// The name that it gets then; none once it has it, or where it is written in place.
    target: Option<PathBuf>,
}

impl WholeFile {
    /// Checks that `output` can be written and begins the partial file.
    pub(crate) fn create(output: &Path) -> Result<Self, OutputError> {
        match fs::metadata(output) {
            Ok(found) if found.is_dir() => Err(OutputError::IsFolder(output.to_owned())),
            Ok(found) if found.is_file() && found.permissions().readonly() => {
                Err(OutputError::ReadOnly(output.to_owned()))
            }
            Ok(found) if found.is_file() => {
                // A rename would replace a symbolic link, not the file that it leads to.
                let target =
                    fs::canonicalize(output).map_err(OutputError::io("resolve", output))?;
                let file = Self::begin(target)?;
                let set = file.out.get_ref().set_permissions(found.permissions());
                set.map_err(OutputError::io("set the permissions of", &file.path))?;
                Ok(file)
            }
            Ok(_) => {
                let file = File::options().write(true).open(output);
                let file = file.map_err(OutputError::io("open", output))?;
                Ok(Self {
                    out: BufWriter::with_capacity(BUFFER_BYTES, file),
                    path: output.to_owned(),
                    target: None,
                })
            }
            Err(_) => {
                check_folder(output)?;
                Self::begin(output.to_owned())
            }
        }
    }

    fn begin(target: PathBuf) -> Result<Self, OutputError> {
        let path = with_suffix(&target, ".partial");
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(OutputError::io("create", &path))?;
        match file.try_lock() {
            // The lock came free because the other run renamed its file: this is that file, under its final name.
            Ok(()) if !path.exists() => return Err(OutputError::Busy(target)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OutputError::Busy(target)),
            Err(TryLockError::Error(error)) => {
                return Err(OutputError::io("lock", &path)(error));
            }
        }
        file.set_len(0).map_err(OutputError::io("empty", &path))?;
        Ok(Self {
            out: BufWriter::with_capacity(BUFFER_BYTES, file),
            path,
            target: Some(target),
        })
    }

    /// Adds bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        let written = self.out.write_all(bytes);
        written.map_err(OutputError::io("write", &self.path))
    }

    /// The file is complete: it appears under its name.
    pub(crate) fn finish(mut self) -> Result<(), OutputError> {
        let flushed = self.out.flush();
        flushed.map_err(OutputError::io("write", &self.path))?;
        if let Some(target) = &self.target {
            fs::rename(&self.path, target).map_err(OutputError::io("rename", &self.path))?;
            self.target = None;
        }
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if self.target.is_some() {
            // Another error is already on its way to the person; a file that stays is replaced by the next run.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Lines that appear as one file when all are there; without a line there is no file.
#[derive(Debug)]
pub(crate) struct LinesFile {
    path: PathBuf,
    file: WholeFile,
    is_empty: bool,
}

impl LinesFile {
    pub(crate) fn create(path: PathBuf) -> Result<Self, OutputError> {
        Ok(Self {
            file: WholeFile::create(&path)?,
            path,
            is_empty: true,
        })
    }

    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<(), OutputError> {
        self.is_empty &= lines.is_empty();
        self.file.append(lines)
    }

    /// The file, if there is one. One that was left before goes, so that it is not taken for this one.
    pub(crate) fn finish(self) -> Result<Option<PathBuf>, OutputError> {
        if !self.is_empty {
            self.file.finish()?;
            return Ok(Some(self.path));
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OutputError::io("remove", &self.path)(error))
            }
            _ => Ok(None),
        }
    }
}

/// `data.csv` and `.partial` make `data.csv.partial`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn check_folder(output: &Path) -> Result<(), OutputError> {
    if output.as_os_str().as_encoded_bytes().ends_with(b"/") || output.file_name().is_none() {
        return Err(OutputError::IsFolder(output.to_owned()));
    }
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => return Ok(()),
    };
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(OutputError::NotAFolder {
            folder: folder.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OutputError::NoFolder {
            folder: folder.to_owned(),
        }),
        Err(error) => Err(OutputError::io("read the folder", folder)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failure_removes_the_partial_file_and_keeps_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("data.csv");
        fs::write(&output, "old").unwrap();
        let error = write_file(&output, |out| {
            out.write_all(b"new")?;
            out.flush()?;
            assert_eq!(names(folder.path()), ["data.csv", "data.csv.partial"]);
            Err::<(), _>(io::ErrorKind::StorageFull.into())
        })
        .expect_err("the write failed");
        assert!(error.to_string().contains("free some space"), "{error}");
        assert_eq!(names(folder.path()), ["data.csv"]);
        assert_eq!(fs::read_to_string(&output).unwrap(), "old");
    }

    #[test]
    fn a_partial_file_that_a_killed_run_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("data.csv");
        fs::write(
            folder.path().join("data.csv.partial"),
            "half of a long file",
        )
        .unwrap();
        write_file(&output, |out| out.write_all(b"whole")).unwrap();
        assert_eq!(names(folder.path()), ["data.csv"]);
        assert_eq!(fs::read_to_string(&output).unwrap(), "whole");
    }

    #[test]
    fn two_runs_do_not_write_one_output_together() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("data.csv");
        write_file(&output, |out| {
            let error = write_file(&output, |out| out.write_all(b"second"))
                .expect_err("the first one is still writing");
            assert!(matches!(error, OutputError::Busy(_)), "{error}");
            out.write_all(b"first")
        })
        .unwrap();
        assert_eq!(names(folder.path()), ["data.csv"]);
        assert_eq!(fs::read_to_string(&output).unwrap(), "first");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (
            folder.path().join("real.csv"),
            folder.path().join("link.csv"),
        );
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.csv", &link).unwrap();
        write_file(&link, |out| out.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        let mode = fs::metadata(&real).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_in_place() {
        write_file(Path::new("/dev/null"), |out| out.write_all(b"gone")).unwrap();
        assert!(!Path::new("/dev/null.partial").exists());
    }
}
