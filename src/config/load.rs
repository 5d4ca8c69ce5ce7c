//! From sources to a checked configuration: all of it, or everything that is wrong with it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::complaint::{Complaint, Complaints, Mistake, Remedy, escaped, excerpt};
use super::keys::KEYS;
use super::kind::{Fault, Value, name_of};
use super::nearest;
use super::rules;
use super::schema::{self, Variable};
use super::source::{Origin, Place, Source};

/// Bytes of one source; who reads files may stop behind them.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// A configuration that may be used, and where each of its values came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub(super) config: Config,
    /// By number of the key.
    pub(super) places: Vec<Place>,
}

impl Checked {
    /// The values.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The values, for keeps.
    pub fn into_config(self) -> Config {
        self.config
    }

    /// Where the value of a key came from: the default, or the place that has the last word.
    pub fn place(&self, key: usize) -> &Place {
        &self.places[key]
    }
}

/// Reads all sources over the defaults, in the order of precedence of their origins, and looks for contradictions.
///
/// A value that another source overrides has to be right as well.
pub fn load(mut sources: Vec<Source>) -> Result<Checked, Complaints> {
    sources.sort_by(|one, other| one.origin.cmp(&other.origin)); // stable: the last `--set` of a key wins
    let mut loader = Loader::new();
    for source in &sources {
        loader.read(source);
    }
    loader.finish()
}

/// What has been read so far.
struct Loader {
    checked: Checked,
    complaints: Vec<Complaint>,
    /// By number of the key: whether some source has a wrong value for it.
    is_faulty: Vec<bool>,
}

impl Loader {
    fn new() -> Self {
        let places = vec![Place::whole(&Origin::Default); KEYS.len()];
        let checked = Checked { config: Config::default(), places };
        Self { checked, complaints: Vec::new(), is_faulty: vec![false; KEYS.len()] }
    }

    fn finish(mut self) -> Result<Checked, Complaints> {
        for contradiction in rules::contradictions(&self.checked) {
            if !contradiction.keys.iter().any(|key| self.is_faulty[*key]) {
                self.complaints.push(contradiction.complaint);
            }
        }
        // A contradiction stands where its key does, among what else is wrong there.
        let place = |complaint: &Complaint| (complaint.place.origin.clone(), complaint.place.at);
        self.complaints.sort_by_key(place);
        if self.complaints.is_empty() { Ok(self.checked) } else { Err(Complaints(self.complaints)) }
    }

    fn read(&mut self, source: &Source) {
        let Source { origin, text } = source;
        if text.len() > TEXT_BYTES_MAX {
            let mistake = Mistake::TextTooLong { maximum: TEXT_BYTES_MAX };
            return self.complain(Place::whole(origin), None, mistake, Remedy::None);
        }
        let text = match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                return self.complain(place_of_bad_byte(source, &error), None, Mistake::NotUtf8, Remedy::None);
            }
        };
        match origin {
            Origin::Default => {}
            Origin::File(_) | Origin::DropIn(_) => self.read_file(origin, text),
            Origin::Environment(name) => self.read_variable(origin, name, text),
            Origin::Set | Origin::Flag(_) => self.read_assignment(origin, text),
        }
    }

    fn read_variable(&mut self, origin: &Origin, name: &str, text: &str) {
        match schema::find_variable(name) {
            Variable::Foreign => {}
            Variable::Key(key) => self.take_text(origin, key, text),
            Variable::Unknown => {
                let remedy = did_you_mean(nearest::nearest_variable(name));
                self.complain(Place::whole(origin), None, Mistake::KeyUnknown, remedy);
            }
        }
    }

    /// `section.key=value`
    fn read_assignment(&mut self, origin: &Origin, text: &str) {
        let place = Place::whole(origin);
        let Some((path, value)) = text.split_once('=') else {
            let remedy = Remedy::Allowed("section.key=value".into());
            return self.complain(place, None, Mistake::NotAnAssignment(excerpt(text)), remedy);
        };
        let Some(key) = schema::find_path(path.trim()) else {
            let remedy = did_you_mean(nearest::nearest_key(path.trim()));
            return self.complain(place, Some(path.trim()), Mistake::KeyUnknown, remedy);
        };
        self.take_text(origin, key, value.trim());
    }

    fn take_text(&mut self, origin: &Origin, key: usize, text: &str) {
        match KEYS[key].kind.read_text(text) {
            Ok(value) => self.accept(key, value, Place::whole(origin)),
            Err(mistake) => self.refuse(key, mistake, Place::whole(origin)),
        }
    }

    fn read_file(&mut self, origin: &Origin, text: &str) {
        let mut file = FileReader { loader: self, origin, text, found: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for (name, value) in table.get_ref() {
            file.read_section(name, value);
        }
        let found = file.found;
        self.complaints.extend(in_reading_order(origin, text, &errors, found));
    }

    fn accept(&mut self, key: usize, value: Value, place: Place) {
        (KEYS[key].set)(&mut self.checked.config, value);
        self.checked.places[key] = place;
    }

    fn refuse(&mut self, key: usize, mistake: Mistake, place: Place) {
        self.is_faulty[key] = true;
        let complaint = about_value(key, mistake, place);
        self.complaints.push(complaint);
    }

    fn complain(&mut self, place: Place, key: Option<&str>, mistake: Mistake, remedy: Remedy) {
        let key = key.map(excerpt);
        self.complaints.push(Complaint { place, key, mistake, remedy });
    }
}

/// Reads one file; what it finds is put into order when the whole file is read.
struct FileReader<'a> {
    loader: &'a mut Loader,
    origin: &'a Origin,
    text: &'a str,
    found: Vec<Complaint>,
}

impl FileReader<'_> {
    fn read_section(&mut self, name: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>) {
        let (section, span) = (name.get_ref().as_ref(), name.span());
        let is_known = schema::has_section(section);
        match value.get_ref() {
            DeValue::Table(keys) if is_known => {
                for (name, value) in keys {
                    self.read_key(section, name, value);
                }
            }
            DeValue::Table(_) => {
                let remedy = did_you_mean(nearest::nearest_section(section));
                self.complain(span.start, section, Mistake::SectionUnknown, remedy);
            }
            other if is_known => {
                let mistake = Mistake::NotASection { found: name_of(other) };
                let remedy = Remedy::Allowed(format!("[{section}] once, and its keys below").into());
                self.complain(span.start, section, mistake, remedy);
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                self.complain(span.start, section, Mistake::KeyUnknown, did_you_mean(nearest::nearest_key(section)));
            }
        }
    }

    fn read_key(&mut self, section: &str, name: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>) {
        let path = format!("{section}.{}", name.get_ref().as_ref());
        let Some(key) = schema::find(section, name.get_ref().as_ref()) else {
            let remedy = did_you_mean(nearest::nearest_key(&path));
            return self.complain(name.span().start, &path, Mistake::KeyUnknown, remedy);
        };
        match KEYS[key].kind.read_toml(value) {
            Ok(value) => {
                let place = self.place(name.span().start);
                self.loader.accept(key, value, place);
            }
            Err(faults) => {
                self.loader.is_faulty[key] = true;
                for Fault { mistake, span } in faults {
                    let complaint = about_value(key, mistake, self.place(span.start));
                    self.found.push(complaint);
                }
            }
        }
    }

    fn complain(&mut self, offset: usize, key: &str, mistake: Mistake, remedy: Remedy) {
        let place = self.place(offset);
        self.found.push(Complaint { place, key: Some(excerpt(key)), mistake, remedy });
    }

    fn place(&self, offset: usize) -> Place {
        Place::within(self.origin, self.text, offset)
    }
}

/// Everything that is wrong with a file, by line: errors of syntax, and what was found in spite of them.
///
/// An error of syntax makes the reader guess. So a line with one says nothing else, and no name after the first one is
/// called unknown: it may be the header above it that got lost.
fn in_reading_order(origin: &Origin, text: &str, errors: &[toml::de::Error], found: Vec<Complaint>) -> Vec<Complaint> {
    let line = |complaint: &Complaint| complaint.place.at.map_or(0, |(line, _)| line);
    let mut told: Vec<Complaint> = errors.iter().map(|error| about_syntax(origin, text, error)).collect();
    told.sort_by_key(|complaint| complaint.place.at);
    told.dedup_by_key(|complaint| line(complaint));
    let broken: Vec<usize> = told.iter().map(line).collect();
    let is_sure = |complaint: &Complaint| {
        let is_about_a_name = matches!(complaint.mistake, Mistake::SectionUnknown | Mistake::KeyUnknown);
        let is_behind = broken.first().is_some_and(|first| line(complaint) > *first);
        broken.binary_search(&line(complaint)).is_err() && !(is_about_a_name && is_behind)
    };
    told.extend(found.into_iter().filter(is_sure));
    told.sort_by_key(|complaint| complaint.place.at);
    told
}

fn about_syntax(origin: &Origin, text: &str, error: &toml::de::Error) -> Complaint {
    let offset = error.span().map_or(0, |span| span.start);
    let mistake = Mistake::Syntax(escaped(error.message()).into());
    Complaint { place: Place::within(origin, text, offset), key: None, mistake, remedy: Remedy::None }
}

fn about_value(key: usize, mistake: Mistake, place: Place) -> Complaint {
    let key = &KEYS[key];
    Complaint { place, key: Some(key.path().into()), mistake, remedy: Remedy::Allowed(key.kind.allowed().into()) }
}

fn did_you_mean(name: Option<String>) -> Remedy {
    name.map_or(Remedy::None, |name| Remedy::DidYouMean(name.into()))
}

/// In a file, where the text stops to be one.
fn place_of_bad_byte(source: &Source, error: &core::str::Utf8Error) -> Place {
    let good = core::str::from_utf8(&source.text[..error.valid_up_to()]).unwrap_or_default();
    match source.origin {
        Origin::File(_) | Origin::DropIn(_) => Place::within(&source.origin, good, good.len()),
        Origin::Default | Origin::Environment(_) | Origin::Set | Origin::Flag(_) => Place::whole(&source.origin),
    }
}
