//! A request's body: read within bounds, or read and forgotten.

use std::time::Duration;

use bytes::Buf as _;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::Limits;
use crate::bounds::MemoryLease;
use crate::io::Response;
use crate::problem::Problem;

/// What a length in the head is believed to: memory is taken as bytes arrive, not as they are
/// announced.
const BELIEVED_BYTES_MAX: usize = 256 << 10;

/// How long a refused body is read before the answer goes out.
const DISCARD: Duration = Duration::from_secs(5);

/// A body, or what is left of it.
pub(crate) struct Rest {
    body: Incoming,
    /// The client waits for a go-ahead before it sends.
    asks: bool,
}

impl Rest {
    pub(crate) fn new(body: Incoming, headers: &HeaderMap) -> Self {
        Self { body, asks: headers.contains_key(header::EXPECT) }
    }

    /// The whole body, or why not, with what is left of it.
    pub(crate) async fn read(
        mut self,
        limits: &Limits,
        memory: &mut MemoryLease,
    ) -> Result<Vec<u8>, (Problem, Option<Self>)> {
        let too_large = || {
            let message = format!("The request body is larger than the {} bytes that are read.", limits.body_bytes);
            Problem::new(413, "request_too_large", "too-large", message)
        };
        let announced = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limits.body_bytes {
            return Err((too_large(), Some(self)));
        }
        let mut bytes = Vec::with_capacity(announced.min(BELIEVED_BYTES_MAX));
        let deadline = tokio::time::Instant::now() + limits.body_read;
        loop {
            let frame = match tokio::time::timeout_at(deadline, self.body.frame()).await {
                Ok(None) => return Ok(bytes),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => {
                    let problem = Problem::new(400, "broken_body", "broken-body", "The request body broke off.");
                    return Err((problem, None));
                }
                Err(_) => {
                    let message = "The request body did not arrive in time.";
                    return Err((Problem::new(408, "body_timeout", "body-timeout", message), None));
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.remaining() > limits.body_bytes {
                return Err((too_large(), Some(self)));
            }
            if !memory.grow(data.remaining()) {
                let message = "The gateway holds as many bodies as it has memory for. Try again in a moment.";
                let problem = Problem::new(503, "overloaded", "memory", message).retry_after(1);
                return Err((problem, Some(self)));
            }
            bytes.extend_from_slice(&data);
        }
    }

    /// Reads what is left and forgets it: a client that writes its whole body before it reads would
    /// otherwise see a reset instead of the answer.
    pub(crate) async fn discard(mut self, bytes_max: u64, mut response: Response) -> Response {
        let read = async {
            let mut read = 0;
            while let Some(Ok(frame)) = self.body.frame().await {
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if read > bytes_max {
                    return false;
                }
            }
            true
        };
        if self.asks || !tokio::time::timeout(DISCARD, read).await.unwrap_or(false) {
            // The rest of the body would be read as the next request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
