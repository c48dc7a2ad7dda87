//! Single requests of an operation, for those that send them in a way of their own: the replay,
//! which holds them at the service's pause points, and the benches, which time nothing else.

use bytes::Bytes;
use http::Request;
use serde_json::Map;
use slotproof_vocabulary::ReasonCode;

use super::{
    capture::Received,
    compile::FileTarget,
    format::Meaning,
    interpreter::OperationKind,
    request::RequestTemplate,
    scope::{self, Scope},
    values::{OfOperation, Values},
};
use crate::{connections::Connections, target::answer::Answer};

impl FileTarget {
    /// The first request of an operation. Its client and its visit need no setup.
    ///
    /// # Errors
    /// The file does not say how, or a name has no value.
    pub fn first_request(
        &self,
        operation: OperationKind,
        scope: Scope<'_>,
    ) -> Result<Request<Bytes>, String> {
        let step = self.plan(operation).steps.first();
        let step = step.ok_or_else(|| format!("the target has no {}", operation.name()))?;
        self.rendered(&step.request, operation, scope)
    }

    /// The request that asks for the decision of an operation that was only accepted; `None` if
    /// each is decided at once.
    ///
    /// # Errors
    /// A name has no value.
    pub fn poll_request(
        &self,
        operation: OperationKind,
        scope: Scope<'_>,
    ) -> Result<Option<Request<Bytes>>, String> {
        let rules = self.plan(operation).steps.iter().flat_map(|step| &step.rules);
        let poll = rules.filter_map(|rule| rule.poll.as_ref()).next();
        poll.map(|poll| self.rendered(&poll.request, operation, scope)).transpose()
    }

    fn rendered(
        &self,
        template: &RequestTemplate,
        operation: OperationKind,
        scope: Scope<'_>,
    ) -> Result<Request<Bytes>, String> {
        let (nothing, captured) = (scope::nothing(), Map::new());
        let names = Values::operation(OfOperation {
            target: self,
            scope: &scope,
            client: &nothing,
            visit: &nothing,
            captured: &captured,
        });
        let key = self.idempotency.as_ref().filter(|_| operation == OperationKind::Reserve);
        template.render(scope.base_url, &self.headers, &names, key)
    }

    /// Sends the first request of an operation once. One that is only accepted is undecided.
    pub async fn send_first(
        &self,
        http: &Connections,
        operation: OperationKind,
        request: Request<Bytes>,
    ) -> Answer {
        match http.exchange(request, None).await {
            Ok(answered) => self.first_answer(operation, &answered.into()),
            Err(unanswered) => unanswered.answer(),
        }
    }

    /// What an answer to the first request of an operation means.
    pub(in crate::target) fn first_answer(
        &self,
        operation: OperationKind,
        received: &Received,
    ) -> Answer {
        let rules = self.plan(operation).steps.iter().take(1).flat_map(|step| &step.rules);
        match rules.into_iter().find(|rule| rule.matches(received)) {
            None => Answer::unknown(ReasonCode::Http(received.status)),
            Some(rule) if rule.means == Meaning::Poll => Answer::unknown(ReasonCode::Undecided),
            Some(rule) => self.answer(operation, rule, received, &Map::new()),
        }
    }
}
