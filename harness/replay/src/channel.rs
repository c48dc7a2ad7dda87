//! The wire to a directed process: orders go out, reports come in and are handed to the case that
//! they are about.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use slotproof_target_service::pausing::{Order, Report};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// Where each case hears what its calls do. Names of calls are `case/call`.
#[derive(Debug, Clone, Default)]
pub(super) struct Routes(Arc<Mutex<HashMap<String, UnboundedSender<Report>>>>);

impl Routes {
    /// From now on a case hears its reports here.
    pub(super) fn open(&self, case: &str) -> UnboundedReceiver<Report> {
        let (said, heard) = unbounded_channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(case.to_owned(), said);
        heard
    }

    pub(super) fn close(&self, case: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(case);
    }

    fn hand_on(&self, report: Report) {
        let (Report::Parked { call, .. } | Report::Swept { call, .. } | Report::Wants { call, .. }) =
            &report;
        let case = call.split('/').next().unwrap_or_default();
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = routes.get(case) {
            let _ = said.send(report);
        }
    }
}

/// The wire to one process.
#[derive(Debug)]
pub(super) struct Channel(UnboundedSender<Order>);

impl Channel {
    pub(super) async fn connect(address: SocketAddr, routes: Routes) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        tokio::spawn(async move {
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(report) => routes.hand_on(report),
                    Err(error) => tracing::warn!(%error, line, "a report that is none"),
                }
            }
        });
        let (orders, mut ordered) = unbounded_channel::<Order>();
        tokio::spawn(async move {
            while let Some(order) = ordered.recv().await {
                let mut line = serde_json::to_vec(&order).expect("an order is words");
                line.push(b'\n');
                if write.write_all(&line).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self(orders))
    }

    /// A process that has gone away shows as a call that does not come to a stop.
    pub(super) fn order(&self, order: Order) {
        let _ = self.0.send(order);
    }
}
