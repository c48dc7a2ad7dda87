//! Drafts of target files from OpenAPI documents.
//!
//! A document says which requests there are. It does not say which of them takes a seat, nor what
//! a refusal means: that is guessed by names and shapes. Every guess that may be wrong is marked in
//! the draft and listed.

mod answers;
mod auth;
mod base;
mod captures;
mod document;
mod endpoint;
mod idempotency;
mod page;
mod requests;
mod roles;
mod slots;
mod sold_out;
#[cfg(test)]
mod tests;
mod values;
mod words;

use serde_json::Value;

use self::{
    answers::{Answers, RuleDraft},
    auth::AuthDraft,
    document::Document,
    idempotency::Idempotency,
    page::Page,
    requests::{Purpose, RequestDraft, Requests, SetupDraft},
    roles::{Pick, Roles},
    slots::SlotsDraft,
};

/// A target file that a document gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The TOML of the file.
    pub text: String,
    /// What may be wrong in it, one line each: every `DOUBTFUL` and every `CHECK` of the text.
    pub doubts: Vec<String>,
}

/// Why there is no draft.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// Version 2 of OpenAPI.
    #[error(
        "this is a document of Swagger {0}, and 3.0 or 3.1 is read; convert it first: npx \
         swagger2openapi swagger.json --outfile openapi.json"
    )]
    Swagger(String),
    /// Some other version.
    #[error("OpenAPI {0} is not read; write a document of 3.0 or 3.1")]
    Version(String),
    /// Something else.
    #[error("this is no OpenAPI document: it has no field openapi (\"3.0.3\", \"3.1.0\")")]
    NoOpenApi,
    /// Nothing to call.
    #[error("the document has no paths: there is nothing to call")]
    NoPaths,
    /// No candidate for the one operation that every target needs.
    #[error(
        "no operation takes a seat: among {0} operations there is no POST of bookings, \
         reservations, appointments, orders, holds, tickets or seats, and none whose path ends in \
         reserve, book or hold. Say which one does, --reserve \"POST /path\", or write the target \
         file by hand (ci/targets/README.md)"
    )]
    NoReserve(usize),
    /// The operation that was named is not in the document.
    #[error("--reserve {0:?}: the document has no such operation; its POST are {1}")]
    NoSuchOperation(String, String),
}

/// Drafts a target file from a document of OpenAPI 3. The operation that takes a seat is found,
/// unless it is named: `POST /path`.
///
/// # Errors
/// It is no such document, or nothing in it takes a seat.
pub fn draft(document: &Value, reserve: Option<&str>) -> Result<Draft, DraftError> {
    let document = Document::new(document)?;
    let endpoints = document.endpoints();
    let roles = roles::find(&document, &endpoints, reserve)?;
    let key = Idempotency::find(&document, roles.reserve.endpoint);
    let mut requests = Requests::new(document, &endpoints, &roles, key.as_ref());
    let operations = Operations::draft(&document, &roles, &mut requests);
    let slots = SlotsDraft::find(&document, &endpoints, &roles, &mut requests);
    let auth = AuthDraft::find(&document, roles.reserve.endpoint);

    let mut page = Page::default();
    target(&mut page, &document, &auth);
    keys(&mut page, key.as_ref());
    claims(&mut page, &operations.reserve.rules);
    for SetupDraft { each, request, capture: (name, path) } in &requests.setups {
        page.line("");
        page.section("[[setup]]");
        page.pair("each", &(*each).into());
        page.request("setup", request);
        page.line(&format!("capture = {}", page::captures(&[(name, path.clone().into())])));
    }
    slots.write(&mut page);
    operations.write(&mut page);
    Ok(Draft { text: page.text, doubts: page.doubts })
}

fn target(page: &mut Page, document: &Document<'_>, auth: &AuthDraft) {
    let title = document.text_at("/info/title").unwrap_or("an API");
    page.comment(&format!(
        "Drafted by `slotproof target init` from the OpenAPI document of {title:?}. DOUBTFUL marks \
         a guess, CHECK a value that was made up. `slotproof target try FILE` makes each call once \
         and shows what is right."
    ));
    if let Some(file) = document.other_file() {
        page.doubt(
            "document",
            &format!(
                "it refers to {file}, which is not read: bundle it into one file first (npx \
                 @redocly/cli bundle)"
            ),
        );
    }
    let base = base::of(document);
    page.section("[target]");
    page.pair("name", &base::name(title).into());
    if let Some(comment) = &base.comment {
        page.comment(comment);
    }
    page.pair("base", &base.url.into());
    if let Some((name, value)) = &auth.header {
        page.line(&format!("headers = {}", page::captures(&[(name, value.clone().into())])));
    }
    if let Some(doubt) = &auth.doubt {
        page.line("");
        page.doubt("auth", doubt);
    }
    if auth.lines.is_empty() {
        return;
    }
    if auth.doubt.is_none() {
        page.line("");
    }
    page.section("[auth]");
    if let Some(comment) = &auth.comment {
        page.comment(comment);
        page.list("auth", &comment.replace("CHECK: ", "check "));
    }
    for (name, value) in &auth.lines {
        page.pair(name, value);
    }
}

fn keys(page: &mut Page, key: Option<&Idempotency>) {
    page.line("");
    let Some(key) = key else {
        page.comment(
            "No idempotency key was found: a reserve whose answer is lost cannot be repeated, and \
             I5 is not judged.",
        );
        return;
    };
    if let Some(doubt) = &key.doubt {
        page.doubt("idempotency", doubt);
    }
    page.section("[idempotency]");
    let place = if key.body { "body" } else { "header" };
    for name in &key.names {
        page.pair(place, &name.clone().into());
    }
    if let Some(value) = &key.value {
        page.pair("value", &value.clone().into());
    }
}

/// How long a hold lasts, where no answer says it.
fn claims(page: &mut Page, reserve: &[RuleDraft]) {
    let captures = || reserve.iter().flat_map(|rule| rule.captures.iter().map(|(name, _)| *name));
    if captures().any(|name| name == "hold_ms") {
        return;
    }
    page.line("");
    page.section("[claims]");
    let wanted = match captures().any(|name| name == "hold_until") {
        true => {
            "how long an unconfirmed booking is held where its answer does not say until when \
             (0: for ever)"
        }
        false => {
            "how long an unconfirmed booking is held, in milliseconds (0: for ever). One that runs \
             out before would look like a seat that was sold twice"
        }
    };
    page.comment(&format!("CHECK: {wanted}"));
    page.list("claims", &format!("check hold_ms: {wanted}"));
    page.pair("hold_ms", &0.into());
}

/// An operation with its one step.
struct Operation {
    title: String,
    doubt: Option<String>,
    request: RequestDraft,
    rules: Vec<RuleDraft>,
}

struct Operations {
    reserve: Operation,
    confirm: Option<Operation>,
    cancel: Option<Operation>,
    read: Option<Operation>,
    booking: Option<Operation>,
}

impl Operations {
    fn draft<'a>(
        document: &Document<'a>,
        roles: &Roles<'_, 'a>,
        requests: &mut Requests<'_, 'a>,
    ) -> Self {
        let request = requests.draft(roles.reserve.endpoint, Purpose::Reserve);
        let rules = Answers::of(document, roles.reserve.endpoint).reserve(requests, roles);
        let reserve = Operation::of(&roles.reserve, request, rules);
        let mut change = |pick: &Option<Pick<'_, 'a>>| {
            let pick = pick.as_ref()?;
            let mut request = requests.draft(pick.endpoint, Purpose::Booking);
            if let Some((field, word)) = pick.status
                && let Some((kind, Value::Object(body))) = &mut request.body
            {
                let at = [(*kind).to_owned(), field.to_owned()];
                request.notes.retain(|(path, _)| *path != at);
                body.insert(field.to_owned(), word.into());
            }
            Some(Operation::of(pick, request, Answers::of(document, pick.endpoint).change()))
        };
        let (confirm, cancel) = (change(&roles.confirm), change(&roles.cancel));
        let read = roles.read.as_ref().map(|pick| {
            let request = requests.draft(pick.endpoint, Purpose::Read);
            Operation::of(pick, request, Answers::of(document, pick.endpoint).read())
        });
        let booking = roles.booking.as_ref().map(|pick| {
            let request = requests.draft(pick.endpoint, Purpose::Booking);
            Operation::of(pick, request, Answers::of(document, pick.endpoint).booking())
        });
        Self { reserve, confirm, cancel, read, booking }
    }

    fn write(&self, page: &mut Page) {
        self.reserve.write(page, "reserve");
        let missing = [
            (
                "confirm",
                &self.confirm,
                "no operation confirms a booking: it is taken to be confirmed when it is made",
            ),
            ("cancel", &self.cancel, "no operation cancels a booking: seats are never given back"),
            (
                "read",
                &self.read,
                "no operation says how many seats are free: I7 and I9 are not judged",
            ),
        ];
        for (name, operation, without) in missing {
            match operation {
                Some(operation) => operation.write(page, name),
                None => {
                    page.line("");
                    page.doubt(name, without);
                }
            }
        }
        if let Some(booking) = &self.booking {
            booking.write(page, "booking");
        }
    }
}

impl Operation {
    fn of(pick: &Pick<'_, '_>, request: RequestDraft, rules: Vec<RuleDraft>) -> Self {
        Self { title: pick.endpoint.title(), doubt: pick.doubt.clone(), request, rules }
    }

    fn write(&self, page: &mut Page, name: &str) {
        page.line("");
        if let Some(doubt) = &self.doubt {
            page.doubt(name, &format!("{} was taken; {doubt}", self.title));
        }
        page.section(&format!("[[{name}.step]]"));
        page.request(name, &self.request);
        page.rules(name, &self.rules);
    }
}
