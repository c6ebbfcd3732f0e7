//! One keep-alive connection, which sends one request at a time.

use std::{io, rc::Rc, time::Duration};

use anyhow::Context;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::{
    http_response::{self, HttpResponse},
    schedule::Schedule,
    webhook::WebhookFactory,
};

/// Twilio waits for 15 s; whoever is slower has failed.
const DEADLINE: Duration = Duration::from_secs(15);

/// The status of a request that was not answered.
const NO_ANSWER: u16 = 0;

/// What became of one request. Times are since the start of the run.
pub(crate) struct Sample {
    pub(crate) index: u64,
    pub(crate) due: Duration,
    pub(crate) sent: Duration,
    pub(crate) answered: Duration,
    pub(crate) status: u16,
}

impl Sample {
    pub(crate) fn is_accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Where the requests go. Their path is that of the URL that was signed.
#[derive(Clone)]
pub(crate) struct Target {
    address: String,
}

impl Target {
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let address = url.strip_prefix("http://");
        let address = address.context("--url does not begin with http://")?;
        let address = address.split('/').next().unwrap_or(address);
        Ok(Self {
            address: address.to_owned(),
        })
    }
}

/// Sends what is due until the run is over.
pub(crate) async fn run(
    target: Target,
    webhooks: Rc<WebhookFactory>,
    schedule: Rc<Schedule>,
) -> Vec<Sample> {
    let (mut samples, mut stream) = (Vec::new(), None);
    while let Some(request) = schedule.next().await {
        let bytes = webhooks.request(request.index);
        let sent = schedule.elapsed();
        let answer = timeout(DEADLINE, exchange(&target, &mut stream, &bytes)).await;
        let answered = schedule.elapsed();
        let status = if let Ok(Ok(response)) = answer {
            if !response.keeps_alive {
                stream = None;
            }
            response.status
        } else {
            stream = None;
            NO_ANSWER
        };
        samples.push(Sample {
            index: request.index,
            due: request.due,
            sent,
            answered,
            status,
        });
        if status == NO_ANSWER {
            // A receiver that is down is not asked in a tight loop.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    samples
}

async fn exchange(
    target: &Target,
    stream: &mut Option<TcpStream>,
    request: &str,
) -> io::Result<HttpResponse> {
    let stream = if let Some(open) = stream {
        open
    } else {
        let new = TcpStream::connect(&target.address).await?;
        new.set_nodelay(true)?;
        stream.insert(new)
    };
    stream.write_all(request.as_bytes()).await?;
    http_response::read(stream).await
}
