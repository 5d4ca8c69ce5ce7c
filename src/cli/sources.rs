//! The texts that make the configuration, gathered from where they lie: files, environment, command line.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::arguments::settings::{LogFormat, Settings};
use crate::config::Source;
use crate::config::load::TEXT_BYTES_MAX;
use crate::config::schema::ENVIRONMENT_PREFIX;

/// The folder beside the configuration file whose files are read after it.
const DROP_INS: &str = "conf.d";

/// A file or folder that was named and cannot be read.
#[derive(thiserror::Error, Debug)]
#[error("{}: {error}", path.display())]
pub struct Unread {
    path: PathBuf,
    error: io::Error,
}

/// All sources, or everything that cannot be read. Which one wins is the configuration's knowledge.
pub fn gather(settings: &Settings) -> Result<Vec<Source>, Vec<Unread>> {
    let mut sources = Vec::new();
    let mut unread = Vec::new();
    if let Some(path) = &settings.config {
        let mut add = |path: &Path, source: fn(&str, Vec<u8>) -> Source| match read(path) {
            Ok(text) => sources.push(source(&path.to_string_lossy(), text)),
            Err(error) => unread.push(Unread { path: path.to_owned(), error }),
        };
        add(path, Source::file);
        match drop_ins(path) {
            Ok(paths) => paths.iter().for_each(|path| add(path, Source::drop_in)),
            Err(error) => unread.push(Unread { path: beside(path), error }),
        }
    }
    sources.extend(environment());
    sources.extend(settings.set.iter().map(|assignment| Source::set(assignment.as_str())));
    sources.extend(flags(settings));
    if unread.is_empty() { Ok(sources) } else { Err(unread) }
}

/// Reads a little more than a configuration may have, and no further: who checks it says that it is too long.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The files `*.toml` of the folder beside the configuration file, by name; none where there is no such folder.
fn drop_ins(config: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(beside(config)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

fn beside(config: &Path) -> PathBuf {
    config.with_file_name(DROP_INS)
}

fn environment() -> impl Iterator<Item = Source> {
    let ours = std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(ENVIRONMENT_PREFIX.as_bytes()));
    ours.map(|(name, value)| Source::environment(&name.to_string_lossy(), value.as_bytes()))
}

/// The flags with a meaning of their own, as the keys that they stand for.
fn flags(settings: &Settings) -> Vec<Source> {
    let Settings { listen, cores, memory, data_dir, admin, log, log_format, .. } = settings;
    let mut sources = Vec::new();
    if !listen.is_empty() {
        sources.push(Source::flag("--listen", "listeners.tcp", &listen.join(",")));
    }
    if let Some(cores) = cores {
        sources.push(Source::flag("--cores", "runtime.cores", cores));
    }
    if *memory {
        sources.push(Source::flag("--memory", "storage.durability", "memory"));
    }
    if let Some(directory) = data_dir {
        sources.push(Source::flag("--data-dir", "storage.durability", "fsync"));
        sources.push(Source::flag("--data-dir", "storage.data_dir", &directory.to_string_lossy()));
    }
    if let Some(address) = admin {
        sources.push(Source::flag("--admin", "admin.listen", off_at_port_zero(address)));
    }
    if let Some(level) = log {
        sources.push(Source::flag("--log", "log.level", level));
    }
    if let Some(format) = log_format {
        let word = match format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        sources.push(Source::flag("--log-format", "log.format", word));
    }
    sources
}

/// `--admin ADDR:0` closes the door.
fn off_at_port_zero(address: &str) -> &str {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if port == Some(0) { "off" } else { address }
}

#[cfg(test)]
mod tests;
