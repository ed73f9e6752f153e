//! Ten receivers in one thread: eight good ones that note how old an event is when it arrives, and two neighbours that
//! are good as well, or one dead and one dripping.
//!
//! Guards: ages are taken where the request is complete. Deliberately not here: signatures.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// The good ones.
pub(crate) const GOOD: usize = 8;

type Ages = Rc<RefCell<Vec<u64>>>;

/// Serves until killed. Prints eleven addresses first: where to ask, the dead one, the dripping one, the good ones.
pub(crate) fn serve(disturbed: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let (ages, unheard) = (Ages::default(), Ages::default());
        let mut addresses = vec![good(Rc::clone(&ages)).await?];
        if disturbed {
            // Bound for a moment and gone: nobody listens there.
            addresses.push(TcpListener::bind("127.0.0.1:0").await?.local_addr()?);
            addresses.push(dripping().await?);
        }
        while addresses.len() <= 2 {
            addresses.push(good(Rc::clone(&unheard)).await?);
        }
        for _ in 0..GOOD {
            addresses.push(good(Rc::clone(&ages)).await?);
        }
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        println!("{}", addresses.join(","));
        std::future::pending().await
    })
}

/// Answers at once.
async fn good(ages: Ages) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let ages = Rc::clone(&ages);
            // A connection that breaks concerns nobody else.
            spawn_local(async move { converse(stream, &ages).await.ok() });
        }
    });
    Ok(address)
}

async fn converse(mut stream: TcpStream, ages: &Ages) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    while let Some(head) = request(&mut stream, &mut buffer).await? {
        if head.starts_with("get ") {
            let text = percentiles(&mut ages.borrow_mut());
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{text}").as_bytes())
                .await?;
            return Ok(());
        }
        let (_, rest) = head.split_once("webhook-id: evt_").context("an id")?;
        let made_us: u64 = rest.get(..20).context("an id with its time")?.parse()?;
        let now_us = u64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_micros())?;
        ages.borrow_mut().push(now_us.saturating_sub(made_us));
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    }
    Ok(())
}

/// A request's head in lower case, once its body is there, too.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<String>> {
    loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..at]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            if buffer.len() >= at + 4 + length {
                buffer.drain(..at + 4 + length);
                return Ok(Some(head));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// A byte of the answer's head now and then, and never its end.
async fn dripping() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            spawn_local(async move {
                let drops = b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat(&b'x'));
                for &one in drops {
                    // Ends when the client goes away.
                    if stream.write_all(&[one]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    });
    Ok(address)
}

/// How many, the middle and the 99th percentile in microseconds; then it starts anew.
fn percentiles(ages: &mut Vec<u64>) -> String {
    ages.sort_unstable();
    let at = |share: usize| ages.get(ages.len() * share / 100).copied().unwrap_or(0);
    let text = format!("{} {} {}", ages.len(), at(50), at(99));
    ages.clear();
    text
}
