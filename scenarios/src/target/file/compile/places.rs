//! Where an operation is made and what is kept of it: slots, setup, teardown, rows, log.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::Value;
use slotproof_vocabulary::BookingStatus;
use toml::Spanned;

use super::{Compiler, Names};
use crate::target::file::{
    at::At,
    format::{
        CaptureWords, Claims, Each, ListWords, LogEach, LogHttpWords, LogWords, RequestWords,
        RowsEach, RowsHttpWords, RowsWords, SetupWords, SqlWords, TeardownEach, TeardownWords,
    },
    inline,
    log::Log,
    rows::{HttpList, OWN_STATUSES, Rows, Source, SqlList},
    setup::{Setup, SlotList, Slots, Teardown},
};

/// Names that slots have without a capture.
const OF_MADE_SLOTS: [&str; 4] =
    ["slot.number", "slot.capacity", "slot.starts_at", "slot.around_month"];

impl Compiler<'_> {
    pub(super) fn slots(
        &self,
        given: Vec<Spanned<BTreeMap<String, Value>>>,
        found: Option<Spanned<ListWords>>,
        names: &mut Names,
    ) -> Result<Slots, String> {
        let needs = |of: &str, line: usize, has: &dyn Fn(&str) -> bool| match ["id", "capacity"]
            .into_iter()
            .find(|name| !has(name))
        {
            Some(name) => Err(format!("line {line}: {of} needs the key {name}")),
            None => Ok(()),
        };
        let Some(first) = given.first() else {
            let Some(words) = found else {
                names.extend(OF_MADE_SLOTS.map(str::to_owned));
                return Ok(Slots::Made);
            };
            let line = self.line(words.span().start);
            let ListWords { request, items, capture } = words.into_inner();
            let at = |reason: String| format!("line {line}: {reason}");
            needs("[slots] capture", line, &|name| capture.contains_key(name))?;
            let known = names.iter().filter(|name| name.starts_with("run.")).cloned().collect();
            let list = SlotList {
                request: self.request(&request, &known).map_err(at)?,
                items: At::parse(&items).map_err(at)?,
                captures: self.captures(&capture).map_err(at)?,
                line,
            };
            names.insert("slot.number".to_owned());
            names.extend(capture.keys().map(|name| format!("slot.{name}")));
            return Ok(Slots::Found(Box::new(list)));
        };
        if found.is_some() {
            return Err("slots are listed by [[slot]] or found by [slots], and not both".to_owned());
        }
        names.insert("slot.number".to_owned());
        names.extend(first.get_ref().keys().map(|name| format!("slot.{name}")));
        let mut slots = Vec::new();
        for slot in given {
            let line = self.line(slot.span().start);
            needs("[[slot]]", line, &|name| slot.get_ref().contains_key(name))?;
            slots.push(slot.into_inner().into_iter().collect());
        }
        Ok(Slots::Given(slots))
    }

    pub(super) fn setup(
        &self,
        words: Spanned<SetupWords>,
        names: &mut Names,
    ) -> Result<Setup, String> {
        let line = self.line(words.span().start);
        let SetupWords { each, request, capture } = words.into_inner();
        let at = |reason: String| format!("line {line}: {reason}");
        let scopes: &[&str] = match each {
            Each::Run => &["run."],
            Each::Slot => &["run.", "slot."],
            Each::Client => &["run.", "client."],
            Each::Visit => &["run.", "slot.", "client.", "visit."],
        };
        let in_scope = |name: &&String| scopes.iter().any(|scope| name.starts_with(scope));
        let known: Names = names.iter().filter(in_scope).cloned().collect();
        let request = self.request(&request, &known).map_err(at)?;
        if each == Each::Slot && capture.contains_key("capacity") {
            return Err(at(
                "the plan says the capacity of a slot that is made; do not capture it".to_owned()
            ));
        }
        let captures = self.captures(&capture).map_err(at)?;
        names.extend(capture.keys().map(|name| format!("{}.{name}", each.name())));
        Ok(Setup { each, request, captures, line })
    }

    pub(super) fn teardown(
        &self,
        words: Spanned<TeardownWords>,
        names: &Names,
    ) -> Result<Teardown, String> {
        let line = self.line(words.span().start);
        let TeardownWords { each, request } = words.into_inner();
        let found = !names.contains("slot.starts_at");
        if found && each == TeardownEach::Slot {
            return Err(format!(
                "line {line}: the run has not made these slots, and does not take them away; use \
                 each = \"booking\""
            ));
        }
        let scopes: &[&str] = match each {
            TeardownEach::Run => &["run."],
            TeardownEach::Slot => &["run.", "slot."],
            TeardownEach::Booking => &["run.", "slot.", "booking"],
        };
        let in_scope = |name: &String| scopes.iter().any(|scope| name.starts_with(scope));
        let all = names.iter().cloned().chain(["booking".to_owned()]);
        let known = all.filter(in_scope).collect();
        let request =
            self.request(&request, &known).map_err(|reason| format!("line {line}: {reason}"))?;
        Ok(Teardown { each, request, line })
    }

    pub(super) fn rows(&self, words: Spanned<RowsWords>, names: &Names) -> Result<Rows, String> {
        let line = self.line(words.span().start);
        let RowsWords { sql, http, status, ended_are_kept } = words.into_inner();
        let http = http.map(|RowsHttpWords { each, request, items, next, row }| ListOf {
            each,
            request,
            items: items.unwrap_or_else(|| "$".to_owned()),
            next,
            item: ("row", row),
        });
        let source = self
            .source(sql, http, &["booking", "seats", "status"], names)
            .map_err(|reason| format!("line {line}: [rows]: {reason}"))?;
        Ok(Rows { source, ended_are_kept, statuses: statuses(status) })
    }

    /// `rows` and `claims` are those of the file.
    pub(super) fn log(
        &self,
        words: Spanned<LogWords>,
        rows: Option<&Rows>,
        claims: &Claims,
        names: &Names,
    ) -> Result<Log, String> {
        let line = self.line(words.span().start);
        let LogWords { sql, http, status, records_expiry } = words.into_inner();
        let at = |reason: String| format!("line {line}: [log]: {reason}");
        if !names.contains("slot.starts_at") {
            return Err(at(
                "the log of a slot that was there before the run begins before it; let \
                           [[setup]] make the slots, or leave [log] out"
                    .to_owned(),
            ));
        }
        if !records_expiry && claims.hold_ms != Some(0) {
            return Err(at(
                "say records_expiry = true if a hold that runs out gets a record before \
                           its seats are sold again; without it the log shows seats as taken that \
                           are free: leave [log] out"
                    .to_owned(),
            ));
        }
        let http = http.map(|LogHttpWords { each, request, items, next, record }| ListOf {
            each: match each {
                LogEach::Run => RowsEach::Run,
                LogEach::Slot => RowsEach::Slot,
            },
            request,
            items,
            next,
            item: ("record", record),
        });
        let needed = ["version", "booking", "status", "seats"];
        let source = self.source(sql, http, &needed, names).map_err(at)?;
        let statuses = match rows {
            Some(rows) if status.is_empty() => rows.statuses.clone(),
            _ => statuses(status),
        };
        Ok(Log { source, statuses })
    }

    fn source(
        &self,
        sql: Option<SqlWords>,
        http: Option<ListOf>,
        needed: &[&str],
        names: &Names,
    ) -> Result<Source, String> {
        match (sql, http) {
            (Some(words), None) => Ok(Source::Sql(self.sql(words)?)),
            (None, Some(list)) => {
                let scopes: &[&str] = match list.each {
                    RowsEach::Run => &["run."],
                    RowsEach::Slot => &["run.", "slot."],
                    RowsEach::Booking => &["run.", "slot.", "booking"],
                };
                let all = names.iter().cloned().chain(["booking".to_owned()]);
                let in_scope = |name: &String| scopes.iter().any(|it| name.starts_with(it));
                let known: Names = all.filter(in_scope).collect();
                let (name, item) = list.item;
                if let Some(missing) = needed.iter().find(|needed| !item.contains_key(**needed)) {
                    return Err(format!("{name} needs {missing}"));
                }
                Ok(Source::Http(Box::new(HttpList {
                    each: list.each,
                    request: self.request(&list.request, &known)?,
                    items: At::parse(&list.items)?,
                    next: list.next.as_deref().map(At::parse).transpose()?,
                    item: self.captures(&item)?,
                })))
            }
            _ => Err("it is read either by sql or by http".to_owned()),
        }
    }

    fn sql(&self, words: SqlWords) -> Result<SqlList, String> {
        let url = self.secret("url", &words.url)?;
        // Without the text: it has a password.
        let place = Url::parse(&url).map_err(|_| "the database's URL is no URL".to_owned())?;
        self.may_be_loaded(&place)?;
        let query = match (words.query, words.query_file) {
            (Some(query), None) => query,
            (None, Some(name)) => inline::read(&self.folder, &name)?,
            _ => return Err("sql needs either query or query_file".to_owned()),
        };
        Ok(SqlList { url, query: query.trim().trim_end_matches(';').to_owned() })
    }
}

/// The words of a list that requests give.
struct ListOf {
    each: RowsEach,
    request: RequestWords,
    items: String,
    next: Option<String>,
    /// What each item has, and what the file calls it.
    item: (&'static str, BTreeMap<String, CaptureWords>),
}

/// What each of their words for a status is: ours, where the file translates none.
fn statuses(translated: BTreeMap<BookingStatus, Vec<String>>) -> BTreeMap<String, BookingStatus> {
    if translated.is_empty() {
        return OWN_STATUSES.into_iter().map(|it| (it.name().to_owned(), it)).collect();
    }
    let pairs = translated.into_iter();
    pairs.flat_map(|(status, words)| words.into_iter().map(move |word| (word, status))).collect()
}
